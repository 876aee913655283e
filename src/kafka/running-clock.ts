/**
 * Milliseconds in which this process ran, to measure how long something lasts: it never goes back, and a suspended machine
 * or a step of the system's clock moves it on by a few seconds at most. To be asked every now and then.
 */
export class RunningClock {
  readonly #mostMs: number;
  #nowMs = 0;
  #lastMs = Date.now();

  /** @param mostMs that may lie between two questions and count in full: user code that holds the thread up */
  constructor(mostMs = 5_000) {
    this.#mostMs = mostMs;
  }

  /** Differences count, not the value, which is above 0. */
  get nowMs(): number {
    const systemMs = Date.now();
    this.#nowMs += Math.min(Math.max(0, systemMs - this.#lastMs), this.#mostMs);
    this.#lastMs = systemMs;
    return this.#nowMs + 1;
  }
}
