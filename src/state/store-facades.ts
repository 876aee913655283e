/** Stores as the Processor API, queries and tests see them: values are copies, nothing handed out is live. */
import { InvalidWindowStartError, StateStoreClosedError } from './errors.ts';
import type { WriteContext } from './live-entry.ts';
import type { LiveStore } from './live-store.ts';
import type { KeyValueStore, ValueAndTimestamp, WindowStore } from './store.ts';
import type { StoredEntry } from './store-iterations.ts';

abstract class Facade<K, V> {
  readonly name: string;
  #live: LiveStore<K, V, WriteContext> | undefined;
  readonly #now: () => number;

  /** @param now the timestamp of the record being processed */
  constructor(live: LiveStore<K, V, WriteContext>, now: () => number) {
    this.name = live.name;
    this.#live = live;
    this.#now = now;
  }

  /** Every later call throws StateStoreClosedError, and so does the next step of an iteration. */
  detach(): void {
    this.#live = undefined;
  }

  protected get live(): LiveStore<K, V, WriteContext> {
    if (this.#live === undefined) throw new StateStoreClosedError(this.name);
    return this.#live;
  }

  protected write(key: K, windowStartMs: number, value: V | null | undefined): void {
    this.live.putForeign(key, windowStartMs, value ?? null, this.#now());
  }

  /** To be called within the first step of what is handed out: the snapshot is as of then. */
  protected async *steps<T>(
    snapshot: (live: LiveStore<K, V, WriteContext>) => AsyncIterable<StoredEntry<K, V>>,
    shown: (entry: StoredEntry<K, V>) => T,
  ): AsyncGenerator<T> {
    for await (const entry of snapshot(this.live)) {
      if (this.#live === undefined) throw new StateStoreClosedError(this.name);
      yield shown(entry);
    }
  }
}

export class KeyValueFacade<K, V> extends Facade<K, V> implements KeyValueStore<K, V> {
  get(key: K): V | null {
    return this.live.read(key, 0)?.value ?? null;
  }

  /** The value with the record time of its newest update; −1 in stores without timestamps. */
  getWithTimestamp(key: K): ValueAndTimestamp<V> | null {
    return this.live.read(key, 0) ?? null;
  }

  put(key: K, value: V | null): void {
    this.write(key, 0, value);
  }

  putIfAbsent(key: K, value: V): V | null {
    const before = this.get(key);
    if (before === null) this.put(key, value);
    return before;
  }

  delete(key: K): V | null {
    const before = this.get(key);
    this.put(key, null);
    return before;
  }

  all(): AsyncGenerator<readonly [K, V]> {
    return this.steps((live) => live.iterations.all(), pairOf);
  }

  range(from: K, to: K): AsyncGenerator<readonly [K, V]> {
    return this.steps((live) => live.iterations.range(from, to), pairOf);
  }
}

export class WindowFacade<K, V> extends Facade<K, V> implements WindowStore<K, V> {
  fetch(key: K, windowStartMs: number): V | null {
    return this.getWithTimestamp(key, windowStartMs)?.value ?? null;
  }

  getWithTimestamp(key: K, windowStartMs: number): ValueAndTimestamp<V> | null {
    const { live } = this;
    // What is no start cannot be there.
    if (!isStart(windowStartMs) || live.isHidden(windowStartMs)) return null;
    return live.read(key, windowStartMs) ?? null;
  }

  put(key: K, value: V | null, windowStartMs: number): void {
    if (!isStart(windowStartMs)) throw new InvalidWindowStartError(this.name, windowStartMs);
    this.write(key, windowStartMs, value);
  }

  fetchRange(key: K, fromMs: number, toMs: number): AsyncGenerator<readonly [number, V]> {
    return this.steps(
      (live) => live.iterations.windowsOf(key, fromMs, toMs),
      ({ windowStartMs, value }) => [windowStartMs, value] as const,
    );
  }

  all(): AsyncGenerator<readonly [{ readonly key: K; readonly windowStartMs: number }, V]> {
    return this.steps(
      (live) => live.iterations.windows(),
      ({ key, windowStartMs, value }) => [{ key, windowStartMs }, value] as const,
    );
  }
}

function pairOf<K, V>({ key, value }: StoredEntry<K, V>): readonly [K, V] {
  return [key, value];
}

function isStart(windowStartMs: number): boolean {
  return Number.isSafeInteger(windowStartMs) && windowStartMs >= 0;
}
