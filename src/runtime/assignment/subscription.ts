/**
 * What a member says of itself when it joins: its process, the tasks it has, and the sub-topologies it knows. During a
 * rolling upgrade members of two topologies are in one group: a task goes to nobody whose topology does not have it.
 *
 *     user data: JSON { processId, tasks: [name], subTopologies: [signature] }
 */
import { createHash } from 'node:crypto';
import type { AnyStoreDescription } from '../../state/index.ts';
import type { SubTopology, Topology } from '../../topology/index.ts';

export interface MemberInfo {
  readonly processId: string;
  /** Names of the tasks that the member has: they stay where that is balanced. */
  readonly tasks: readonly string[];
  /** Signatures of the sub-topologies that its topology has, by number. */
  readonly subTopologies: readonly string[];
}

/**
 * Sub-topologies of equal signature read, keep and write the same topics; what user code does in between does not show.
 * By number of the sub-topology.
 */
export function signaturesOf(topology: Topology): string[] {
  return topology.subTopologies.map(signatureOf);
}

function signatureOf({ sources, sinks, stores }: SubTopology): string {
  const read = sources.map(({ topics }) => (topics instanceof RegExp ? String(topics) : [...topics].sort().join()));
  const written = sinks.flatMap(({ topic }) => (typeof topic === 'string' ? [topic] : []));
  const text = JSON.stringify([read.sort(), [...new Set(written)].sort(), stores.map(describeStore).sort()]);
  return createHash('sha256').update(text).digest('base64url').slice(0, 16);
}

function describeStore(store: AnyStoreDescription): string {
  const { name, type, timestamped, loggingEnabled } = store;
  const window = store.type === 'window' ? [store.retentionMs, store.windowSizeMs] : [];
  return JSON.stringify([name, type, timestamped, loggingEnabled, store.key.name, store.value.name, ...window]);
}

export function encodeMemberInfo(info: MemberInfo): Buffer {
  return Buffer.from(JSON.stringify(info));
}

/** What cannot be read is a member that knows nothing: it is given no tasks. */
export function decodeMemberInfo(userData: Buffer): MemberInfo {
  try {
    const { processId, tasks, subTopologies } = JSON.parse(userData.toString('utf8')) as Partial<
      Record<keyof MemberInfo, unknown>
    >;
    return { processId: String(processId), tasks: strings(tasks), subTopologies: strings(subTopologies) };
  } catch {
    return { processId: '', tasks: [], subTopologies: [] };
  }
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
