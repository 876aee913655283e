/**
 * A store of live objects over bytes: the cache that every store of a task is. An update is a Map look-up; serialising,
 * changelog and overlay come once per dirty key, at a flush. Reads go cache, overlay, backend.
 *
 * Keys of the cache are the key itself where its serde is primitive, else the key's bytes as a string. Windows have one
 * Map each, found by their start.
 */
import { copyRange } from '../byte-views.ts';
import { ByteWriter, latin1, ReusedBytes, writeInt64 } from '../bytes.ts';
import { asDeserializationError, SerdeError } from '../serdes/index.ts';
import type { BackendBatch } from './backend.ts';
import type { CacheBudget } from './cache.ts';
import { type ChangelogSink, LiveEntry, type WriteContext } from './live-entry.ts';
import type { AnyStoreDescription, KeyValueStoreDescription, WindowStoreDescription } from './store.ts';
import type { StoreBytes } from './store-bytes.ts';
import { type LocalRange, segmentIntervalOf } from './store-layout.ts';

export interface LiveStoreEnvironment<C extends WriteContext> {
  readonly bytes: StoreBytes;
  readonly budget: CacheBudget;
  /** Undefined: not logged. */
  readonly changelog: ChangelogSink | undefined;
  /** The topic that serdes see; the changelog's name. */
  readonly topic: string;
  /** The write being processed. */
  context(): C;
  /** A put for a window whose retention has ended. */
  onExpired(): void;
}

/** Object, Map entry and bookkeeping. */
const ENTRY_BYTES = 160;
const WINDOW_KEY_SUFFIX_BYTES = 12;
const SEGMENT_BYTES = 8;
const TIMESTAMP_BYTES = 8;

const restoredKey = new ReusedBytes();
const restoredValue = new ReusedBytes();

export class LiveStore<K, V, C extends WriteContext> {
  readonly name: string;
  readonly description: AnyStoreDescription;
  /** Called for each dirty entry of a flush, in the order of the last writes, when the store caches. */
  onFlush: ((entry: LiveEntry<K, V, C>) => void) | undefined;
  /** Highest window start ever put; −1 before the first. The store's own stream time. */
  observedTimeMs = -1;
  readonly #description: KeyValueStoreDescription<K, V> | WindowStoreDescription<K, V>;
  readonly #environment: LiveStoreEnvironment<C>;
  readonly #retentionMs: number;
  readonly #segmentIntervalMs: number;
  readonly #windows = new Map<number, Map<K | string, LiveEntry<K, V, C>>>();
  #lastWindow: Map<K | string, LiveEntry<K, V, C>> | undefined;
  #lastWindowStartMs = Number.NaN;
  #dirty: LiveEntry<K, V, C>[] = [];
  #sequence = 0;
  readonly #out = new ByteWriter(1024);
  /** Starts of windows with bytes in overlay or backend; those from before the opening end at `#openedMaxMs`. */
  readonly #storedWindows = new Set<number>();
  #openedMaxMs = Number.POSITIVE_INFINITY;

  constructor(
    description: KeyValueStoreDescription<K, V> | WindowStoreDescription<K, V>,
    environment: LiveStoreEnvironment<C>,
  ) {
    this.name = description.name;
    this.description = description;
    this.#description = description;
    this.#environment = environment;
    this.#retentionMs = description.type === 'window' ? description.retentionMs : 0;
    this.#segmentIntervalMs = segmentIntervalOf(this.#retentionMs);
  }

  get isDirty(): boolean {
    return this.#dirty.length > 0;
  }

  get uncommittedBytes(): number {
    return this.#environment.bytes.uncommittedBytes;
  }

  /** To be called once the restored state is in the backend: windows past this start need no look-up. */
  opened(observedTimeMs: number): void {
    this.observedTimeMs = observedTimeMs;
    this.#openedMaxMs = observedTimeMs;
  }

  /** Hot. The live entry of a key (and window), undefined where there is none. Its value may be null after a delete. */
  find(key: K, windowStartMs: number): LiveEntry<K, V, C> | undefined {
    const window = windowStartMs === this.#lastWindowStartMs ? this.#lastWindow! : this.#window(windowStartMs);
    const entry = window.get(this.#description.key.primitive ? key : this.#keyText(key));
    if (entry !== undefined) {
      entry.recent = true;
      return entry;
    }
    return this.#load(window, key, windowStartMs);
  }

  /** True where reads hide the window: its start is at or before store time less retention. */
  isHidden(windowStartMs: number): boolean {
    return this.#retentionMs > 0 && windowStartMs <= this.observedTimeMs - this.#retentionMs;
  }

  /** Hot. Writes a value (null deletes); the object is kept live. */
  put(key: K, windowStartMs: number, value: V | null, timestamp: number, known?: LiveEntry<K, V, C>): void {
    if (this.#retentionMs > 0) {
      if (windowStartMs > this.observedTimeMs) {
        // The delete of a window that cannot be there: a cache swallows it, time stands still, as in Java.
        if (value !== null || !this.#description.cachingEnabled) this.observedTimeMs = windowStartMs;
      } else if (this.#isExpired(windowStartMs)) {
        this.#environment.onExpired();
        return;
      }
    }
    let entry = known;
    if (entry === undefined) {
      const window = windowStartMs === this.#lastWindowStartMs ? this.#lastWindow! : this.#window(windowStartMs);
      const cacheKey = this.#description.key.primitive ? key : this.#keyText(key);
      entry = window.get(cacheKey);
      if (entry === undefined) entry = this.#add(window, cacheKey, key, windowStartMs, null, timestamp, 0);
    }
    entry.value = value;
    entry.timestamp = timestamp;
    entry.recent = true;
    entry.context = this.#environment.context();
    entry.sequence = ++this.#sequence;
    if (!entry.dirty) {
      entry.dirty = true;
      this.#dirty.push(entry);
    }
    const sizeOf = this.#description.value.sizeOf;
    if (sizeOf !== undefined) {
      const size = ENTRY_BYTES + (value === null ? 0 : sizeOf(value));
      this.#environment.budget.usedBytes += size - entry.sizeBytes;
      entry.sizeBytes = size;
    }
  }

  /** Serialises dirty entries to overlay and changelog, and hands them to `onFlush`, in the order of their last writes. */
  flush(): void {
    const dirty = this.#dirty;
    if (dirty.length === 0) return;
    this.#dirty = [];
    if (dirty.length > 1) dirty.sort((a, b) => a.sequence - b.sequence);
    for (const entry of dirty) {
      entry.dirty = false;
      this.#flushEntry(entry);
      entry.context = undefined;
    }
  }

  /**
   * Drops clean entries, those of the oldest windows first, until the budget is relieved.
   * @param idleOnly only those not used since the last call with true
   */
  evict(idleOnly: boolean): void {
    const { budget } = this.#environment;
    for (const [startMs, window] of this.#windows) {
      for (const [cacheKey, entry] of window) {
        if (budget.isRelieved) return;
        if (entry.dirty) continue;
        if (idleOnly && entry.recent) {
          entry.recent = false;
          continue;
        }
        window.delete(cacheKey);
        budget.usedBytes -= entry.sizeBytes;
      }
      if (window.size === 0) this.#forgetWindow(startMs);
    }
  }

  /** After a commit: live objects of windows that reads hide are dropped. Returns the range of bytes to delete, if any. */
  expire(): LocalRange | undefined {
    if (this.#retentionMs === 0 || this.observedTimeMs < 0) return undefined;
    for (const [startMs, window] of this.#windows) {
      if (!this.isHidden(startMs)) continue;
      for (const entry of window.values()) if (!entry.dirty) this.#environment.budget.usedBytes -= entry.sizeBytes;
      this.#forgetWindow(startMs);
      this.#storedWindows.delete(startMs);
    }
    const firstLive = Math.floor((this.observedTimeMs - this.#retentionMs) / this.#segmentIntervalMs);
    if (firstLive <= 0) return undefined;
    const prefix = this.#environment.bytes.prefix;
    return { from: prefix, to: new ByteWriter(16).bytes(prefix).int64(firstLive).copy() };
  }

  /** Forgets every live object; nothing is flushed. */
  discard(): void {
    for (const window of this.#windows.values()) {
      for (const entry of window.values()) this.#environment.budget.usedBytes -= entry.sizeBytes;
    }
    this.#windows.clear();
    this.#lastWindow = undefined;
    this.#lastWindowStartMs = Number.NaN;
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
    const { prefix } = this.#environment.bytes;
    const isWindow = this.#description.type === 'window';
    const head = prefix.length + (isWindow ? SEGMENT_BYTES : 0);
    const key = restoredKey.of(head + keyLength);
    prefix.copy(key);
    if (isWindow) {
      const startMs = readStart(buffer, keyStart + keyLength);
      if (startMs > this.observedTimeMs) this.observedTimeMs = startMs;
      if (this.#isExpired(startMs)) return;
      writeInt64(key, this.#segmentOf(startMs), prefix.length);
    }
    copyRange(buffer, keyStart, keyStart + keyLength, key, restoredKey.view, head);
    if (valueLength < 0) {
      batch.del(key);
      return;
    }
    const start = this.#description.timestamped ? TIMESTAMP_BYTES : 0;
    const value = restoredValue.of(start + valueLength);
    if (start > 0) writeInt64(value, timestamp, 0);
    copyRange(buffer, valueStart, valueStart + valueLength, value, restoredValue.view, start);
    batch.put(key, value);
  }

  /** Entries with bytes in the given range of local keys (without prefix), flushed state only. */
  async *stored(from: Buffer, to: Buffer | undefined): AsyncIterable<LiveEntry<K, V, C>> {
    const { bytes, topic } = this.#environment;
    const range = {
      from: Buffer.concat([bytes.prefix, from]),
      to: to === undefined ? undefined : Buffer.concat([bytes.prefix, to]),
    };
    const keyStart = 2 + (this.#description.type === 'window' ? SEGMENT_BYTES : 0);
    const suffix = this.#description.type === 'window' ? WINDOW_KEY_SUFFIX_BYTES : 0;
    for await (const [key, value] of bytes.snapshot([range], new Map())) {
      const startMs = suffix === 0 ? 0 : readStart(key, key.length);
      if (this.isHidden(startMs)) continue;
      const decoded = this.#description.key.read(key, keyStart, key.length - suffix, topic, 'key');
      yield this.#decode(decoded, startMs, value);
    }
  }

  /** Every live object with its window start; dirty ones included. */
  *live(): Iterable<LiveEntry<K, V, C>> {
    for (const window of this.#windows.values()) yield* window.values();
  }

  /** The key's bytes as they are in the changelog and, behind prefix and segment, in the database. */
  keyBytes(key: K, windowStartMs: number): Buffer {
    const out = new ByteWriter(64);
    this.#writeKey(out, key, windowStartMs);
    return out.copy();
  }

  /** Where the entry stands in the database, without the store's prefix: `[segment] | keyBytes`. */
  sortKey(key: K, windowStartMs: number): Buffer {
    return this.#localKey(key, windowStartMs).subarray(2);
  }

  /** The first key of the segment that holds windows starting at `startMs`, without the store's prefix. */
  segmentKey(startMs: number): Buffer {
    return new ByteWriter(8).int64(this.#segmentOf(startMs)).copy();
  }

  get segmentIntervalMs(): number {
    return this.#segmentIntervalMs;
  }

  /** The value through its serde: an object of its own. */
  copyOf(value: V): V {
    if (typeof value !== 'object' || value === null) return value;
    const { value: serde } = this.#description;
    const out = new ByteWriter(256);
    serde.write(value, out, this.#environment.topic, 'value');
    return serde.read(out.buffer, 0, out.position, this.#environment.topic, 'value');
  }

  #window(startMs: number): Map<K | string, LiveEntry<K, V, C>> {
    let window = this.#windows.get(startMs);
    if (window === undefined) {
      window = new Map();
      this.#windows.set(startMs, window);
    }
    this.#lastWindow = window;
    this.#lastWindowStartMs = startMs;
    return window;
  }

  #forgetWindow(startMs: number): void {
    this.#windows.delete(startMs);
    if (startMs === this.#lastWindowStartMs) {
      this.#lastWindow = undefined;
      this.#lastWindowStartMs = Number.NaN;
    }
  }

  #keyText(key: K): string {
    const out = this.#out;
    out.reset();
    this.#description.key.write(key, out, this.#environment.topic, 'key');
    return latin1(out.buffer, 0, out.position);
  }

  #load(window: Map<K | string, LiveEntry<K, V, C>>, key: K, windowStartMs: number): LiveEntry<K, V, C> | undefined {
    if (this.#retentionMs > 0 && windowStartMs > this.#openedMaxMs && !this.#storedWindows.has(windowStartMs))
      return undefined;
    const { bytes } = this.#environment;
    const stored = bytes.get(this.#localKey(key, windowStartMs));
    if (stored === undefined) return undefined;
    const decoded = this.#decode(key, windowStartMs, stored);
    const cacheKey = this.#description.key.primitive ? key : this.#keyText(key);
    return this.#add(window, cacheKey, key, windowStartMs, decoded.value, decoded.timestamp, stored.length);
  }

  #add(
    window: Map<K | string, LiveEntry<K, V, C>>,
    cacheKey: K | string,
    key: K,
    windowStartMs: number,
    value: V | null,
    timestamp: number,
    valueBytes: number,
  ): LiveEntry<K, V, C> {
    const entry = new LiveEntry<K, V, C>(key, windowStartMs, value, timestamp, ENTRY_BYTES + valueBytes);
    window.set(cacheKey, entry);
    this.#environment.budget.usedBytes += entry.sizeBytes;
    return entry;
  }

  #decode(key: K, windowStartMs: number, stored: Buffer): LiveEntry<K, V, C> {
    const { timestamped, value: serde } = this.#description;
    const start = timestamped ? TIMESTAMP_BYTES : 0;
    const timestamp = timestamped ? Number(stored.readBigInt64BE(0)) : -1;
    try {
      const value = serde.read(stored, start, stored.length, this.#environment.topic, 'value');
      return new LiveEntry(key, windowStartMs, value, timestamp, 0);
    } catch (error) {
      const typed = asDeserializationError(serde.name, error);
      throw new SerdeError(typed.code, `Store ${this.name}: ${typed.message}`, {
        cause: error,
        context: { store: this.name },
      });
    }
  }

  #flushEntry(entry: LiveEntry<K, V, C>): void {
    const { bytes, changelog, topic, budget } = this.#environment;
    const { timestamped, cachingEnabled, value: serde } = this.#description;
    const local = this.#localKey(entry.key, entry.windowStartMs);
    const value = entry.value;
    // A key that was neither stored before nor is now: nothing to log, nothing to tell (CachingKeyValueStore in Java).
    if (value === null && cachingEnabled && bytes.get(local) === undefined) return;
    const keyStart = local.length - this.#changelogKeyLength(local);
    if (value === null) {
      bytes.set(local, null);
      changelog?.log(this.name, local, keyStart, local.length, local, 0, -1, entry.context!.timestamp);
    } else {
      const out = this.#out;
      out.reset();
      if (timestamped) out.int64(entry.timestamp);
      const valueStart = out.position;
      serde.write(value, out, topic, 'value');
      const logTime = timestamped ? entry.timestamp : entry.context!.timestamp;
      changelog?.log(
        this.name,
        local,
        keyStart,
        local.length,
        out.buffer,
        valueStart,
        out.position - valueStart,
        logTime,
      );
      bytes.set(local, out.copy());
      if (serde.sizeOf === undefined) {
        const size = ENTRY_BYTES + out.position;
        budget.usedBytes += size - entry.sizeBytes;
        entry.sizeBytes = size;
      }
    }
    if (this.#retentionMs > 0) this.#storedWindows.add(entry.windowStartMs);
    this.onFlush?.(entry);
  }

  #changelogKeyLength(local: Buffer): number {
    return local.length - 2 - (this.#description.type === 'window' ? SEGMENT_BYTES : 0);
  }

  /** prefix | [segment int64] | key | [start int64 | sequence int32] */
  #localKey(key: K, windowStartMs: number): Buffer {
    const out = this.#out;
    out.reset();
    out.bytes(this.#environment.bytes.prefix);
    if (this.#description.type === 'window') out.int64(this.#segmentOf(windowStartMs));
    this.#writeKey(out, key, windowStartMs);
    return out.copy();
  }

  #writeKey(out: ByteWriter, key: K, windowStartMs: number): void {
    this.#description.key.write(key, out, this.#environment.topic, 'key');
    if (this.#description.type === 'window') out.int64(windowStartMs).int32(0);
  }

  #segmentOf(windowStartMs: number): number {
    return Math.floor(windowStartMs / this.#segmentIntervalMs);
  }

  /**
   * LevelDB's stores take puts while the segment lives, as RocksDB's do in Java; in memory the window itself decides.
   * Reads hide the same in both.
   */
  #isExpired(windowStartMs: number): boolean {
    const limit = this.observedTimeMs - this.#retentionMs;
    return this.#description.kind === 'in-memory'
      ? windowStartMs <= limit
      : this.#segmentOf(windowStartMs) < Math.floor(limit / this.#segmentIntervalMs);
  }
}

function readStart(key: Buffer, end: number): number {
  return Number(key.readBigInt64BE(end - WINDOW_KEY_SUFFIX_BYTES));
}
