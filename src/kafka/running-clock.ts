import { monotonicMs } from '../monotonic.ts';

/**
 * Milliseconds in which this process ran, to measure how long something lasts: one that was stopped goes on a few seconds
 * later by it, at most. To be asked every now and then.
 */
export class RunningClock {
  readonly #mostMs: number;
  #nowMs = 0;
  #lastMs = monotonicMs();

  /** @param mostMs that may lie between two questions and count in full: user code that holds the thread up */
  constructor(mostMs = 5_000) {
    this.#mostMs = mostMs;
  }

  /** Differences count, not the value, which is above 0. */
  get nowMs(): number {
    const nowMs = monotonicMs();
    this.#nowMs += Math.min(Math.max(0, nowMs - this.#lastMs), this.#mostMs);
    this.#lastMs = nowMs;
    return this.#nowMs + 1;
  }
}
