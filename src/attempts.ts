/** Whether, and when, something that failed is tried again; and one try of it, within its time. */
import { Backoff, delay, LONGEST_TIMER_MS } from './backoff.ts';
import { MillraceError } from './errors.ts';
import { monotonicMs } from './monotonic.ts';

/**
 * How often something that failed is tried. Between two tries there are `initialMs`, twice that, and so on up to `maxMs`,
 * give or take a fifth. An error whose `retriable` is false ends the tries, and one with `retryAfterMs` says itself how
 * long to wait at least (`Retry-After`). They end with the first bound that is reached.
 */
export interface RetryPolicy {
  /** ms before the second try. Default 100. */
  readonly initialMs?: number;
  /** ms between two tries at most. Default 10000. */
  readonly maxMs?: number;
  /** Tries in all, the first among them. Default 5, or Infinity where `maxElapsedMs` is given. */
  readonly maxAttempts?: number;
  /** ms since the first try after which there is no other. Default Infinity. */
  readonly maxElapsedMs?: number;
  /** Whether an error is worth another try. Default: unless its `retriable` is false. */
  readonly retriable?: (error: unknown) => boolean;
}

/** A try took longer than its `timeoutMs`. Worth another try. */
export class AttemptTimeoutError extends MillraceError {
  constructor(timeoutMs: number) {
    super('MILLRACE_ATTEMPT_TIMEOUT', `No result within ${timeoutMs} ms. Raise timeoutMs if the work takes longer.`, {
      retriable: true,
    });
  }
}

/** The tries of one piece of work. */
export class Retry {
  readonly #policy: RetryPolicy;
  readonly #backoff: Backoff;
  #sinceMs: number | undefined;
  #attempts = 0;

  constructor(policy: RetryPolicy) {
    this.#policy = policy;
    this.#backoff = new Backoff({ initialMs: policy.initialMs ?? 100, maxMs: policy.maxMs ?? 10_000 });
  }

  /** Tries begun. */
  get attempts(): number {
    return this.#attempts;
  }

  /** A try begins. @param nowMs by the monotonic clock */
  begin(nowMs: number): void {
    this.#sinceMs ??= nowMs;
    this.#attempts++;
  }

  /** @returns ms to wait before the next try; undefined: this error ends the tries */
  delayMs(error: unknown, nowMs: number): number | undefined {
    const { maxElapsedMs = Number.POSITIVE_INFINITY, retriable = isRetriable } = this.#policy;
    const maxAttempts = this.#policy.maxAttempts ?? (this.#policy.maxElapsedMs === undefined ? 5 : Infinity);
    if (this.#attempts >= maxAttempts || !retriable(error)) return undefined;
    const delayMs = Math.max(this.#backoff.nextMs(), retryAfterMs(error));
    return nowMs - (this.#sinceMs ?? nowMs) + delayMs > maxElapsedMs ? undefined : delayMs;
  }
}

/** What a policy without an opinion of its own goes by. */
export function isRetriable(error: unknown): boolean {
  return (error as { readonly retriable?: unknown } | null | undefined)?.retriable !== false;
}

function retryAfterMs(error: unknown): number {
  const given = (error as { readonly retryAfterMs?: unknown } | null | undefined)?.retryAfterMs;
  return typeof given === 'number' && given > 0 ? given : 0;
}

/** By what time the tries go, and how they are waited for. */
export interface RetryClock {
  monotonicMs(): number;
  delay(ms: number, signal: AbortSignal): Promise<void>;
}

const PROCESS_CLOCK: RetryClock = { monotonicMs, delay };

export interface RetryingOptions {
  /** Once it has aborted there is no other try; it ends the wait for one. */
  readonly signal: AbortSignal;
  /** Default: the process's own. */
  readonly clock?: RetryClock;
  /** A try failed, and there will be another. */
  onRetry(error: unknown): void;
}

/** Tries until it succeeds, as the policy has it. @throws what the last try threw; `retry.attempts` says how many there were */
export async function retrying<T>(
  retry: Retry,
  step: () => Promise<T>,
  { signal, clock = PROCESS_CLOCK, onRetry }: RetryingOptions,
): Promise<T> {
  for (;;) {
    retry.begin(clock.monotonicMs());
    try {
      return await step();
    } catch (error) {
      const delayMs = signal.aborted ? undefined : retry.delayMs(error, clock.monotonicMs());
      if (delayMs === undefined) throw error;
      onRetry(error);
      await clock.delay(delayMs, signal);
    }
  }
}

/**
 * One try. Its signal aborts when its time is over, or when `closed` does.
 * @throws what it throws; AttemptTimeoutError; the reason of `closed`
 */
export async function attempt<T>(
  work: (signal: AbortSignal) => PromiseLike<T> | T,
  timeoutMs: number,
  closed: AbortSignal,
): Promise<T> {
  closed.throwIfAborted();
  const controller = new AbortController();
  const onClosed = (): void => controller.abort(closed.reason);
  closed.addEventListener('abort', onClosed, { once: true });
  // Longer than a timer can be is for ever.
  const timer =
    timeoutMs <= LONGEST_TIMER_MS
      ? setTimeout(() => controller.abort(new AttemptTimeoutError(timeoutMs)), timeoutMs)
      : undefined;
  try {
    return await new Promise<T>((resolve, reject) => {
      controller.signal.addEventListener('abort', () => reject(controller.signal.reason), { once: true });
      // What it throws at once, and what it gives that is no promise, come the same way.
      Promise.resolve()
        .then(() => work(controller.signal))
        .then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
    closed.removeEventListener('abort', onClosed);
  }
}
