/** Where tasks begin whose batches go to a system that remembers positions itself. */
import { attempt, Retry, retrying } from '../attempts.ts';
import { settlesBefore } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import { partitionKey } from '../kafka/index.ts';
import type { Logger } from '../logger.ts';
import type { ProcessorNode, Topology } from '../topology/index.ts';
import { StreamsError } from './errors.ts';
import { interrupted } from './retry.ts';
import type { TaskAssignment } from './task-manager.ts';

/** ms that one look-up may take. */
const LOOK_UP_MS = 30_000;

export interface ExternalPositionsOptions {
  readonly applicationId: string;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * By partition, the offset that the target system remembers; those that it does not know are left out.
 * @throws StreamsError MILLRACE_RUNTIME_EXTERNAL_POSITIONS after the last try that the operator's retry policy allows;
 *   MILLRACE_RUNTIME_INTERRUPTED
 */
export async function loadExternalPositions(
  tasks: readonly TaskAssignment[],
  topology: Topology,
  options: ExternalPositionsOptions,
): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const subTopology of topology.subTopologies) {
    const partitions = tasks.filter(({ id }) => id.subTopology === subTopology.id).flatMap((task) => task.partitions);
    if (partitions.length === 0) continue;
    for (const node of subTopology.nodes) {
      if (node.kind !== 'processor' || node.externalPositions === undefined) continue;
      for (const at of await load(node, partitions, options)) found.set(partitionKey(at), at.offset);
    }
  }
  return found;
}

async function load(
  node: ProcessorNode,
  partitions: TaskAssignment['partitions'],
  { applicationId, logger, signal }: ExternalPositionsOptions,
) {
  const { positions, retry: policy } = node.externalPositions!;
  const retry = new Retry(policy);
  const look = async () => {
    const trying = attempt((ended) => positions.load(partitions, { applicationId, signal: ended }), LOOK_UP_MS, signal);
    if (!(await settlesBefore(trying, signal))) throw interrupted('looking up positions');
    return checked(node.name, await trying);
  };
  try {
    return await retrying(retry, look, {
      signal,
      onRetry: (error) =>
        logger[retry.attempts < 2 ? 'debug' : 'warn'](
          { node: node.name, attempt: retry.attempts, error: messageOf(error) },
          'looking up positions in the target system failed, trying again',
        ),
    });
  } catch (error) {
    throw signal.aborted ? interrupted('looking up positions', error) : failed(node.name, error);
  }
}

function checked(
  node: string,
  found: Awaited<ReturnType<NonNullable<ProcessorNode['externalPositions']>['positions']['load']>>,
) {
  const wrong = found.find(({ offset }) => !(Number.isSafeInteger(offset) && offset >= 0));
  if (wrong === undefined) return found;
  const { topic, partition, offset } = wrong;
  throw new StreamsError(
    'MILLRACE_RUNTIME_EXTERNAL_POSITIONS',
    `${node} gave the offset ${offset} for ${topic}-${partition}: it must be a whole number ≥ 0.`,
    { context: { node, topic, partition } },
  );
}

function failed(node: string, cause: unknown): Error {
  if (cause instanceof StreamsError) return cause;
  return new StreamsError(
    'MILLRACE_RUNTIME_EXTERNAL_POSITIONS',
    `The positions that ${node} is to begin at cannot be had from the target system: ${messageOf(cause)}`,
    { cause, context: { node } },
  );
}
