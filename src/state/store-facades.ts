/** Stores as the Processor API, queries and tests see them: values are copies, nothing handed out is live. */
import { latin1 } from '../bytes.ts';
import { StateStoreClosedError } from './errors.ts';
import type { LiveEntry, WriteContext } from './live-entry.ts';
import type { LiveStore } from './live-store.ts';
import type { KeyValueStore, ValueAndTimestamp, WindowStore } from './store.ts';

const EMPTY = Buffer.alloc(0);

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

  /** Every later call throws StateStoreClosedError. */
  detach(): void {
    this.#live = undefined;
  }

  protected get live(): LiveStore<K, V, WriteContext> {
    if (this.#live === undefined) throw new StateStoreClosedError(this.name);
    return this.#live;
  }

  protected copied(entry: LiveEntry<K, V, WriteContext> | undefined): V | null {
    return entry === undefined || entry.value === null ? null : this.live.copyOf(entry.value);
  }

  protected write(key: K, windowStartMs: number, value: V | null): void {
    const { live } = this;
    live.put(key, windowStartMs, value === null ? null : live.copyOf(value), this.#now());
  }

  /** Stored entries with the live ones laid over them, in the order of their bytes. */
  protected async *merged(from: Buffer, to: Buffer | undefined): AsyncIterable<LiveEntry<K, V, WriteContext>> {
    const { live } = this;
    const low = latin1(from);
    const high = to === undefined ? undefined : latin1(to);
    const keyOf = (entry: LiveEntry<K, V, WriteContext>): string =>
      latin1(live.sortKey(entry.key, entry.windowStartMs));
    const pending = [...live.live()]
      .filter((e) => e.dirty && !live.isHidden(e.windowStartMs))
      .map((entry) => ({ entry, key: keyOf(entry) }));
    const overlay = pending
      .filter(({ key }) => key >= low && (high === undefined || key < high))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    const replaced = new Set(overlay.map(({ key }) => key));
    let next = 0;
    for await (const entry of live.stored(from, to)) {
      const key = keyOf(entry);
      while (next < overlay.length && overlay[next]!.key <= key) {
        const pendingEntry = overlay[next++]!.entry;
        if (pendingEntry.value !== null) yield pendingEntry;
      }
      if (!replaced.has(key)) yield entry;
    }
    for (; next < overlay.length; next++) if (overlay[next]!.entry.value !== null) yield overlay[next]!.entry;
  }
}

export class KeyValueFacade<K, V> extends Facade<K, V> implements KeyValueStore<K, V> {
  get(key: K): V | null {
    return this.copied(this.live.find(key, 0));
  }

  /** The value with the record time of its newest update; −1 in stores without timestamps. */
  getWithTimestamp(key: K): ValueAndTimestamp<V> | null {
    const entry = this.live.find(key, 0);
    const value = this.copied(entry);
    return value === null ? null : { value, timestamp: entry!.timestamp };
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

  all(): AsyncIterable<readonly [K, V]> {
    return this.#entries(EMPTY, undefined);
  }

  range(from: K, to: K): AsyncIterable<readonly [K, V]> {
    // Behind `to` comes `to` with a zero byte: the least key that is greater.
    return this.#entries(this.live.sortKey(from, 0), Buffer.concat([this.live.sortKey(to, 0), Buffer.alloc(1)]));
  }

  async *#entries(from: Buffer, to: Buffer | undefined): AsyncIterable<readonly [K, V]> {
    for await (const entry of this.merged(from, to)) yield [entry.key, this.copied(entry)!];
  }
}

export class WindowFacade<K, V> extends Facade<K, V> implements WindowStore<K, V> {
  fetch(key: K, windowStartMs: number): V | null {
    return this.live.isHidden(windowStartMs) ? null : this.copied(this.live.find(key, windowStartMs));
  }

  getWithTimestamp(key: K, windowStartMs: number): ValueAndTimestamp<V> | null {
    const value = this.fetch(key, windowStartMs);
    return value === null ? null : { value, timestamp: this.live.find(key, windowStartMs)!.timestamp };
  }

  put(key: K, value: V | null, windowStartMs: number): void {
    this.write(key, windowStartMs, value);
  }

  async *fetchRange(key: K, fromMs: number, toMs: number): AsyncIterable<readonly [number, V]> {
    const { live } = this;
    const wanted = latin1(live.keyBytes(key, 0));
    const starts: { startMs: number; value: V }[] = [];
    const upper = live.segmentKey(toMs + live.segmentIntervalMs);
    for await (const entry of this.merged(live.segmentKey(Math.max(0, fromMs)), upper)) {
      const { windowStartMs } = entry;
      if (windowStartMs < fromMs || windowStartMs > toMs || latin1(live.keyBytes(entry.key, 0)) !== wanted) continue;
      starts.push({ startMs: windowStartMs, value: this.copied(entry)! });
    }
    for (const { startMs, value } of starts.sort((a, b) => a.startMs - b.startMs)) yield [startMs, value];
  }

  async *all(): AsyncIterable<readonly [{ readonly key: K; readonly windowStartMs: number }, V]> {
    const entries: LiveEntry<K, V, WriteContext>[] = [];
    for await (const entry of this.merged(EMPTY, undefined)) entries.push(entry);
    // Segments hold several windows, sorted by key within: put them by start.
    entries.sort((a, b) => a.windowStartMs - b.windowStartMs);
    for (const entry of entries) yield [{ key: entry.key, windowStartMs: entry.windowStartMs }, this.copied(entry)!];
  }
}
