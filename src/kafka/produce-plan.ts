/** Which batches go out next, and with which request: per broker at most five requests, per partition in order. */
import type { PendingBatch, ProducerPartition } from './producer-partition.ts';

/** Bytes of batches in one request at most; one batch always fits. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** What a broker remembers of an idempotent producer: more in flight could not be told from repetitions. */
const MAX_IN_FLIGHT = 5;

export interface ProducePlan {
  /** By broker. */
  readonly requests: ReadonlyMap<number, readonly PendingBatch[]>;
  /** Nobody is known to lead them. */
  readonly leaderless: readonly ProducerPartition[];
  /** When the next of those that hold off may go, by the sender's clock; Infinity: none does. */
  readonly nextAtMs: number;
}

/**
 * Takes the next batch of each partition that may send one.
 * @param waiting partitions with batches that are ready, in order of who goes first
 * @param inFlightByNode requests out to each broker
 * @param nowMs by the sender's clock
 * @param todayMs since the epoch
 */
export function planRequests(
  waiting: Iterable<ProducerPartition>,
  leaderOf: (partition: ProducerPartition) => number,
  inFlightByNode: ReadonlyMap<number, number>,
  nowMs: number,
  todayMs: number,
): ProducePlan {
  const requests = new Map<number, PendingBatch[]>();
  const bytes = new Map<number, number>();
  const leaderless: ProducerPartition[] = [];
  let nextAtMs = Number.POSITIVE_INFINITY;
  for (const partition of waiting) {
    if (partition.retryAtMs > nowMs) {
      if (partition.retryAtMs < nextAtMs) nextAtMs = partition.retryAtMs;
      continue;
    }
    const node = leaderOf(partition);
    if (node < 0) {
      leaderless.push(partition);
      continue;
    }
    const batch = partition.peek(node, todayMs, MAX_IN_FLIGHT);
    if (batch === undefined || (inFlightByNode.get(node) ?? 0) >= MAX_IN_FLIGHT) continue;
    const before = bytes.get(node) ?? 0;
    if (before > 0 && before + batch.bytes.length > MAX_REQUEST_BYTES) continue;
    partition.take();
    bytes.set(node, before + batch.bytes.length);
    const batches = requests.get(node);
    if (batches === undefined) requests.set(node, [batch]);
    else batches.push(batch);
  }
  return { requests, leaderless, nextAtMs };
}
