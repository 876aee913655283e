/** Counts how long records wait to be acknowledged (delivery.timeout.ms), traffic or not. */
import { RunningClock } from './running-clock.ts';

/** ms between two looks at most. */
const TICK_MS = 1_000;
/** Ticks that a tick may be late and still count in full. */
const LATE_TICKS = 5;

export class DeliveryWatch {
  readonly #tickMs: number;
  readonly #clock: RunningClock;
  readonly #onTick: (nowMs: number) => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param onTick called now and then while something waits, with the watch's time */
  constructor(timeoutMs: number, onTick: (nowMs: number) => void) {
    this.#tickMs = Math.max(1, Math.min(TICK_MS, timeoutMs / 4));
    this.#clock = new RunningClock(LATE_TICKS * this.#tickMs);
    this.#onTick = onTick;
  }

  /** The watch's time. */
  get nowMs(): number {
    return this.#clock.nowMs;
  }

  /** Something waits. The timer keeps the process alive: so do the records. */
  start(): void {
    this.#timer ??= setInterval(() => this.#onTick(this.nowMs), this.#tickMs);
  }

  /** Nothing waits any more. */
  rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
