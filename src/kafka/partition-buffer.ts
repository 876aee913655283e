/**
 * What was fetched of one partition and is not yet consumed: batches in order, walked record by record. Control
 * batches, aborted transactions and offsets below the fetch position are stepped over here, and so are the gaps that
 * compaction leaves, so that the position reaches the end of the log.
 */
import { messageOf } from '../errors.ts';
import { CorruptRecordError, type KafkaError } from './errors.ts';
import { FetchState } from './fetch-state.ts';
import { type BatchOptions, forEachBatch, type RecordBatch, type RecordCursor } from './record-batch.ts';
import type { FetchPartitionResponse } from './requests/01-fetch.ts';

type Entry =
  | { readonly kind: 'batch'; readonly batch: RecordBatch; readonly skipBelow: number }
  | { readonly kind: 'skip'; readonly nextOffset: number; readonly sizeBytes: number; readonly leaderEpoch: number }
  | { readonly kind: 'error'; readonly error: KafkaError };

const ABORT = 0;
/** Entries walked before they are cut off. */
const COMPACT_AT = 8;

export class PartitionBuffer {
  readonly topic: string;
  readonly partition: number;
  /** The offset the next fetch asks for. */
  fetchOffset: number;
  /** Leader epoch of the last record before it; −1: not known. */
  fetchEpoch: number;
  /** −1 until a fetch was answered. */
  highWatermark = -1;
  lastStableOffset = -1;
  bufferedBytes = 0;
  /** Set by the user of the fetcher: nothing more is asked for. */
  paused = false;
  /** The partition failed or was given up: an error entry is or was in the queue, nothing more is asked for. */
  failed = false;
  /** It could not be fetched for a while: nobody waits for it until it can be again. */
  standsBack = false;
  /** The fetcher's own. */
  readonly fetching = new FetchState();
  readonly #entries: Entry[] = [];
  #head = 0;
  #cursor: RecordCursor | undefined;
  #current: RecordBatch | undefined;
  #skipBelow = 0;
  #position: number;
  #positionEpoch: number;
  /** Where what may be read ends; −1 until a fetch was answered. */
  #end = -1;

  /**
   * @param offset undefined: to be sought before anything is fetched
   * @param leaderEpoch of the last record before the offset; −1: not known
   */
  constructor(topic: string, partition: number, offset: number | undefined, leaderEpoch = -1) {
    this.topic = topic;
    this.partition = partition;
    this.fetchOffset = offset ?? -1;
    this.fetchEpoch = leaderEpoch;
    this.#position = this.fetchOffset;
    this.#positionEpoch = leaderEpoch;
  }

  /** The offset to commit once everything handed out before has been processed; −1 while it is being looked up. */
  get position(): number {
    return this.#position;
  }

  /** Leader epoch of the batch that the last record handed out was in, to commit with the position; −1: not known. */
  get positionEpoch(): number {
    return this.#positionEpoch;
  }

  /**
   * True where the broker is known to hold, or may hold (nothing was answered yet), records that were not handed out,
   * and they can be had: a partition that cannot be fetched is not waited for.
   */
  get expectsMore(): boolean {
    if (this.failed || this.standsBack) return false;
    return this.#end < 0 || this.fetchOffset < this.#end;
  }

  /** Records between the position and the end of what may be read, of the last answer; 0 before the first. */
  get lag(): number {
    return this.#end < 0 ? 0 : Math.max(0, this.#end - this.#position);
  }

  /** Drops what is buffered and goes on at `offset`; `leaderEpoch` as in the constructor. */
  seek(offset: number, leaderEpoch = -1): void {
    this.#entries.length = 0;
    this.#head = 0;
    this.#cursor = undefined;
    this.#current = undefined;
    this.bufferedBytes = 0;
    this.fetchOffset = offset;
    this.fetchEpoch = leaderEpoch;
    this.#position = offset;
    this.#positionEpoch = leaderEpoch;
    this.failed = false;
    this.fetching.needsValidation = leaderEpoch >= 0;
  }

  /**
   * The leader's log diverges at `offset`: what is buffered may be of a log that is gone, and is fetched anew.
   * @returns whether records beyond it were handed out already
   */
  truncate(offset: number, leaderEpoch: number): boolean {
    const wasHandedOut = this.#position > offset;
    if (wasHandedOut) this.seek(offset, leaderEpoch);
    else this.seek(this.#position, this.#positionEpoch);
    this.fetching.needsValidation = false;
    return wasHandedOut;
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
      this.#positionEpoch = entry.leaderEpoch;
      this.bufferedBytes -= entry.sizeBytes;
    } else {
      this.#positionEpoch = entry.batch.partitionLeaderEpoch;
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
    // Behind an open transaction there is nothing to wait for: it may stay open for long.
    this.#end = readCommitted ? response.lastStableOffset : response.highWatermark;
    const aborted = readCommitted ? new AbortedTransactions(response.abortedTransactions) : undefined;
    try {
      forEachBatch(response.records, 0, response.records.length, this, options, (batch) => {
        if (batch.lastOffset < this.fetchOffset) return;
        const skip = batch.isControl || aborted?.contains(batch) === true;
        if (batch.isControl) aborted?.marker(batch);
        if (skip || batch.recordCount === 0) {
          const { lastOffset, sizeBytes, partitionLeaderEpoch: leaderEpoch } = batch;
          this.#entries.push({ kind: 'skip', nextOffset: lastOffset + 1, sizeBytes, leaderEpoch });
        } else {
          this.#entries.push({ kind: 'batch', batch, skipBelow: this.fetchOffset });
        }
        this.bufferedBytes += batch.sizeBytes;
        this.fetchOffset = batch.lastOffset + 1;
        this.fetchEpoch = batch.partitionLeaderEpoch;
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
