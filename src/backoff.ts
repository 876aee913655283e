/** Waiting: between tries, exponential, with jitter; and for promises, within bounds that AbortSignals set. */
import { setMaxListeners } from 'node:events';

export interface BackoffOptions {
  /** ms before the first repetition. Default 100. */
  readonly initialMs?: number;
  /** ms between tries at most. Default 2000. */
  readonly maxMs?: number;
}

export class Backoff {
  #attempt = 0;
  readonly #initialMs: number;
  readonly #maxMs: number;

  constructor({ initialMs = 100, maxMs = 2000 }: BackoffOptions = {}) {
    this.#initialMs = initialMs;
    this.#maxMs = maxMs;
  }

  /** Tries since the last success. */
  get attempt(): number {
    return this.#attempt;
  }

  reset(): void {
    this.#attempt = 0;
  }

  /** ms to wait now; each call waits longer than the one before, give or take a fifth. */
  nextMs(): number {
    const base = Math.min(this.#maxMs, this.#initialMs * 2 ** this.#attempt++);
    return base * (0.8 + Math.random() * 0.4);
  }

  /** @param signal ends the wait: whoever tries again can be closed meanwhile */
  wait(signal: AbortSignal | undefined, ...others: readonly AbortSignal[]): Promise<void> {
    return delay(this.nextMs(), signal, ...others);
  }
}

/** An AbortController whose signal any number may wait for: Node warns of a leak from eleven on. */
export function abortController(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

/** ms that a timer of Node's can wait for; beyond it, it does not wait at all. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Resolves after `ms`, however long that is, or at once when one of the signals aborts. */
export function delay(ms: number, ...signals: readonly (AbortSignal | undefined)[]): Promise<void> {
  if (signals.some((signal) => signal?.aborted)) return Promise.resolve();
  return new Promise((resolve) => {
    let leftMs = ms;
    let timer: NodeJS.Timeout;
    const finish = (): void => {
      clearTimeout(timer);
      for (const signal of signals) signal?.removeEventListener('abort', finish);
      resolve();
    };
    const wait = (): void => {
      const nowMs = Math.min(leftMs, LONGEST_TIMER_MS);
      leftMs -= nowMs;
      timer = setTimeout(leftMs > 0 ? wait : finish, nowMs);
    };
    wait();
    for (const signal of signals) signal?.addEventListener('abort', finish, { once: true });
  });
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}

/**
 * Waits until a promise settles or one of the signals aborts, whichever is first; leaves no listener behind.
 * @returns true where the promise resolved, false where a signal was first; what it rejects with afterwards is ignored
 * @throws what the promise rejects with before
 */
export async function settlesBefore(waiting: Promise<unknown>, ...signals: readonly AbortSignal[]): Promise<boolean> {
  if (signals.some((signal) => signal.aborted)) {
    waiting.catch(() => undefined);
    return false;
  }
  let onAbort = (): void => {};
  const ended = new Promise<false>((resolve) => {
    onAbort = () => resolve(false);
  });
  for (const signal of signals) signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([waiting.then(() => true as const), ended]);
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', onAbort);
  }
}

/** Waits until a promise settles, for `ms` at most; whether it failed does not matter. */
export async function atMost(ms: number, waiting: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([waiting.catch(() => undefined), over]);
  clearTimeout(timer);
}
