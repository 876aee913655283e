/**
 * Partitions that cannot be fetched stand back. The partitions of a task wait for each other's records, so that one without
 * a leader, or whose broker cannot be reached, would stop all of them for as long as that lasts.
 */
import type { Logger } from '../logger.ts';
import type { KafkaConnections } from './connections.ts';
import type { Standstill } from './fetch-state.ts';
import type { PartitionBuffer } from './partition-buffer.ts';

/**
 * ms, besides what a broker may hold an answer back, that a partition which cannot be fetched is waited for. A leader that
 * a restart moves is there again within a second or two, so that ordinary moves are waited for and nothing comes out of
 * order; longer, and the rest of the task falls behind the clock.
 */
export const STAND_BACK_MS = 3_000;

export interface StandBackOptions {
  /** By broker: since when nothing comes from it. */
  readonly brokers: ReadonlyMap<number, Standstill>;
  readonly connections: Pick<KafkaConnections, 'has' | 'fetchedBytes'>;
  /** ms for which a broker may hold an answer back. */
  readonly holdMs: number;
  readonly logger: Logger;
}

/** Marks what could not be fetched for too long, with one warning each. */
export function standBack(
  partitions: Iterable<PartitionBuffer>,
  nowMs: number,
  { brokers, connections, holdMs, logger }: StandBackOptions,
): void {
  const boundMs = STAND_BACK_MS + holdMs;
  for (const [nodeId, broker] of brokers) broker.moved(connections.fetchedBytes(nodeId), nowMs);
  for (const buffer of partitions) {
    const { topic, partition, fetching } = buffer;
    const { standstill, leader } = fetching;
    if (buffer.failed || buffer.paused) {
      standstill.clear();
      continue;
    }
    const broker = brokers.get(leader);
    if (leader < 0) standstill.note(nowMs, standstill.why || 'it has no leader');
    else if (!connections.has(leader))
      standstill.note(nowMs, `its leader, broker ${leader}, is not in the cluster's metadata`);
    else if (broker?.lasts(nowMs, boundMs) === true) standstill.note(broker.sinceMs, broker.why);
    else if (!fetching.canBeAsked) standstill.note(nowMs, 'its position is being looked up');
    if (buffer.standsBack || !standstill.lasts(nowMs, boundMs)) continue;
    buffer.standsBack = true;
    logger.warn(
      { topic, partition, error: standstill.why },
      'partition cannot be fetched, what waits for it goes on without it',
    );
  }
}

/** The partition was answered. */
export function comeBack(buffer: PartitionBuffer, logger: Logger): void {
  buffer.fetching.standstill.clear();
  if (!buffer.standsBack) return;
  buffer.standsBack = false;
  logger.info({ topic: buffer.topic, partition: buffer.partition }, 'partition is fetched again');
}
