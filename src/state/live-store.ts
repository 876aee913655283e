/**
 * A store of live objects over bytes: the cache that every store of a task is. An update is a Map look-up; serialising,
 * changelog and overlay come once per dirty key, at a flush. Reads go cache, overlay, backend.
 *
 * An object in the cache belongs to the store alone. What user code has seen, or is about to see, is kept as bytes: the
 * next update reads it back.
 */
import { copyRange } from '../byte-views.ts';
import { latin1, ReusedBytes, writeInt64 } from '../bytes.ts';
import type { BackendBatch } from './backend.ts';
import type { CacheBudget } from './cache.ts';
import { EntryCache } from './entry-cache.ts';
import { textBytes } from './heap-size.ts';
import type { ChangelogSink, LiveEntry, WriteContext } from './live-entry.ts';
import type {
  AnyStoreDescription,
  KeyValueStoreDescription,
  ValueAndTimestamp,
  WindowStoreDescription,
} from './store.ts';
import type { StoreBytes } from './store-bytes.ts';
import { StoreCodec } from './store-codec.ts';
import { StoreIterations } from './store-iterations.ts';
import { type LocalRange, StoreLayout } from './store-layout.ts';

export interface LiveStoreEnvironment<C extends WriteContext> {
  readonly bytes: StoreBytes;
  readonly budget: CacheBudget;
  /** Undefined: not logged. */
  readonly changelog: ChangelogSink | undefined;
  /** The topic that serdes see; the changelog's name. */
  readonly topic: string;
  /** The write being processed. */
  context(): C;
  /** What a dirty entry keeps of it, so that it does not keep the record; left out: the context itself. */
  keepContext?(context: C, kept: C | undefined): C;
  /** The node at work, for errors; undefined where none is known. */
  node?(): string | undefined;
  /** A put for a window whose retention has ended. */
  onExpired(): void;
}

/** What a flush hands on; `value` null is a delete. */
export type FlushListener<K, V, C> = (
  key: K,
  windowStartMs: number,
  value: V | null,
  timestamp: number,
  context: C,
) => void;

/** A number or a truth value of its own. */
const PRIMITIVE_BYTES = 16;

const restoredKey = new ReusedBytes();
const restoredValue = new ReusedBytes();

export class LiveStore<K, V, C extends WriteContext> {
  readonly name: string;
  readonly description: AnyStoreDescription;
  readonly iterations: StoreIterations<K, V, C>;
  /** Called for each dirty entry of a flush, in the order of the last writes, when the store caches. */
  onFlush: FlushListener<K, V, C> | undefined;
  /** Objects that a flush hands on are not the store's any more: user code may keep or change them. */
  givesAway = true;
  /** Highest window start ever put; −1 before the first. The store's own stream time. */
  observedTimeMs = -1;
  readonly #description: KeyValueStoreDescription<K, V> | WindowStoreDescription<K, V>;
  readonly #environment: LiveStoreEnvironment<C>;
  readonly #keepContext: (context: C, kept: C | undefined) => C;
  readonly #primitiveKeys: boolean;
  readonly #codec: StoreCodec<K, V>;
  readonly #layout: StoreLayout<K, V>;
  readonly #cache: EntryCache<K, V, C>;
  #dirty: LiveEntry<K, V, C>[] = [];
  /** What a flush has taken from there. */
  #flushing: readonly LiveEntry<K, V, C>[] = [];
  #sequence = 0;
  /** No window that starts later has bytes in overlay or backend. */
  #storedMaxMs = Number.POSITIVE_INFINITY;

  constructor(
    description: KeyValueStoreDescription<K, V> | WindowStoreDescription<K, V>,
    environment: LiveStoreEnvironment<C>,
  ) {
    this.name = description.name;
    this.description = description;
    this.#description = description;
    this.#environment = environment;
    this.#keepContext = environment.keepContext ?? ((context) => context);
    this.#primitiveKeys = description.key.primitive;
    this.#codec = new StoreCodec(description, environment.topic, () => environment.node?.());
    this.#layout = new StoreLayout(description, environment.bytes.prefix, this.#codec);
    this.#cache = new EntryCache(environment.budget);
    this.iterations = new StoreIterations({
      layout: this.#layout,
      codec: this.#codec,
      cache: this.#cache,
      bytes: environment.bytes,
      unflushed: () => this.#unflushed(),
      observedTimeMs: () => this.observedTimeMs,
    });
  }

  get isDirty(): boolean {
    return this.#dirty.length > 0;
  }

  get uncommittedBytes(): number {
    return this.#environment.bytes.uncommittedBytes;
  }

  /** To be called once the restored state is in the backend: windows past this start need no look-up. */
  opened(observedTimeMs: number): void {
    // What was read in between may have changed since.
    this.#cache.clear();
    this.observedTimeMs = observedTimeMs;
    if (this.#layout.isWindow) this.#storedMaxMs = observedTimeMs;
  }

  /** Hot. The live entry of a key (and window), undefined where there is none. It may be deleted. */
  find(key: K, windowStartMs: number): LiveEntry<K, V, C> | undefined {
    const cacheKey = this.#primitiveKeys ? key : this.#codec.keyText(key);
    const entry = this.#cache.find(cacheKey, windowStartMs);
    if (entry === undefined) return this.#load(cacheKey, windowStartMs, true);
    entry.recent = true;
    return entry;
  }

  /** The value for anyone, an object of its own, with its timestamp; undefined where there is none. */
  read(key: K, windowStartMs: number): ValueAndTimestamp<V> | undefined {
    const cacheKey = this.#codec.cacheKeyOf(key);
    const entry = this.#cache.find(cacheKey, windowStartMs) ?? this.#load(cacheKey, windowStartMs, false);
    if (entry === undefined || entry.isDeleted) return undefined;
    entry.recent = true;
    const value = entry.text === undefined ? this.#codec.copyOf(entry.value!) : this.#codec.valueOfText(entry.text);
    return { value, timestamp: entry.timestamp };
  }

  /**
   * Hot. The entry's value for the operator that the store belongs to, which may change it if it puts it again; null
   * after a delete.
   */
  ownValueOf(entry: LiveEntry<K, V, C>): V | null {
    return entry.text === undefined ? entry.value : this.#codec.valueOfText(entry.text);
  }

  /** A value through the store's serde: an object of its own. */
  copyOf(value: V): V {
    return this.#codec.copyOf(value);
  }

  /** True where reads hide the window: its start is at or before store time less retention. */
  isHidden(windowStartMs: number): boolean {
    return this.#layout.isHidden(windowStartMs, this.observedTimeMs);
  }

  /**
   * Hot. Writes an object that belongs to the store alone from now on; it is serialised at a flush. Null deletes.
   * @param known what `find` gave for the key
   */
  put(key: K, windowStartMs: number, value: V | null, timestamp: number, known?: LiveEntry<K, V, C>): void {
    if (!this.#accepts(windowStartMs, value === null)) return;
    const entry =
      known ?? this.#entryOf(this.#primitiveKeys ? key : this.#codec.keyText(key), windowStartMs, timestamp);
    this.#written(entry, timestamp);
    entry.value = value;
    entry.text = undefined;
    const { value: serde } = this.#description;
    if (value === null) this.#cache.resize(entry, 0);
    else if (typeof value === 'object' && serde.sizeOf !== undefined) this.#cache.resize(entry, serde.sizeOf(value));
    else if (typeof value !== 'object' && typeof value !== 'string') this.#cache.resize(entry, PRIMITIVE_BYTES);
    else if (--entry.measureIn <= 0) this.#measure(entry, value);
  }

  /**
   * Writes a value that user code has seen or will see: it is serialised at once, and no object is kept. Null deletes.
   * @throws SerdeError key or value are not what the serdes write; nothing is changed then
   */
  putForeign(key: K, windowStartMs: number, value: V | null, timestamp: number, known?: LiveEntry<K, V, C>): void {
    const text = value === null ? undefined : this.#codec.valueText(value);
    const entry = known ?? this.#cache.find(this.#codec.cacheKeyOf(key), windowStartMs);
    const ownKey = entry === undefined ? this.#codec.ownCacheKeyOf(key) : entry.key;
    if (!this.#accepts(windowStartMs, value === null)) return;
    const written = entry ?? this.#entryOf(ownKey, windowStartMs, timestamp);
    this.#written(written, timestamp);
    this.#setText(written, text);
  }

  /** Serialises dirty entries to overlay and changelog, and hands them to `onFlush`, in the order of their last writes. */
  flush(): void {
    const dirty = this.#dirty;
    if (dirty.length === 0) return;
    this.#dirty = [];
    this.#flushing = dirty;
    if (dirty.length > 1) dirty.sort((a, b) => a.sequence - b.sequence);
    let next = 0;
    try {
      for (; next < dirty.length; next++) this.#flushEntry(dirty[next]!);
    } finally {
      // Where one failed, what is not flushed stays dirty: it is lost in no case.
      if (next < dirty.length) this.#dirty = [...new Set([...dirty.slice(next), ...this.#dirty])].filter(isDirty);
      this.#flushing = [];
    }
    this.#codec.trim();
  }

  /**
   * Drops clean entries, those of the oldest windows first, until the budget is relieved.
   * @param idleOnly only those not used since the last call with true
   */
  evict(idleOnly: boolean): void {
    this.#cache.evict(idleOnly);
  }

  /** Drops every clean entry, whatever the budget. What is read next is read from bytes. */
  dropLive(): void {
    this.#cache.dropClean(() => true);
  }

  /** After a commit: entries of windows that reads hide are dropped. Returns the range of bytes to delete, if any. */
  expire(): LocalRange | undefined {
    if (!this.#layout.isWindow || this.observedTimeMs < 0) return undefined;
    this.#cache.dropClean((startMs) => this.isHidden(startMs));
    return this.#layout.expiredRange(this.observedTimeMs);
  }

  /** Forgets every live entry; nothing is flushed. */
  discard(): void {
    this.#cache.clear();
    this.#dirty = [];
  }

  /**
   * Hot. Adds a changelog record to a batch of restored entries; ranges of a fetch response. A window that has expired
   * already is left out.
   * @param valueLength −1 for a tombstone
   */
  restore(
    batch: BackendBatch,
    buffer: Buffer,
    keyStart: number,
    keyLength: number,
    valueStart: number,
    valueLength: number,
    timestamp: number,
  ): void {
    const layout = this.#layout;
    const startMs = layout.readStart(buffer, keyStart + keyLength);
    if (layout.isWindow) {
      if (startMs > this.observedTimeMs) this.observedTimeMs = startMs;
      if (layout.isExpired(startMs, this.observedTimeMs)) return;
    }
    const head = layout.changelogKeyStart;
    const key = restoredKey.of(head + keyLength);
    layout.writeHead(key, startMs);
    copyRange(buffer, keyStart, keyStart + keyLength, key, restoredKey.view, head);
    if (valueLength < 0) {
      batch.del(key);
      return;
    }
    const start = this.#codec.valueStart;
    const value = restoredValue.of(start + valueLength);
    if (start > 0) writeInt64(value, timestamp, 0);
    copyRange(buffer, valueStart, valueStart + valueLength, value, restoredValue.view, start);
    batch.put(key, value);
  }

  #accepts(windowStartMs: number, isDelete: boolean): boolean {
    // The newest window is what most puts are for.
    if (windowStartMs === this.observedTimeMs || !this.#layout.isWindow) return true;
    if (windowStartMs > this.observedTimeMs) {
      // The delete of a window that cannot be there: a cache swallows it, time stands still, as in Java.
      if (!isDelete || !this.#description.cachingEnabled) this.observedTimeMs = windowStartMs;
      return true;
    }
    if (!this.#layout.isExpired(windowStartMs, this.observedTimeMs)) return true;
    this.#environment.onExpired();
    return false;
  }

  #entryOf(cacheKey: K | string, windowStartMs: number, timestamp: number): LiveEntry<K, V, C> {
    return this.#cache.find(cacheKey, windowStartMs) ?? this.#cache.add(cacheKey, windowStartMs, timestamp);
  }

  #written(entry: LiveEntry<K, V, C>, timestamp: number): void {
    entry.context = this.#keepContext(this.#environment.context(), entry.context);
    entry.timestamp = timestamp;
    entry.recent = true;
    entry.sequence = ++this.#sequence;
    if (entry.dirty) return;
    entry.dirty = true;
    this.#dirty.push(entry);
    this.#cache.dirtied();
  }

  /** Apart from `put`: a closure would cost it an allocation each time. */
  #measure(entry: LiveEntry<K, V, C>, value: V): void {
    this.#cache.measure(entry, value, () => this.#codec.valueText(value).length);
  }

  #setText(entry: LiveEntry<K, V, C>, text: string | undefined): void {
    entry.value = null;
    entry.text = text;
    entry.measureIn = 1;
    this.#cache.resize(entry, text === undefined ? 0 : textBytes(text.length));
  }

  *#unflushed(): Iterable<LiveEntry<K, V, C>> {
    for (const entry of this.#flushing) if (entry.dirty) yield entry;
    yield* this.#dirty;
  }

  /** @param asObject false: its bytes are kept, which is what facades read */
  #load(cacheKey: K | string, windowStartMs: number, asObject: boolean): LiveEntry<K, V, C> | undefined {
    if (windowStartMs > this.#storedMaxMs) return undefined;
    const stored = this.#environment.bytes.get(this.#layout.localKey(cacheKey, windowStartMs));
    if (stored === undefined) return undefined;
    const value = asObject ? this.#codec.readStored(stored) : null;
    const entry = this.#cache.add(cacheKey, windowStartMs, this.#codec.timestampOf(stored));
    if (asObject) entry.value = value;
    else this.#setText(entry, latin1(stored, this.#codec.valueStart));
    return entry;
  }

  #flushEntry(entry: LiveEntry<K, V, C>): void {
    const { bytes, changelog } = this.#environment;
    const context = entry.context!;
    const local = this.#layout.localKey(entry.key, entry.windowStartMs);
    const keyStart = this.#layout.changelogKeyStart;
    if (entry.isDeleted) {
      // A key that was neither stored before nor is now: nothing to log, nothing to tell (CachingKeyValueStore in Java).
      if (this.#description.cachingEnabled && bytes.get(local) === undefined) {
        this.#clean(entry);
        return;
      }
      changelog?.log(this.name, local, keyStart, local.length, local, 0, -1, context.timestamp);
      bytes.set(local, null);
      this.#flushed(entry);
      this.onFlush?.(this.#codec.keyOf(entry.key), entry.windowStartMs, null, context.timestamp, context);
      return;
    }
    const out = this.#codec.writeStored(entry);
    const { valueStart } = this.#codec;
    const valueLength = out.position - valueStart;
    const logTime = this.#description.timestamped ? entry.timestamp : context.timestamp;
    changelog?.log(this.name, local, keyStart, local.length, out.buffer, valueStart, valueLength, logTime);
    bytes.set(local, out.copy());
    this.#flushed(entry);
    if (this.onFlush === undefined) return;
    const { value, text, timestamp } = entry;
    if (text === undefined && this.givesAway && typeof value === 'object') {
      this.#setText(entry, latin1(out.buffer, valueStart, out.position));
    }
    const given = text === undefined ? value : this.#codec.valueOfText(text);
    this.onFlush(this.#codec.keyOf(entry.key), entry.windowStartMs, given, timestamp, context);
  }

  #flushed(entry: LiveEntry<K, V, C>): void {
    if (entry.windowStartMs > this.#storedMaxMs) this.#storedMaxMs = entry.windowStartMs;
    this.#clean(entry);
  }

  /** Before anything is forwarded: what comes back to the entry from there makes it dirty anew. */
  #clean(entry: LiveEntry<K, V, C>): void {
    entry.dirty = false;
    entry.context = undefined;
    this.#cache.cleaned();
  }
}

function isDirty({ dirty }: { readonly dirty: boolean }): boolean {
  return dirty;
}
