/** Time windows: tumbling (advance = size) and hopping. Mirrors `TimeWindows`. */
import { TopologyError } from '../topology/index.ts';

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
   * @throws TopologyError MILLRACE_TOPOLOGY_INVALID_WINDOWS size < 1, advance outside 1..size, negative grace, fractions
   */
  static of(sizeMs: number, { advance = sizeMs, grace = 0 }: TimeWindowsOptions = {}): TimeWindows {
    check(sizeMs >= 1, sizeMs, 'a window size', 'a whole number ≥ 1');
    check(advance >= 1 && advance <= sizeMs, advance, 'an advance', `a whole number from 1 to the size of ${sizeMs}`);
    check(grace >= 0, grace, 'a grace', 'a whole number ≥ 0');
    return new TimeWindows(sizeMs, advance, grace);
  }
}

function check(isInRange: boolean, ms: number, what: string, range: string): void {
  if (isInRange && Number.isSafeInteger(ms)) return;
  throw new TopologyError(
    'MILLRACE_TOPOLOGY_INVALID_WINDOWS',
    `TimeWindows with ${what} of ${ms} ms: it must be ${range}.`,
  );
}

/** Durations in ms. */
export const seconds = (n: number): number => n * 1000;
export const minutes = (n: number): number => n * 60_000;
export const hours = (n: number): number => n * 3_600_000;
export const days = (n: number): number => n * 86_400_000;
