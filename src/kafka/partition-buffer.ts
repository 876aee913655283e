/**
 * What was fetched of one partition and is not yet consumed: batches in order, walked record by record. Control
 * batches, aborted transactions and offsets below the fetch position are stepped over here, and so are the gaps that
 * compaction leaves, so that the position reaches the end of the log.
 */
import { Backoff } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import { CorruptRecordError, type KafkaError } from './errors.ts';
import { type BatchOptions, forEachBatch, type RecordBatch, type RecordCursor } from './record-batch.ts';
import type { FetchPartitionResponse } from './requests/01-fetch.ts';

type Entry =
  | { readonly kind: 'batch'; readonly batch: RecordBatch; readonly skipBelow: number }
  | { readonly kind: 'skip'; readonly nextOffset: number; readonly sizeBytes: number }
  | { readonly kind: 'error'; readonly error: KafkaError };

const ABORT = 0;
/** Entries walked before they are cut off. */
const COMPACT_AT = 8;

export class PartitionBuffer {
  readonly topic: string;
  readonly partition: number;
  /** The offset the next fetch asks for. */
  fetchOffset: number;
  /** −1 until a fetch was answered. */
  highWatermark = -1;
  lastStableOffset = -1;
  bufferedBytes = 0;
  /** Set by the user of the fetcher: nothing more is asked for. */
  paused = false;
  /** The partition failed: an error entry is or was in the queue, nothing more is asked for. */
  failed = false;
  /** The position was out of range and is being looked up. */
  resetting = false;
  /** Not asked for before this time (ms since the epoch), while its leader is being looked for. */
  retryAtMs = 0;
  readonly backoff = new Backoff();
  readonly #entries: Entry[] = [];
  #head = 0;
  #cursor: RecordCursor | undefined;
  #current: RecordBatch | undefined;
  #skipBelow = 0;
  #position: number;

  constructor(topic: string, partition: number, offset: number) {
    this.topic = topic;
    this.partition = partition;
    this.fetchOffset = offset;
    this.#position = offset;
  }

  /** The offset to commit once everything handed out before has been processed. */
  get position(): number {
    return this.#position;
  }

  /**
   * True where the broker is known to hold, or may hold (nothing was answered yet), records that were not handed out,
   * and they can be had: a partition whose leader is being looked for in vain is not waited for.
   */
  get expectsMore(): boolean {
    if (this.failed || this.backoff.attempt > 3) return false;
    return this.highWatermark < 0 || this.fetchOffset < this.highWatermark;
  }

  /** Records between the position and the high watermark, of the last answer; 0 before the first. */
  get lag(): number {
    return this.highWatermark < 0 ? 0 : Math.max(0, this.highWatermark - this.#position);
  }

  /** Drops what is buffered and goes on at `offset`. */
  seek(offset: number): void {
    this.#entries.length = 0;
    this.#head = 0;
    this.#cursor = undefined;
    this.#current = undefined;
    this.bufferedBytes = 0;
    this.fetchOffset = offset;
    this.#position = offset;
    this.failed = false;
  }

  /**
   * Hot. Moves to the next record and returns the cursor that stands on it; undefined where nothing is buffered.
   * The record counts as handed out: `position` is behind it.
   * @throws CorruptRecordError where the data at the position is damaged
   */
  next(): RecordCursor | undefined {
    for (;;) {
      const cursor = this.#cursor;
      if (cursor !== undefined) {
        while (cursor.next()) {
          if (cursor.offset < this.#skipBelow) continue;
          this.#position = cursor.offset + 1;
          return cursor;
        }
        this.bufferedBytes -= this.#current!.sizeBytes;
        this.#position = Math.max(this.#position, this.#current!.lastOffset + 1);
        this.#cursor = undefined;
      }
      if (!this.#advance()) return undefined;
    }
  }

  #advance(): boolean {
    // A buffer that is never quite empty must let go of what was walked: each entry holds a whole fetch response.
    if (this.#head > COMPACT_AT || this.#head === this.#entries.length) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
      if (this.#entries.length === 0) return false;
    }
    const entry = this.#entries[this.#head++]!;
    if (entry.kind === 'error') {
      this.#head--;
      throw entry.error;
    }
    if (entry.kind === 'skip') {
      this.#position = Math.max(this.#position, entry.nextOffset);
      this.bufferedBytes -= entry.sizeBytes;
    } else {
      this.#current = entry.batch;
      this.#skipBelow = entry.skipBelow;
      this.#cursor = entry.batch.records();
    }
    return true;
  }

  /** Takes over a fetch's answer. Damaged data becomes an entry that throws when it is reached; what is before it counts. */
  add(response: FetchPartitionResponse, readCommitted: boolean, options: BatchOptions): void {
    this.highWatermark = response.highWatermark;
    this.lastStableOffset = response.lastStableOffset;
    const aborted = readCommitted ? new AbortedTransactions(response.abortedTransactions) : undefined;
    try {
      forEachBatch(response.records, 0, response.records.length, this, options, (batch) => {
        if (batch.lastOffset < this.fetchOffset) return;
        const skip = batch.isControl || aborted?.contains(batch) === true;
        if (batch.isControl) aborted?.marker(batch);
        if (skip || batch.recordCount === 0) {
          this.#entries.push({ kind: 'skip', nextOffset: batch.lastOffset + 1, sizeBytes: batch.sizeBytes });
        } else {
          this.#entries.push({ kind: 'batch', batch, skipBelow: this.fetchOffset });
        }
        this.bufferedBytes += batch.sizeBytes;
        this.fetchOffset = batch.lastOffset + 1;
      });
    } catch (error) {
      this.failed = true;
      const typed = error instanceof CorruptRecordError || hasCode(error) ? (error as KafkaError) : undefined;
      this.#entries.push({
        kind: 'error',
        error: typed ?? new CorruptRecordError(messageOf(error), { topic: this.topic, partition: this.partition }),
      });
    }
  }
}

function hasCode(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('MILLRACE_');
}

/** Which transactional batches of one answer were aborted (`Fetcher.CompletedFetch#nextFetchedRecord` in Java). */
class AbortedTransactions {
  readonly #pending: { producerId: number; firstOffset: number }[];
  readonly #open = new Set<number>();

  constructor(aborted: FetchPartitionResponse['abortedTransactions']) {
    this.#pending = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset);
  }

  contains(batch: RecordBatch): boolean {
    while (this.#pending.length > 0 && this.#pending[0]!.firstOffset <= batch.lastOffset) {
      this.#open.add(this.#pending.shift()!.producerId);
    }
    return batch.isTransactional && !batch.isControl && this.#open.has(batch.producerId);
  }

  marker(batch: RecordBatch): void {
    const cursor = batch.records();
    // Control record key: version int16 | type int16 (0 abort, 1 commit).
    if (cursor.next() && cursor.keyLength >= 4 && cursor.buffer.readInt16BE(cursor.keyStart + 2) === ABORT) {
      this.#open.delete(batch.producerId);
    }
  }
}
