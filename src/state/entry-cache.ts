/**
 * A store's live entries by window and key, and what they count for in the cache's budget. Windows have one Map each,
 * found by their start; a key-value store has the one at 0.
 */
import type { CacheBudget } from './cache.ts';
import { heapSizeOf } from './heap-size.ts';
import { LiveEntry, type WriteContext } from './live-entry.ts';

/**
 * What an entry takes beside key and value: the object with its two times, and its place in a Map, which is between half
 * full and full. Measured as the growth of heap and external memory after gc() (`node --expose-gc`, Node 20) over 20,000 to
 * 132,000 entries of a long, of JSON and of text, in a key-value store and in windows of 1,000 keys: 176 to 208 bytes.
 */
const ENTRY_BYTES = 184;
/** What it takes more while it is dirty, measured likewise: the write's context, and its place in the list. 104 to 112. */
const DIRTY_BYTES = 108;
/** A window's Map and its place among the others; measured with one key a window, 168. */
const WINDOW_BYTES = 170;
/** Updates after which a small object is measured again at the latest; a large one after as many as make it a share. */
const MEASURE_AFTER = 32;
const BYTES_PER_UPDATE = 256;
/** What an object with fields that cannot be seen takes for each byte written of it. */
const OPAQUE_FACTOR = 2;
/** What each concatenation takes besides its characters, until the string is made one. */
const ROPE_BYTES = 48;

type Entries<K, V, C extends WriteContext> = Map<K | string, LiveEntry<K, V, C>>;

export class EntryCache<K, V, C extends WriteContext> {
  readonly #budget: CacheBudget;
  readonly #windows = new Map<number, Entries<K, V, C>>();
  #lastWindow: Entries<K, V, C> | undefined;
  #lastStartMs = Number.NaN;

  constructor(budget: CacheBudget) {
    this.#budget = budget;
  }

  /** Hot. A miss leaves nothing behind. @param key see {@link LiveEntry.key} */
  find(key: K | string, windowStartMs: number): LiveEntry<K, V, C> | undefined {
    if (windowStartMs === this.#lastStartMs) return this.#lastWindow!.get(key);
    const window = this.#windows.get(windowStartMs);
    if (window === undefined) return undefined;
    this.#lastWindow = window;
    this.#lastStartMs = windowStartMs;
    return window.get(key);
  }

  /** Adds an entry without a value, which must not be there yet. */
  add(key: K | string, windowStartMs: number, timestamp: number): LiveEntry<K, V, C> {
    let window = this.#windows.get(windowStartMs);
    if (window === undefined) {
      window = new Map();
      this.#windows.set(windowStartMs, window);
      this.#budget.usedBytes += WINDOW_BYTES;
    }
    const entry = new LiveEntry<K, V, C>(key, windowStartMs, timestamp, ENTRY_BYTES + heapSizeOf(key, key).bytes);
    window.set(key, entry);
    this.#budget.usedBytes += entry.baseBytes;
    return entry;
  }

  /** Hot. Says what the entry's value takes now. */
  resize(entry: LiveEntry<K, V, C>, valueBytes: number): void {
    if (valueBytes === entry.valueBytes) return;
    this.#budget.usedBytes += valueBytes - entry.valueBytes;
    entry.valueBytes = valueBytes;
  }

  /**
   * Measures an object whose serde does not say its size, and decides after how many updates it is measured again: before
   * it can have grown by an eighth at the pace it has, and not so often that looking at it costs more than updating it.
   * @param written how many bytes the serde makes of it
   */
  measure(entry: LiveEntry<K, V, C>, value: V, written: () => number): void {
    const { bytes, opaque } = heapSizeOf(value, entry.key);
    const size = opaque ? Math.max(bytes, written() * OPAQUE_FACTOR) : bytes;
    const before = entry.measuredAfter;
    const pace = (size - entry.valueBytes) / before + (typeof value === 'string' ? ROPE_BYTES : 0);
    const atMost = Math.min(before * 2, Math.max(MEASURE_AFTER, size / BYTES_PER_UPDATE));
    const next = Math.max(1, Math.floor(pace > 0 ? Math.min(atMost, size / 8 / pace) : atMost));
    entry.measuredAfter = next;
    entry.measureIn = next;
    this.resize(entry, size);
  }

  /** An entry has become dirty. */
  dirtied(): void {
    this.#budget.usedBytes += DIRTY_BYTES;
  }

  /** A dirty entry has become clean. */
  cleaned(): void {
    this.#budget.usedBytes -= DIRTY_BYTES;
  }

  /**
   * Drops clean entries, those of the oldest windows first, until the budget is relieved.
   * @param idleOnly only those not used since the last call with true
   */
  evict(idleOnly: boolean): void {
    for (const [startMs, window] of this.#windows) {
      for (const entry of window.values()) {
        if (this.#budget.isRelieved) return;
        if (entry.dirty) continue;
        if (idleOnly && entry.recent) {
          entry.recent = false;
          continue;
        }
        this.#drop(window, entry);
      }
      if (window.size === 0) this.#forgetWindow(startMs);
    }
  }

  /** Drops every clean entry of the windows that are named; the budget does not matter. */
  dropClean(isNamed: (windowStartMs: number) => boolean): void {
    for (const [startMs, window] of this.#windows) {
      if (!isNamed(startMs)) continue;
      for (const entry of window.values()) if (!entry.dirty) this.#drop(window, entry);
      if (window.size === 0) this.#forgetWindow(startMs);
    }
  }

  /** Forgets everything, dirty or not. */
  clear(): void {
    for (const [startMs, window] of this.#windows) {
      for (const { baseBytes, valueBytes, dirty } of window.values()) {
        this.#budget.usedBytes -= baseBytes + valueBytes + (dirty ? DIRTY_BYTES : 0);
      }
      this.#forgetWindow(startMs);
    }
  }

  /** How many windows have entries. */
  get windowCount(): number {
    return this.#windows.size;
  }

  windowStarts(): Iterable<number> {
    return this.#windows.keys();
  }

  /** Of a clean one. */
  #drop(window: Entries<K, V, C>, entry: LiveEntry<K, V, C>): void {
    window.delete(entry.key);
    this.#budget.usedBytes -= entry.baseBytes + entry.valueBytes;
  }

  #forgetWindow(startMs: number): void {
    this.#windows.delete(startMs);
    this.#budget.usedBytes -= WINDOW_BYTES;
    if (startMs !== this.#lastStartMs) return;
    this.#lastWindow = undefined;
    this.#lastStartMs = Number.NaN;
  }
}
