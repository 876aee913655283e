/** Which batches go out next, and with which request: per broker at most five requests, per partition in order. */
import type { PendingBatch, ProducerPartition } from './producer-partition.ts';

/** Bytes of batches in one request at most; one batch always fits. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** What a broker remembers of an idempotent producer: more in flight could not be told from repetitions. */
const MAX_IN_FLIGHT = 5;

/**
 * Takes the next batch of each partition that may send one.
 * @param inFlightByNode requests out to each broker
 */
export function planRequests(
  topics: Iterable<readonly ProducerPartition[]>,
  leaderOf: (partition: ProducerPartition) => number,
  inFlightByNode: ReadonlyMap<number, number>,
): { readonly requests: ReadonlyMap<number, readonly PendingBatch[]>; readonly leaderless: boolean } {
  const requests = new Map<number, PendingBatch[]>();
  const bytes = new Map<number, number>();
  let leaderless = false;
  for (const partitions of topics) {
    for (const partition of partitions) {
      const batch = partition.peek(MAX_IN_FLIGHT);
      if (batch === undefined) continue;
      const node = leaderOf(partition);
      if (node < 0) {
        leaderless = true;
        continue;
      }
      const before = bytes.get(node) ?? 0;
      if (
        (inFlightByNode.get(node) ?? 0) >= MAX_IN_FLIGHT ||
        (before > 0 && before + batch.bytes.length > MAX_REQUEST_BYTES)
      )
        continue;
      partition.take();
      bytes.set(node, before + batch.bytes.length);
      const batches = requests.get(node);
      if (batches === undefined) requests.set(node, [batch]);
      else batches.push(batch);
    }
  }
  return { requests, leaderless };
}
