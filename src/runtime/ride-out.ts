/** What a running application does while brokers are away: tries again with backoff and a warning, until it is stopped. */
import { Backoff } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import { KafkaError } from '../kafka/index.ts';
import type { Logger } from '../logger.ts';
import { StreamsError } from './errors.ts';

export interface RideOutOptions {
  /** What is tried, for the warning. */
  readonly what: string;
  readonly logger: Logger;
  /** Ends the tries. */
  readonly signal: AbortSignal;
  /** Called in every turn: the thread is waiting, not hanging. */
  alive(): void;
  /** Errors that another try cannot mend, besides those that are not retriable. */
  isFinal?(error: unknown): boolean;
}

/** @throws what is not retriable; StreamsError MILLRACE_RUNTIME_INTERRUPTED where the application is stopped meanwhile */
export async function rideOut<T>(
  step: () => Promise<T>,
  { what, logger, signal, alive, isFinal }: RideOutOptions,
): Promise<T> {
  const backoff = new Backoff();
  for (;;) {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof KafkaError) || !error.retriable || isFinal?.(error) === true) throw error;
      if (signal.aborted) throw interrupted(what, error);
      alive();
      logger[backoff.attempt < 2 ? 'debug' : 'warn']({ error: messageOf(error) }, `${what} failed, trying again`);
      await backoff.wait(signal);
    }
  }
}

/** What it would have kept is processed again. */
function interrupted(what: string, cause?: unknown): StreamsError {
  return new StreamsError(
    'MILLRACE_RUNTIME_INTERRUPTED',
    `Stopped before ${what} was done; it is done again after the next start.`,
    { retriable: true, cause },
  );
}

/**
 * Awaits something that may take for ever while brokers are away.
 * @param graceMs how long a stop waits for it
 * @throws what it rejects with; StreamsError MILLRACE_RUNTIME_INTERRUPTED
 */
export async function unlessStopped(
  what: string,
  waiting: Promise<void>,
  signal: AbortSignal,
  graceMs: number,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let onStop = (): void => {};
  const stopped = new Promise<never>((_resolve, reject) => {
    onStop = () => {
      timer = setTimeout(() => reject(interrupted(what)), graceMs);
    };
  });
  if (signal.aborted) onStop();
  else signal.addEventListener('abort', onStop, { once: true });
  try {
    await Promise.race([waiting, stopped]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onStop);
  }
}
