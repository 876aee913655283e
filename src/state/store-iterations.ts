/**
 * Iterations over a store. Each is a snapshot as of the call: what is dirty is serialised then, overlays are copied, the
 * backend keeps what it had. What is put, flushed, committed or evicted later changes nothing in it. To be iterated at
 * once, and to the end or to a `break`: until then the backend keeps what was there.
 */
import { latin1 } from '../bytes.ts';
import type { EntryCache } from './entry-cache.ts';
import type { LiveEntry, WriteContext } from './live-entry.ts';
import type { StoreBytes } from './store-bytes.ts';
import type { StoreCodec } from './store-codec.ts';
import type { LocalRange, StoreLayout } from './store-layout.ts';

export interface StoredEntry<K, V> {
  readonly key: K;
  /** 0 in a key-value store. */
  readonly windowStartMs: number;
  /** An object of its own. */
  readonly value: V;
}

/** Keys as in the database and values as stored. */
type Stored = AsyncIterable<readonly [Buffer, Buffer]>;

/** The store that is iterated over. */
export interface IteratedStore<K, V, C extends WriteContext> {
  readonly layout: StoreLayout<K, V>;
  readonly codec: StoreCodec<K, V>;
  readonly cache: EntryCache<K, V, C>;
  readonly bytes: StoreBytes;
  unflushed(): Iterable<LiveEntry<K, V, C>>;
  observedTimeMs(): number;
}

export class StoreIterations<K, V, C extends WriteContext> {
  readonly #store: IteratedStore<K, V, C>;

  constructor(store: IteratedStore<K, V, C>) {
    this.#store = store;
  }

  /** Every entry by its key's bytes. */
  all(): AsyncIterable<StoredEntry<K, V>> {
    return this.#decoded(this.#everything());
  }

  /** Those of a key-value store from one key to another, both included, by the keys' bytes. */
  range(from: K, to: K): AsyncIterable<StoredEntry<K, V>> {
    const { layout, codec, unflushed } = this.#store;
    return this.#decoded(this.#snapshot([layout.keyRange(codec.cacheKeyOf(from), codec.cacheKeyOf(to))], unflushed()));
  }

  /** Every window that reads do not hide, by start, then by its key's bytes. */
  windows(): AsyncIterable<StoredEntry<K, V>> {
    return this.#decoded(this.#byStart(this.#everything()));
  }

  /** One key's windows that start from one time to another, both included, by start. Its cost follows their number. */
  windowsOf(key: K, fromMs: number, toMs: number): AsyncIterable<StoredEntry<K, V>> {
    const { layout, codec } = this.#store;
    const cacheKey = codec.cacheKeyOf(key);
    const observedTimeMs = this.#store.observedTimeMs();
    const from = Math.max(0, Math.ceil(fromMs), observedTimeMs - layout.retentionMs + 1);
    const to = Math.min(Math.floor(toMs), observedTimeMs);
    const ranges = [...layout.windowRanges(cacheKey, from, to)];
    return this.#decoded(this.#snapshot(ranges, this.#unflushedOf(cacheKey, from, to), ranges[0]));
  }

  #everything(): Stored {
    const { layout, unflushed } = this.#store;
    return this.#snapshot([layout.everything()], unflushed());
  }

  /** Through the windows or through what is dirty, whichever are fewer. */
  *#unflushedOf(cacheKey: K | string, fromMs: number, toMs: number): Iterable<LiveEntry<K, V, C>> {
    const { cache, unflushed } = this.#store;
    const isAsked = (startMs: number): boolean => startMs >= fromMs && startMs <= toMs;
    const dirty = [...unflushed()];
    if (dirty.length <= cache.windowCount) {
      yield* dirty.filter((entry) => entry.key === cacheKey && isAsked(entry.windowStartMs));
      return;
    }
    for (const startMs of [...cache.windowStarts()].filter(isAsked)) {
      const entry = cache.find(cacheKey, startMs);
      if (entry?.dirty === true) yield entry;
    }
  }

  /** @param ofKey a range of the one key that is asked for; other keys' entries may lie between */
  #snapshot(ranges: readonly LocalRange[], unflushed: Iterable<LiveEntry<K, V, C>>, ofKey?: LocalRange): Stored {
    const { layout, codec, bytes, observedTimeMs } = this.#store;
    const changes = new Map<string, Buffer | null>();
    for (const entry of unflushed) {
      const local = layout.localKey(entry.key, entry.windowStartMs);
      if (!ranges.some((range) => isWithin(local, range))) continue;
      changes.set(latin1(local), entry.isDeleted ? null : codec.writeStored(entry).copy());
    }
    return this.#shown(bytes.snapshot(ranges, changes), observedTimeMs(), ofKey);
  }

  async *#shown(stored: Stored, observedTimeMs: number, ofKey: LocalRange | undefined): Stored {
    const { layout } = this.#store;
    for await (const entry of stored) {
      const [local] = entry;
      if (layout.isHidden(layout.readStart(local, local.length), observedTimeMs)) continue;
      if (ofKey === undefined || layout.isOfKey(local, ofKey)) yield entry;
    }
  }

  /** Segments come in the order of time; within one, windows are sorted by the bytes of key and start. */
  async *#byStart(stored: Stored): Stored {
    const { layout } = this.#store;
    const startOf = ([local]: readonly [Buffer, Buffer]): number => layout.readStart(local, local.length);
    const byStart = (a: readonly [Buffer, Buffer], b: readonly [Buffer, Buffer]): number =>
      startOf(a) - startOf(b) || layout.compareKeys(a[0], b[0]);
    let segment: (readonly [Buffer, Buffer])[] = [];
    for await (const entry of stored) {
      if (segment.length > 0 && layout.segmentOf(startOf(segment[0]!)) !== layout.segmentOf(startOf(entry))) {
        yield* segment.sort(byStart);
        segment = [];
      }
      segment.push(entry);
    }
    yield* segment.sort(byStart);
  }

  async *#decoded(stored: Stored): AsyncIterable<StoredEntry<K, V>> {
    const { layout, codec } = this.#store;
    for await (const [local, value] of stored) {
      const windowStartMs = layout.readStart(local, local.length);
      yield { key: layout.readKey(local), windowStartMs, value: codec.readStored(value) };
    }
  }
}

function isWithin(local: Buffer, { from, to }: LocalRange): boolean {
  return local.compare(from) >= 0 && (to === undefined || local.compare(to) < 0);
}
