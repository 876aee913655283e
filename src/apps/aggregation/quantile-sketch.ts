/**
 * Quantiles of a stream of numbers: exact while there are few, within 1 % of rank beyond. Values are kept flat until there
 * are `FOLD_AT`, then folded: npm `tdigest` puts them in order and counts equal ones, in its discrete mode, which merges
 * nothing; what shares a place is decided by rank (rank-summary.ts). Folding happens at fixed counts only, so the same values
 * in the same order give the same bytes wherever they were stored in between.
 */
import { TDigest } from 'tdigest';
import { RankSummary } from './rank-summary.ts';

export interface QuantileSketch {
  /** Values added. */
  readonly count: number;
  add(value: number): void;
  /** The values at ranks q, each 0 to 1, where 0 and 1 are exact; NaN where nothing was added. Ascending for ascending q. */
  quantiles(...ranks: readonly number[]): number[];
}

/** Values kept flat. A window of one minute has 6 to 600 as a rule, and is exact. */
export const FOLD_AT = 1024;
/** New values up to which they are inserted one by one instead of sorting all. */
const INSERT_AT_MOST = 16;
const NOTHING = new Float64Array(0);

export class FoldingSketch implements QuantileSketch {
  /** In the order they came; fewer than `FOLD_AT`. */
  readonly values: number[];
  /** What was folded. */
  summary: RankSummary;
  #sorted: Float64Array = NOTHING;
  #sortedCount = 0;
  /** How many values there were when quantiles were last asked for. */
  #askedAt = 0;

  constructor(summary = new RankSummary(), values: number[] = []) {
    this.summary = summary;
    this.values = values;
  }

  get count(): number {
    return this.summary.count + this.values.length;
  }

  /** Hot. */
  add(value: number): void {
    if (this.values.push(value) >= FOLD_AT) this.#fold();
  }

  quantiles(...ranks: readonly number[]): number[] {
    if (this.count === 0) return ranks.map(() => Number.NaN);
    const sorted = this.#sortedValues();
    return this.summary.count === 0 ? exactQuantiles(sorted, ranks) : this.summary.quantiles(sorted, ranks);
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
    const block = new TDigest(false, 0, Number.POSITIVE_INFINITY);
    block.push(this.values);
    this.summary = this.summary.with(block.toArray());
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
    const range = above - below;
    const part = at - low;
    // Two doubles may be further apart than the largest: then they are weighed one by one.
    if (range === Number.POSITIVE_INFINITY) return below * (1 - part) + above * part;
    return Math.min(above, below + range * part);
  });
}
