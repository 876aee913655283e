/** setTimeout, setInterval, setImmediate and their modules, on virtual time. Mirrors Node's, errors of use included. */
import type { KernelEvent } from './event-heap.ts';
import { type Kernel, TURN_US } from './kernel.ts';

type Callback = (...args: unknown[]) => void;

/** Node sets what is longer, or no number, to 1 ms. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** What both kinds of Node's timer objects have. */
abstract class SimulatedTimer {
  #ref = true;

  abstract close(): void;

  ref(): this {
    this.#ref = true;
    return this;
  }

  unref(): this {
    this.#ref = false;
    return this;
  }

  hasRef(): boolean {
    return this.#ref;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What setTimeout and setInterval return. */
export class SimulatedTimeout extends SimulatedTimer {
  readonly #kernel: Kernel;
  readonly #timers: SimulatedTimers;
  readonly #id: number;
  readonly #delayMs: number;
  readonly #repeats: boolean;
  readonly #callback: Callback;
  readonly #args: readonly unknown[];
  readonly #owner: Kernel['owner'];
  #event: KernelEvent | undefined;

  constructor(
    timers: SimulatedTimers,
    kernel: Kernel,
    callback: Callback,
    delay: unknown,
    args: unknown[],
    repeats: boolean,
  ) {
    super();
    if (typeof callback !== 'function') throw new TypeError('The "callback" argument must be of type function.');
    this.#timers = timers;
    this.#kernel = kernel;
    this.#callback = callback;
    this.#args = args;
    this.#repeats = repeats;
    this.#owner = kernel.owner;
    const ms = Math.trunc(Number(delay));
    this.#delayMs = ms >= 1 && ms <= MAX_DELAY_MS ? ms : 1;
    this.#id = timers.nextId();
    this.#start();
  }

  #start(): void {
    this.#event = this.#kernel.schedule(this.#delayMs * 1000, this.#owner, 'timer', () => {
      this.#event = undefined;
      try {
        this.#callback(...this.#args);
      } finally {
        if (this.#repeats && !this.#closed && this.#event === undefined) this.#start();
      }
    });
  }

  #closed = false;

  close(): this {
    this.#closed = true;
    this.#kernel.cancel(this.#event);
    this.#event = undefined;
    this.#timers.forget(this.#id);
    return this;
  }

  refresh(): this {
    if (this.#closed) return this;
    this.#kernel.cancel(this.#event);
    this.#start();
    return this;
  }

  /** A number that the clear functions know this timer by. */
  [Symbol.toPrimitive](): number {
    this.#timers.remember(this.#id, this);
    return this.#id;
  }
}

export class SimulatedImmediate extends SimulatedTimer {
  readonly #kernel: Kernel;
  readonly #event: KernelEvent;

  constructor(kernel: Kernel, callback: Callback, args: unknown[]) {
    super();
    if (typeof callback !== 'function') throw new TypeError('The "callback" argument must be of type function.');
    this.#kernel = kernel;
    this.#event = kernel.schedule(TURN_US, kernel.owner, 'timer', () => callback(...args));
  }

  close(): void {
    this.#kernel.cancel(this.#event);
  }
}

export class SimulatedTimers {
  readonly #kernel: Kernel;
  readonly #byId = new Map<number, SimulatedTimeout>();
  #ids = 0;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  nextId(): number {
    return ++this.#ids;
  }

  remember(id: number, timer: SimulatedTimeout): void {
    this.#byId.set(id, timer);
  }

  forget(id: number): void {
    this.#byId.delete(id);
  }

  readonly setTimeout = (callback: Callback, ms?: unknown, ...args: unknown[]): SimulatedTimeout =>
    new SimulatedTimeout(this, this.#kernel, callback, ms, args, false);

  readonly setInterval = (callback: Callback, ms?: unknown, ...args: unknown[]): SimulatedTimeout =>
    new SimulatedTimeout(this, this.#kernel, callback, ms, args, true);

  readonly setImmediate = (callback: Callback, ...args: unknown[]): SimulatedImmediate =>
    new SimulatedImmediate(this.#kernel, callback, args);

  /** For all three: Node clears a timer by the object, or by its number. */
  readonly clear = (timer: unknown): void => {
    if (timer instanceof SimulatedTimeout || timer instanceof SimulatedImmediate) timer.close();
    else if (typeof timer === 'number' || typeof timer === 'string') this.#byId.get(Number(timer))?.close();
  };

  /** The module `timers/promises`. */
  readonly promises = {
    setTimeout: <T>(ms?: number, value?: T, options?: { signal?: AbortSignal }): Promise<T> =>
      this.#once((done) => this.setTimeout(done, ms), value as T, options?.signal),
    setImmediate: <T>(value?: T, options?: { signal?: AbortSignal }): Promise<T> =>
      this.#once((done) => this.setImmediate(done), value as T, options?.signal),
    setInterval: (ms?: number, value?: unknown, options?: { signal?: AbortSignal }) => this.#each(ms, value, options),
    scheduler: {
      wait: (ms: number, options?: { signal?: AbortSignal }): Promise<undefined> =>
        this.promises.setTimeout(ms, undefined, options),
      yield: (): Promise<undefined> => this.promises.setImmediate(undefined),
    },
  };

  #once<T>(start: (done: () => void) => unknown, value: T, signal: AbortSignal | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.clear(timer);
        reject(abortError(signal!));
      };
      const timer = start(() => {
        signal?.removeEventListener('abort', abort);
        resolve(value);
      });
      if (signal?.aborted === true) abort();
      else signal?.addEventListener('abort', abort, { once: true });
    });
  }

  async *#each(
    ms: number | undefined,
    value: unknown,
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<unknown> {
    for (;;) {
      await this.promises.setTimeout(ms, undefined, options);
      yield value;
    }
  }
}

function abortError(signal: AbortSignal): Error {
  const error = new Error('The operation was aborted', { cause: signal.reason });
  error.name = 'AbortError';
  return Object.assign(error, { code: 'ABORT_ERR' });
}
