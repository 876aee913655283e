/**
 * What is kept of many numbers so that a quantile is never wrong by more than one per cent of rank, whatever they are: some
 * of them in order, each with what is known of its rank (a summary as of Greenwald and Khanna, "Space-efficient online
 * computation of quantile summaries", with t-digest's measure of how much may be lost where: less towards both ends).
 *
 *     ─┬───────────┬─────── ties ───────┬──     A run: a number that was added, how many are known to be equal to it,
 *      │   rest    │  v   v   v   v   v │       and how many others lie between the run before and this one.
 *
 * Neighbours in rank share a run, not neighbours in value: t-digest itself (npm `tdigest` merges what is near in value)
 * was wrong by 79 % of rank where values close in on the median geometrically, and by 98 % where they span more than the
 * largest double. A number is never made up: each answer was added, and where many are equal it is exact.
 */

/** An ordered count of numbers: `mean` is the number. */
export interface Counted {
  readonly mean: number;
  readonly n: number;
}

/** Most of all numbers that a run may stand for without knowing them, in the middle: an answer is off by three quarters of it. */
const DELTA = 0.01;
/** The same at both ends, as a part of `DELTA`. */
const DELTA_AT_ENDS = 0.1;

export class RankSummary {
  /** Of the numbers that are in it. */
  count = 0;
  /** Ascending, none twice; the first is the least number, the last the greatest. */
  values: number[] = [];
  /** How many numbers are known to be equal to the run's. */
  ties: number[] = [];
  /** How many lie between the run before and this one. */
  rest: number[] = [];
  /** How many numbers of later runs' rests may in truth lie before this run: it was put within what was lost already. */
  spread: number[] = [];

  get size(): number {
    return this.values.length;
  }

  push(value: number, ties: number, rest: number, spread: number): void {
    this.count += ties + rest;
    this.values.push(value);
    this.ties.push(ties);
    this.rest.push(rest);
    this.spread.push(spread);
  }

  /** This summary and some numbers more, ascending. */
  with(numbers: readonly Counted[]): RankSummary {
    const { values, ties, rest, spread } = this;
    const all = new RankSummary();
    let i = 0;
    for (const { mean, n } of numbers) {
      for (; i < values.length && values[i]! < mean; i++) all.push(values[i]!, ties[i]!, rest[i]!, spread[i]!);
      if (values[i] === mean) {
        all.push(mean, ties[i]! + n, rest[i]!, spread[i]!);
        i++;
      } else {
        // How many of those that the next run stands for lie before this one is not known.
        all.push(mean, n, 0, i < values.length ? rest[i]! + spread[i]! : 0);
      }
    }
    for (; i < values.length; i++) all.push(values[i]!, ties[i]!, rest[i]!, spread[i]!);
    return all.#compressed();
  }

  /** Runs go into the rest of the next as long as no answer suffers more than it may. */
  #compressed(): RankSummary {
    const { values, ties, rest, spread, count } = this;
    const result = new RankSummary();
    const last = values.length - 1;
    let lost = 0;
    let rank = 0;
    for (let i = 0; i <= last; i++) {
      rank += rest[i]! + ties[i]!;
      const restOfNext = lost + rest[i]! + ties[i]! + (rest[i + 1] ?? 0);
      if (i > 0 && i < last && restOfNext + spread[i + 1]! <= mayLose(rank, count)) {
        lost += rest[i]! + ties[i]!;
      } else {
        result.push(values[i]!, ties[i]!, lost + rest[i]!, spread[i]!);
        lost = 0;
      }
    }
    return result;
  }

  /**
   * Quantiles of this summary and more numbers: for each rank the nearest number by what is known.
   * @param sorted numbers that are not in the summary
   * @param ranks 0 to 1
   */
  quantiles(sorted: Float64Array, ranks: readonly number[]): number[] {
    const isAscending = ranks.every((rank, i) => i === 0 || rank >= ranks[i - 1]!);
    return isAscending ? this.#walk(sorted, ranks) : ranks.flatMap((rank) => this.#walk(sorted, [rank]));
  }

  /** One walk over both. @param ranks ascending */
  #walk(sorted: Float64Array, ranks: readonly number[]): number[] {
    const { values, ties, rest, spread } = this;
    const total = this.count + sorted.length;
    const results: number[] = [];
    let i = 0;
    let j = 0;
    let counted = 0;
    let before = Number.NaN;
    let endBefore = Number.NEGATIVE_INFINITY;
    while (results.length < ranks.length && (i < values.length || j < sorted.length)) {
      let value: number;
      let equal: number;
      let unsure: number;
      if (j >= sorted.length || values[i]! <= sorted[j]!) {
        value = values[i]!;
        equal = ties[i]!;
        unsure = spread[i]!;
        counted += rest[i++]!;
        for (; sorted[j] === value; j++) equal++;
      } else {
        value = sorted[j++]!;
        equal = 1;
        unsure = i < values.length ? rest[i]! + spread[i]! : 0;
      }
      counted += equal;
      const end = counted + unsure / 2;
      const between = (endBefore + end - equal + 1) / 2;
      while (results.length < ranks.length && 1 + ranks[results.length]! * (total - 1) <= between) results.push(before);
      before = value;
      endBefore = end;
    }
    while (results.length < ranks.length) results.push(before);
    return results;
  }
}

/** How many numbers around a rank may be unknown, of so many in all. */
function mayLose(rank: number, count: number): number {
  const part = rank / count;
  return Math.floor(DELTA * count * Math.max(DELTA_AT_ENDS, 4 * part * (1 - part)));
}
