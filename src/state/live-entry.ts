/** One live object of a store, and what its writes carry. */

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

export class LiveEntry<K, V, C extends WriteContext> {
  readonly key: K;
  /** 0 in a key-value store. */
  readonly windowStartMs: number;
  value: V | null;
  timestamp: number;
  dirty = false;
  /** Used since the last eviction looked. */
  recent = true;
  /** Order of the last write among all of the store. */
  sequence = 0;
  context: C | undefined;
  sizeBytes: number;

  constructor(key: K, windowStartMs: number, value: V | null, timestamp: number, sizeBytes: number) {
    this.key = key;
    this.windowStartMs = windowStartMs;
    this.value = value;
    this.timestamp = timestamp;
    this.sizeBytes = sizeBytes;
  }
}
