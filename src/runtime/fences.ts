/**
 * Batches that begin elsewhere than their target system remembers, one after the other. Once is what happens when tasks move;
 * again and again means that what `positions` loads is not what the handler compares with, and each time the group rebalances:
 * there is a longer wait each time, and an end.
 */
import { Backoff } from '../backoff.ts';
import type { BatchFencedError } from '../topology/index.ts';
import { StreamsError } from './errors.ts';

/** ms without another after which one is the first again. */
const PROVEN_MS = 60_000;

export class Fences {
  readonly #timeoutMs: number;
  readonly #backoff = new Backoff({ maxMs: 10_000 });
  #sinceMs = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  /** @param timeoutMs ms of such batches after which they are an error (task.timeout.ms) */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** @param nowMs by the monotonic clock @throws StreamsError MILLRACE_RUNTIME_FENCED_AGAIN */
  met(error: BatchFencedError, nowMs: number): void {
    if (nowMs - this.#lastMs > PROVEN_MS) {
      this.#backoff.reset();
      this.#sinceMs = nowMs;
    }
    this.#lastMs = nowMs;
    if (nowMs - this.#sinceMs < this.#timeoutMs) return;
    const { topic, partition } = error;
    throw new StreamsError(
      'MILLRACE_RUNTIME_FENCED_AGAIN',
      `Batches have been fenced for ${this.#timeoutMs} ms: ${error.message} Check that the operator's positions.load gives what its ` +
        'handler compares with, and that no other application writes under the same positions.',
      {
        cause: error,
        context: { ...(topic === undefined ? {} : { topic }), ...(partition === undefined ? {} : { partition }) },
      },
    );
  }

  wait(signal: AbortSignal): Promise<void> {
    return this.#backoff.wait(signal);
  }
}
