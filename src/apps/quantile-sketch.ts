/**
 * Quantiles of a stream of numbers: exact while there are few, a t-digest beyond. Values are kept flat until there are
 * `FOLD_AT`, then folded into the digest (npm `tdigest`) in an order shuffled by a fixed seed: sorted input is that
 * package's worst case. Folding happens at fixed counts only, so the same values in the same order give the same bytes
 * wherever they were stored in between.
 */
import { TDigest } from 'tdigest';

export interface QuantileSketch {
  /** Values added. */
  readonly count: number;
  add(value: number): void;
  /** The values at ranks q (each 0 to 1), NaN where nothing was added. Ascending for ascending q. */
  quantiles(...ranks: readonly number[]): number[];
}

/** A mean and how many values it stands for. */
export type Centroid = readonly [mean: number, count: number];

/** Values kept flat. A window of one minute has 6 to 600 as a rule, and is exact. */
export const FOLD_AT = 1024;
/** t-digest's delta: 1 % compresses a large window to some hundreds of centroids. */
const DELTA = 0.01;
/** Centroids above which the digest is compressed after a fold. */
const COMPRESS_ABOVE = 500;
const SEED = 0x2545f491;
/** New values up to which they are inserted one by one instead of sorting all. */
const INSERT_AT_MOST = 16;
const NOTHING = new Float64Array(0);

export class FoldingSketch implements QuantileSketch {
  /** In the order they came; fewer than `FOLD_AT`. */
  readonly values: number[];
  centroids: Centroid[];
  count: number;
  #sorted: Float64Array = NOTHING;
  #sortedCount = 0;
  /** How many values there were when quantiles were last asked for. */
  #askedAt = 0;

  constructor(count = 0, centroids: Centroid[] = [], values: number[] = []) {
    this.count = count;
    this.centroids = centroids;
    this.values = values;
  }

  /** Hot. */
  add(value: number): void {
    this.count++;
    if (this.values.push(value) >= FOLD_AT) this.#fold();
  }

  quantiles(...ranks: readonly number[]): number[] {
    if (this.count === 0) return ranks.map(() => Number.NaN);
    const sorted = this.#sortedValues();
    return this.centroids.length === 0
      ? exactQuantiles(sorted, ranks)
      : mergedQuantiles(this.centroids, sorted, this.count, ranks);
  }

  /** The values in order. Asked for often, as with every update, new ones are put in their places one by one. */
  #sortedValues(): Float64Array {
    const { values } = this;
    const { length } = values;
    const often = length - this.#askedAt <= INSERT_AT_MOST;
    this.#askedAt = length;
    if (length - this.#sortedCount > INSERT_AT_MOST || length < this.#sortedCount) {
      // Asked for once a commit: nothing is kept, the window would take twice the memory.
      const sorted = Float64Array.from(values).sort();
      this.#sorted = often ? sorted : NOTHING;
      this.#sortedCount = often ? length : 0;
      return sorted;
    }
    if (this.#sorted.length < length) {
      const grown = new Float64Array(length * 2);
      grown.set(this.#sorted.subarray(0, this.#sortedCount));
      this.#sorted = grown;
    }
    for (let i = this.#sortedCount; i < length; i++) insert(this.#sorted, i, values[i]!);
    this.#sortedCount = length;
    return this.#sorted.subarray(0, length);
  }

  #fold(): void {
    const digest = digestOf(this.centroids);
    for (const value of shuffled(this.values)) digest.push(value);
    let centroids = centroidsOf(digest);
    if (centroids.length > COMPRESS_ABOVE) centroids = centroidsOf(digestOf(shuffled(centroids)));
    this.centroids = centroids;
    this.values.length = 0;
    this.#sortedCount = 0;
    this.#askedAt = 0;
  }
}

function insert(sorted: Float64Array, count: number, value: number): void {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  sorted.copyWithin(low + 1, low, count);
  sorted[low] = value;
}

/** Linear interpolation between the two nearest ranks. */
function exactQuantiles(sorted: Float64Array, ranks: readonly number[]): number[] {
  return ranks.map((rank) => {
    const at = rank * (sorted.length - 1);
    const low = Math.floor(at);
    const below = sorted[low]!;
    const above = sorted[Math.min(low + 1, sorted.length - 1)]!;
    return below + (above - below) * (at - low);
  });
}

/**
 * Quantiles over a digest's centroids and values not folded yet, as if each value were a centroid of one: a walk over both
 * in order of their means, with interpolation between the middles of neighbours.
 */
function mergedQuantiles(
  centroids: readonly Centroid[],
  sorted: Float64Array,
  count: number,
  ranks: readonly number[],
): number[] {
  const targets = ranks.map((rank) => rank * (count - 1));
  const results: number[] = [];
  let c = 0;
  let v = 0;
  let before = 0;
  let lastMiddle = -1;
  let lastMean = 0;
  while (results.length < targets.length && (c < centroids.length || v < sorted.length)) {
    const fromCentroid = c < centroids.length && (v >= sorted.length || centroids[c]![0] <= sorted[v]!);
    const [mean, n] = fromCentroid ? centroids[c++]! : ([sorted[v++]!, 1] as const);
    const middle = before + (n - 1) / 2;
    while (results.length < targets.length && targets[results.length]! <= middle) {
      const target = targets[results.length]!;
      results.push(
        lastMiddle < 0 ? mean : lastMean + ((mean - lastMean) * (target - lastMiddle)) / (middle - lastMiddle),
      );
    }
    before += n;
    lastMiddle = middle;
    lastMean = mean;
  }
  while (results.length < targets.length) results.push(lastMean);
  return results;
}

function digestOf(centroids: readonly Centroid[]): TDigest {
  // K = 0: the package would compress by itself, in an order of Math.random.
  const digest = new TDigest(DELTA, 0, 1.1);
  for (const [mean, n] of centroids) digest.push_centroid({ mean, n });
  return digest;
}

function centroidsOf(digest: TDigest): Centroid[] {
  return digest.toArray().map(({ mean, n }) => [mean, n] as const);
}

/** Fisher and Yates with a fixed xorshift: the same input gives the same order. */
function shuffled<T>(items: readonly T[]): T[] {
  const result = [...items];
  let state = SEED;
  for (let i = result.length - 1; i > 0; i--) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const j = (state >>> 0) % (i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
