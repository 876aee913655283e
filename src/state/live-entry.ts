/** One live entry of a store, and what its writes carry. */

/** Where a write came from; what a flush forwards and logs with. */
export interface WriteContext {
  readonly timestamp: number;
}

/** Takes a store's changes at a flush, as ranges of a reused buffer. Length −1 is a tombstone. */
export interface ChangelogSink {
  log(
    store: string,
    key: Buffer,
    keyStart: number,
    keyEnd: number,
    value: Buffer,
    valueStart: number,
    valueLength: number,
    timestamp: number,
  ): void;
}

/**
 * A key's (and window's) state: an object that belongs to the store alone, or its bytes as text where the object is not
 * the store's, or neither after a delete.
 */
export class LiveEntry<K, V, C extends WriteContext> {
  /** The key itself where its serde is primitive, else its bytes as text: an object could be changed by user code. */
  readonly key: K | string;
  /** 0 in a key-value store. */
  readonly windowStartMs: number;
  /** The store's own object; null where there is only `text`, and after a delete. */
  value: V | null = null;
  /** The value's bytes, a character each. */
  text: string | undefined;
  timestamp: number;
  dirty = false;
  /** Used since the last eviction looked. */
  recent = true;
  /** Order of the last write among all of the store. */
  sequence = 0;
  /** Of the last write; kept while it is dirty. */
  context: C | undefined;
  /** What it counts for in the cache's budget beside its value, while it is clean. */
  readonly baseBytes: number;
  /** What its value counts for. */
  valueBytes = 0;
  /** Updates until the value is measured again, and how many there were between the last two times. */
  measureIn = 1;
  measuredAfter = 1;

  constructor(key: K | string, windowStartMs: number, timestamp: number, baseBytes: number) {
    this.key = key;
    this.windowStartMs = windowStartMs;
    this.timestamp = timestamp;
    this.baseBytes = baseBytes;
  }

  get isDeleted(): boolean {
    return this.value === null && this.text === undefined;
  }
}
