/** What a running application does while brokers are away: tries again with backoff and a warning, within bounds. */
import { Backoff } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import { KafkaError } from '../kafka/index.ts';
import type { Logger } from '../logger.ts';
import { monotonicMs } from '../monotonic.ts';
import { StreamsError } from './errors.ts';

export interface RetryOptions {
  /** What is tried, for the warning. */
  readonly what: string;
  readonly logger: Logger;
  /** Ends the tries. */
  readonly signal: AbortSignal;
  /** ms after which what fails is an error (task.timeout.ms). */
  readonly timeoutMs: number;
  /** Called before each wait: the thread is waiting, not hanging. */
  alive?(): void;
}

/**
 * @throws what is not retriable, or still fails after the time-out; StreamsError MILLRACE_RUNTIME_INTERRUPTED where the
 *   signal ends the tries
 */
export async function retry<T>(
  step: () => Promise<T>,
  { what, logger, signal, timeoutMs, alive }: RetryOptions,
): Promise<T> {
  const backoff = new Backoff();
  const deadline = monotonicMs() + timeoutMs;
  for (;;) {
    if (signal.aborted) throw interrupted(what);
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof KafkaError) || !error.retriable) throw error;
      if (signal.aborted) throw interrupted(what, error);
      if (monotonicMs() >= deadline) throw timedOut(what, timeoutMs, error);
      alive?.();
      logger[backoff.attempt < 2 ? 'debug' : 'warn']({ error: messageOf(error) }, `${what} failed, trying again`);
      await backoff.wait(signal);
    }
  }
}

/** What it would have kept is processed again. */
export function interrupted(what: string, cause?: unknown): StreamsError {
  return new StreamsError(
    'MILLRACE_RUNTIME_INTERRUPTED',
    `Stopped before ${what} was done; it is done again after the next start.`,
    { retriable: true, cause },
  );
}

export function timedOut(what: string, timeoutMs: number, cause: unknown): StreamsError {
  return new StreamsError(
    'MILLRACE_RUNTIME_TASK_TIMEOUT',
    `${what} has failed for ${timeoutMs} ms (${messageOf(cause)}). Check the brokers; raise taskTimeoutMs to wait longer.`,
    { retriable: true, cause },
  );
}
