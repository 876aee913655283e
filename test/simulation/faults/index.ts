/**
 * The table of what can go wrong, by name. A new fault is an entry in one of the files here: how it is planned from the
 * seed, what it does to the world, and what an application may do about it besides riding it out.
 */
import type { RandomStreams } from '../kernel/random.ts';
import { brokerFaults } from './brokers.ts';
import { clusterFaults } from './cluster.ts';
import { diskFaults } from './disks.ts';
import type { FaultKind, PlannedFault, Planning } from './fault.ts';
import { memberFaults } from './members.ts';
import { networkFaults } from './network.ts';
import { topicFaults } from './topics.ts';

export const faultKinds: Readonly<Record<string, FaultKind>> = {
  ...networkFaults,
  ...brokerFaults,
  ...memberFaults,
  ...diskFaults,
  ...topicFaults,
  ...clusterFaults,
};

/** The faults of a scenario, by the seed, in the order of their time. */
export function planFaults(streams: RandomStreams, planning: Planning, kinds?: readonly string[]): PlannedFault[] {
  const names = Object.keys(faultKinds).filter((name) => kinds?.includes(name) !== false);
  if (names.length === 0) return [];
  const random = streams.of('faults');
  const weighted = names.flatMap((name) => Array.from({ length: faultKinds[name]!.weight ?? 1 }, () => name));
  const planned: PlannedFault[] = [];
  for (let left = random.pick([0, 1, 2, 3, 5, 8]); left > 0; left--) {
    const kind = random.pick(weighted);
    const atMs = random.int(1_000, planning.activeMs);
    const args = faultKinds[kind]!.plan(streams.of(`fault ${planned.length} ${kind}`), planning);
    if (args !== undefined) planned.push({ atMs, kind, args });
  }
  return planned.sort((a, b) => a.atMs - b.atMs);
}
