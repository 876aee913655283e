/** Java's default partitioning: murmur2 of the key's bytes (`org.apache.kafka.common.utils.Utils#murmur2`). */

const SEED = 0x9747b28c;
const M = 0x5bd1e995;

export function murmur2(data: Uint8Array, start = 0, end = data.length): number {
  const length = end - start;
  let h = (SEED ^ length) | 0;
  let i = start;
  for (; i + 4 <= end; i += 4) {
    let k = data[i]! | (data[i + 1]! << 8) | (data[i + 2]! << 16) | (data[i + 3]! << 24);
    k = Math.imul(k, M);
    k ^= k >>> 24;
    h = Math.imul(h, M) ^ Math.imul(k, M);
  }
  switch (end - i) {
    // biome-ignore lint/suspicious/noFallthroughSwitchClause: the tail's bytes are mixed in from the last to the first
    case 3:
      h ^= data[i + 2]! << 16;
    // biome-ignore lint/suspicious/noFallthroughSwitchClause: see above
    case 2:
      h ^= data[i + 1]! << 8;
    case 1:
      h ^= data[i]!;
      h = Math.imul(h, M);
  }
  h ^= h >>> 13;
  h = Math.imul(h, M);
  return h ^ (h >>> 15);
}

/** The partition of a key, 0 ≤ result < partitionCount, as Java's DefaultPartitioner gives it. */
export function partitionForKey(key: Uint8Array, partitionCount: number, start = 0, end = key.length): number {
  return (murmur2(key, start, end) & 0x7fffffff) % partitionCount;
}
