/**
 * Work that is begun once however many wait for it, and that ends when nobody waits any more: a registry that is away is
 * tried for as long as somebody wants to know.
 */
import { abortController, settlesBefore } from '../backoff.ts';

interface Running<T> {
  readonly result: Promise<T>;
  readonly giveUp: AbortController;
  waiting: number;
}

export class SharedWork<T> {
  readonly #running = new Map<string, Running<T>>();

  /**
   * @param key names the work: one of a key at a time
   * @param signal ends this wait; the work itself with the last one
   * @returns undefined where the signal was first
   * @throws what the work rejects with
   */
  async get(
    key: string,
    work: (signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<{ readonly value: T } | undefined> {
    const running = this.#running.get(key) ?? this.#begin(key, work);
    running.waiting++;
    try {
      if (signal !== undefined && !(await settlesBefore(running.result, signal))) return undefined;
      return { value: await running.result };
    } finally {
      // Done, or nobody waits any more: who comes next begins anew.
      if (--running.waiting === 0) {
        if (this.#running.get(key) === running) this.#running.delete(key);
        running.giveUp.abort();
      }
    }
  }

  #begin(key: string, work: (signal: AbortSignal) => Promise<T>): Running<T> {
    const giveUp = abortController();
    const running = { result: work(giveUp.signal), giveUp, waiting: 0 };
    this.#running.set(key, running);
    return running;
  }
}
