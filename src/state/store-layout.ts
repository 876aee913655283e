/**
 * Where a store's entries are: how keys, windows and segments become the bytes of a key in the task's database, and which
 * windows have ended.
 *
 *     key-value   prefix int16 | key
 *     window      prefix int16 | segment int64 | key | start int64 | sequence int32
 *
 * Behind prefix and segment are the bytes of the changelog's key, which are Kafka Streams'. A segment is the span of time
 * that is deleted at once: start / interval, the interval following from the retention.
 */
import { ByteWriter, readInt64, writeInt64 } from '../bytes.ts';
import type { AnyStoreDescription } from './store.ts';
import type { StoreCodec } from './store-codec.ts';

/** To be raised where the drawing above changes: databases of another version are rebuilt. */
export const LAYOUT_VERSION = 1;

const PREFIX_BYTES = 2;
const SEGMENT_BYTES = 8;
const WINDOW_SUFFIX_BYTES = 12;
const MIN_SEGMENT_INTERVAL_MS = 60_000;

/** As RocksDB's segments in Java: half the retention, at least a minute. */
export function segmentIntervalOf(retentionMs: number): number {
  return Math.max(Math.floor(retentionMs / 2), MIN_SEGMENT_INTERVAL_MS);
}

/** A range of keys as in the database; `to` exclusive. */
export interface LocalRange {
  readonly from: Buffer;
  readonly to: Buffer | undefined;
}

export class StoreLayout<K, V> {
  readonly isWindow: boolean;
  /** 0 in a key-value store. */
  readonly retentionMs: number;
  /** Where the changelog's key begins within a local key. */
  readonly changelogKeyStart: number;
  readonly #segmentIntervalMs: number;
  readonly #inMemory: boolean;
  readonly #prefix: Buffer;
  readonly #codec: StoreCodec<K, V>;

  constructor(description: AnyStoreDescription, prefix: Buffer, codec: StoreCodec<K, V>) {
    this.isWindow = description.type === 'window';
    this.retentionMs = description.type === 'window' ? description.retentionMs : 0;
    this.changelogKeyStart = PREFIX_BYTES + (this.isWindow ? SEGMENT_BYTES : 0);
    this.#segmentIntervalMs = segmentIntervalOf(this.retentionMs);
    this.#inMemory = description.kind === 'in-memory';
    this.#prefix = prefix;
    this.#codec = codec;
  }

  /** Hot. The key in the database, a buffer of its own. @param key see `LiveEntry.key` */
  localKey(key: K | string, windowStartMs: number): Buffer {
    const out = this.#codec.cleared();
    out.bytes(this.#prefix);
    if (this.isWindow) out.int64(this.segmentOf(windowStartMs));
    this.#codec.writeCacheKey(key, out);
    if (this.isWindow) out.int64(windowStartMs).int32(0);
    return out.copy();
  }

  /** Hot. Writes what stands before a changelog's key in the database: prefix and segment. */
  writeHead(target: Buffer, windowStartMs: number): void {
    this.#prefix.copy(target);
    if (this.isWindow) writeInt64(target, this.segmentOf(windowStartMs), PREFIX_BYTES);
  }

  readKey(local: Buffer): K {
    return this.#codec.readKey(local, this.changelogKeyStart, local.length - (this.isWindow ? WINDOW_SUFFIX_BYTES : 0));
  }

  /** 0 in a key-value store. @param end behind the key's last byte, of a local or of a changelog's key */
  readStart(key: Buffer, end: number): number {
    return this.isWindow ? readInt64(key, end - WINDOW_SUFFIX_BYTES) : 0;
  }

  segmentOf(windowStartMs: number): number {
    return Math.floor(windowStartMs / this.#segmentIntervalMs);
  }

  /** True where reads hide the window: its start is at or before the store's time less retention. */
  isHidden(windowStartMs: number, observedTimeMs: number): boolean {
    return this.retentionMs > 0 && windowStartMs <= observedTimeMs - this.retentionMs;
  }

  /**
   * LevelDB's stores take puts while the segment lives, as RocksDB's do in Java; in memory the window itself decides.
   * Reads hide the same in both.
   */
  isExpired(windowStartMs: number, observedTimeMs: number): boolean {
    const limit = observedTimeMs - this.retentionMs;
    return this.#inMemory ? windowStartMs <= limit : this.segmentOf(windowStartMs) < this.segmentOf(limit);
  }

  /** The whole store. */
  everything(): LocalRange {
    return { from: this.#prefix, to: undefined };
  }

  /** Segments that have ended as a whole; undefined where there are none. */
  expiredRange(observedTimeMs: number): LocalRange | undefined {
    const firstLive = this.segmentOf(observedTimeMs - this.retentionMs);
    return firstLive <= 0 ? undefined : { from: this.#prefix, to: this.#segmentStart(firstLive) };
  }

  /** Of a key-value store, the keys from one to another, both included. */
  keyRange(from: K | string, to: K | string): LocalRange {
    // Behind `to` comes `to` with a zero byte: the least key that is greater.
    return { from: this.localKey(from, 0), to: Buffer.concat([this.localKey(to, 0), Buffer.alloc(1)]) };
  }

  /**
   * Where one key's windows from one start to another (both included) are: a range a segment. Windows of keys that this
   * one is a prefix of may lie in them too, see {@link isOfKey}.
   */
  *windowRanges(key: K | string, fromMs: number, toMs: number): Iterable<LocalRange> {
    const last = this.segmentOf(toMs);
    const interval = this.#segmentIntervalMs;
    for (let segment = this.segmentOf(fromMs); segment <= last; segment++) {
      const from = this.localKey(key, Math.max(fromMs, segment * interval));
      const to = this.localKey(key, Math.min(toMs, (segment + 1) * interval - 1));
      yield { from, to: Buffer.concat([to, Buffer.alloc(1)]) };
    }
  }

  /** @param range one of {@link windowRanges} for the key */
  isOfKey(local: Buffer, { from }: LocalRange): boolean {
    return local.length === from.length && this.compareKeys(local, from) === 0;
  }

  /** By the bytes of the windows' keys. */
  compareKeys(a: Buffer, b: Buffer): number {
    const start = this.changelogKeyStart;
    return a.compare(b, start, b.length - WINDOW_SUFFIX_BYTES, start, a.length - WINDOW_SUFFIX_BYTES);
  }

  #segmentStart(segment: number): Buffer {
    return new ByteWriter(16).bytes(this.#prefix).int64(segment).copy();
  }
}
