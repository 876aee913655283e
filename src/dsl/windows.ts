/** Time windows: tumbling (advance = size) and hopping. Mirrors `TimeWindows`. */

export interface TimeWindowsOptions {
  /** ms between the starts of two windows, 1 to size. Default: the size, which makes them tumbling. */
  readonly advance?: number;
  /** ms a window stays open for late records after its end, ≥ 0. Default 0. */
  readonly grace?: number;
}

export class TimeWindows {
  readonly sizeMs: number;
  readonly advanceMs: number;
  readonly graceMs: number;

  private constructor(sizeMs: number, advanceMs: number, graceMs: number) {
    this.sizeMs = sizeMs;
    this.advanceMs = advanceMs;
    this.graceMs = graceMs;
  }

  /**
   * Windows `[n · advance, n · advance + size)`, in ms since the epoch.
   * @throws RangeError size < 1, advance outside 1..size, negative grace
   */
  static of(sizeMs: number, { advance = sizeMs, grace = 0 }: TimeWindowsOptions = {}): TimeWindows {
    if (!(Number.isSafeInteger(sizeMs) && sizeMs >= 1))
      throw new RangeError(`A window size of ${sizeMs} ms: it must be a whole number ≥ 1.`);
    if (!(Number.isSafeInteger(advance) && advance >= 1 && advance <= sizeMs)) {
      throw new RangeError(
        `An advance of ${advance} ms: it must be a whole number from 1 to the window size of ${sizeMs}.`,
      );
    }
    if (!(Number.isSafeInteger(grace) && grace >= 0))
      throw new RangeError(`A grace of ${grace} ms: it must be a whole number ≥ 0.`);
    return new TimeWindows(sizeMs, advance, grace);
  }
}

/** Durations in ms. */
export const seconds = (n: number): number => n * 1000;
export const minutes = (n: number): number => n * 60_000;
export const hours = (n: number): number => n * 3_600_000;
export const days = (n: number): number => n * 86_400_000;
