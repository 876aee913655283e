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

export class FoldingSketch implements QuantileSketch {
  /** In the order they came; fewer than `FOLD_AT`. */
  readonly values: number[];
  centroids: Centroid[];
  count: number;

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
    if (this.centroids.length === 0) return exactQuantiles(this.values, ranks);
    const digest = digestOf(this.centroids);
    for (const value of shuffled(this.values)) digest.push(value);
    return ranks.map((rank) => digest.percentile(rank) as number);
  }

  #fold(): void {
    const digest = digestOf(this.centroids);
    for (const value of shuffled(this.values)) digest.push(value);
    let centroids = centroidsOf(digest);
    if (centroids.length > COMPRESS_ABOVE) centroids = centroidsOf(digestOf(shuffled(centroids)));
    this.centroids = centroids;
    this.values.length = 0;
  }
}

/** Linear interpolation between the two nearest ranks. */
function exactQuantiles(values: readonly number[], ranks: readonly number[]): number[] {
  const sorted = Float64Array.from(values).sort();
  return ranks.map((rank) => {
    const at = rank * (sorted.length - 1);
    const low = Math.floor(at);
    const below = sorted[low]!;
    const above = sorted[Math.min(low + 1, sorted.length - 1)]!;
    return below + (above - below) * (at - low);
  });
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
