/**
 * One partition: its segments, its ends, what it knows of producers and transactions. With a single replica everything
 * appended is committed, so the high watermark is the log's end. Mirrors `UnifiedLog`.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import {
  CorruptRecordError,
  crc32c,
  ErrorCode,
  KafkaError,
  RecordBatch,
  RecordBatchBuilder,
} from '../../../kafka/index.ts';
import type { TopicConfig } from '../topic-config.ts';
import { compacted } from './compaction.ts';
import { readProducers, writeProducers } from './producer-snapshot.ts';
import { type AbortedTransaction, ProducerStates } from './producer-states.ts';
import { type BatchEntry, Segment, segmentOffsets } from './segment.ts';

export interface AppendResult {
  readonly errorCode: number;
  readonly message: string | null;
  /** −1 where nothing was appended. */
  readonly baseOffset: number;
  /** −1 unless the topic stamps records itself. */
  readonly logAppendTimeMs: number;
}

export interface ReadResult {
  readonly batches: readonly Buffer[];
  readonly sizeBytes: number;
  readonly aborted: readonly AbortedTransaction[];
}

export interface PartitionLogOptions {
  readonly topic: string;
  readonly partition: number;
  /** Undefined: in memory. */
  readonly folder: string | undefined;
  config(): TopicConfig;
  nowMs(): number;
}

const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL_CONTROL = 0x30;
const PRODUCER_EXPIRATION_MS = 86_400_000;

export class PartitionLog {
  readonly topic: string;
  readonly partition: number;
  /** The first offset that can be read. */
  startOffset = 0;
  /** What is known of those who write here. */
  producers = new ProducerStates();
  readonly #options: PartitionLogOptions;
  #segments: Segment[] = [];
  readonly #waiting = new Set<() => void>();
  /** Up to here compaction has been. */
  #cleanedTo = 0;

  private constructor(options: PartitionLogOptions) {
    this.#options = options;
    this.topic = options.topic;
    this.partition = options.partition;
  }

  static open(options: PartitionLogOptions): PartitionLog {
    const log = new PartitionLog(options);
    const { folder, nowMs } = options;
    if (folder !== undefined) {
      mkdirSync(folder, { recursive: true });
      const names = readdirSync(folder);
      for (const name of names) if (name.endsWith('.cleaned')) rmSync(`${folder}/${name}`);
      const stored = readProducers(folder);
      const continued = stored === undefined ? undefined : ProducerStates.restored(stored);
      const offsets = segmentOffsets(names);
      offsets.forEach((offset, index) => {
        const isLast = index === offsets.length - 1;
        const visit = (batch: RecordBatch): void => {
          log.producers.record(batch);
          if (stored !== undefined && batch.baseOffset >= stored.endOffset) continued!.record(batch);
        };
        log.#segments.push(Segment.open(folder, offset, nowMs(), isLast, visit));
      });
      // A log whose end was cut off is not the one that the snapshot tells of.
      if (continued !== undefined && (log.#segments.at(-1)?.endOffset ?? 0) >= stored!.endOffset)
        log.producers = continued;
    }
    if (log.#segments.length === 0) log.#segments.push(Segment.create(0, nowMs(), folder));
    log.startOffset = log.#segments[0]!.baseOffset;
    return log;
  }

  get endOffset(): number {
    return this.#active.endOffset;
  }

  /** Where readers of committed records stop: the first offset of the earliest open transaction. */
  get lastStableOffset(): number {
    return Math.max(Math.min(this.producers.firstUndecided ?? this.endOffset, this.endOffset), this.startOffset);
  }

  get sizeBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  /** Appends a producer's record set: one batch, as the protocol has it. Nothing is changed where it is refused. */
  append(records: Buffer): AppendResult {
    let batch: RecordBatch;
    try {
      batch = this.#validated(records);
    } catch (error) {
      if (!(error instanceof KafkaError)) throw error;
      const unknown = error.code === 'MILLRACE_KAFKA_UNSUPPORTED_MESSAGE_FORMAT';
      return refused(unknown ? ErrorCode.INVALID_RECORD : ErrorCode.CORRUPT_MESSAGE, error.message);
    }
    const config = this.#options.config();
    if (records.length > config.number('max.message.bytes'))
      return refused(ErrorCode.MESSAGE_TOO_LARGE, `The batch has ${records.length} bytes.`);
    if (config.isCompacted && hasNullKey(batch))
      return refused(ErrorCode.INVALID_RECORD, 'Compacted topic cannot accept message without key.');
    const verdict = this.producers.check(batch);
    if (verdict.kind === 'refuse') return refused(verdict.errorCode, null);
    if (verdict.kind === 'duplicate')
      return {
        errorCode: ErrorCode.NONE,
        message: null,
        baseOffset: verdict.baseOffset,
        logAppendTimeMs: verdict.timestamp,
      };
    const bytes = Buffer.from(records);
    const logAppendTimeMs =
      config.text('message.timestamp.type') === 'LogAppendTime' ? stamp(bytes, this.#options.nowMs()) : -1;
    const baseOffset = this.#write(bytes);
    return { errorCode: ErrorCode.NONE, message: null, baseOffset, logAppendTimeMs };
  }

  /** Ends a producer's transaction here with a marker. */
  appendMarker(producerId: number, producerEpoch: number, committed: boolean): void {
    const builder = new RecordBatchBuilder();
    const key = Buffer.from([0, 0, 0, committed ? 1 : 0]);
    const value = Buffer.alloc(6);
    builder.append(this.#options.nowMs(), key, 0, key.length, value, 0, value.length, []);
    const bytes = builder.build('none', { producerId, producerEpoch, baseSequence: -1, transactional: true });
    bytes.writeInt16BE(bytes.readInt16BE(21) | TRANSACTIONAL_CONTROL, 21);
    bytes.writeUInt32BE(crc32c(bytes, 21), 17);
    this.#write(bytes);
  }

  /**
   * Batches from the one that holds `offset`; the first comes whole even if it is larger than `maxBytes`, where
   * `atLeastOne` asks for it.
   * @param limit offsets from here on are not handed out
   */
  read(offset: number, maxBytes: number, limit: number, atLeastOne: boolean, readCommitted: boolean): ReadResult {
    const batches: Buffer[] = [];
    let sizeBytes = 0;
    let end = offset;
    for (let s = this.#segmentOf(offset); s < this.#segments.length; s++) {
      const segment = this.#segments[s]!;
      const from = segment.indexOf(offset);
      let to = from;
      for (; to < segment.entries.length; to++) {
        const entry = segment.entries[to]!;
        const fits = sizeBytes + entry.sizeBytes <= maxBytes || (atLeastOne && sizeBytes === 0);
        if (entry.baseOffset >= limit || !fits) break;
        sizeBytes += entry.sizeBytes;
        end = entry.lastOffset + 1;
      }
      batches.push(...segment.read(segment.entries.slice(from, to)));
      if (to < segment.entries.length) break;
    }
    return { batches, sizeBytes, aborted: readCommitted ? this.producers.aborted(offset, end) : [] };
  }

  /** Bytes that can be read from `offset` on. */
  availableBytes(offset: number, limit: number): number {
    let bytes = 0;
    for (let s = this.#segmentOf(offset); s < this.#segments.length; s++) {
      const { entries } = this.#segments[s]!;
      for (let i = this.#segments[s]!.indexOf(offset); i < entries.length; i++) {
        if (entries[i]!.baseOffset >= limit) return bytes;
        bytes += entries[i]!.sizeBytes;
      }
    }
    return bytes;
  }

  /** The first record whose timestamp is `timestamp` or later; undefined where there is none. */
  offsetFor(timestamp: number): { readonly offset: number; readonly timestamp: number } | undefined {
    for (const { segment, entry } of this.#entries()) {
      if (entry.maxTimestamp < timestamp || entry.lastOffset < this.startOffset) continue;
      const cursor = segment.batch(entry).records();
      while (cursor.next()) {
        if (cursor.timestamp >= timestamp && cursor.offset >= this.startOffset)
          return { offset: cursor.offset, timestamp: cursor.timestamp };
      }
    }
    return undefined;
  }

  /** The record with the highest timestamp (KIP-734). */
  maxTimestamp(): { readonly offset: number; readonly timestamp: number } | undefined {
    let best: BatchEntry | undefined;
    for (const { entry } of this.#entries())
      if (best === undefined || entry.maxTimestamp > best.maxTimestamp) best = entry;
    return best === undefined ? undefined : this.offsetFor(best.maxTimestamp);
  }

  /** Records before `offset` are gone; whole segments are deleted. */
  deleteRecords(offset: number): void {
    this.startOffset = Math.max(this.startOffset, Math.min(offset, this.endOffset));
    this.producers.startsAt(this.startOffset);
    const mayGo = (): boolean => this.#segments.length > 1 && this.#segments[1]!.baseOffset <= this.startOffset;
    if (mayGo()) this.#keepProducers();
    while (mayGo()) this.#segments.shift()!.remove();
  }

  /** Retention by time and size; the segment that is written to stays unless all of it is too old. */
  applyRetention(): void {
    const config = this.#options.config();
    this.producers.expire(this.#options.nowMs() - PRODUCER_EXPIRATION_MS);
    if (!config.text('cleanup.policy').split(',').includes('delete')) return;
    const retentionMs = config.number('retention.ms');
    const oldest = this.#options.nowMs() - retentionMs;
    const isOld = (segment: Segment): boolean =>
      retentionMs >= 0 && segment.entries.length > 0 && segment.maxTimestamp < oldest;
    if (this.#segments.length === 1 && isOld(this.#active)) this.#roll();
    while (this.#segments.length > 1 && isOld(this.#segments[0]!)) this.deleteRecords(this.#segments[1]!.baseOffset);
    const retentionBytes = config.number('retention.bytes');
    while (
      retentionBytes >= 0 &&
      this.#segments.length > 1 &&
      this.sizeBytes - this.#segments[0]!.sizeBytes >= retentionBytes
    )
      this.deleteRecords(this.#segments[1]!.baseOffset);
  }

  /**
   * Keeps the latest record of each key, in the segments that are not written to any more.
   * @param force without regard to how much there is to gain, the active segment as well
   */
  compact(force = false): void {
    const config = this.#options.config();
    if (!config.isCompacted) return;
    if (force && this.#active.entries.length > 0) this.#roll();
    const closed = this.#segments.slice(0, -1);
    const dirty = closed.filter((segment) => segment.baseOffset >= this.#cleanedTo);
    const dirtyBytes = dirty.reduce((sum, segment) => sum + segment.sizeBytes, 0);
    const total = closed.reduce((sum, segment) => sum + segment.sizeBytes, 0);
    if (dirtyBytes === 0 || (!force && dirtyBytes / total < config.number('min.cleanable.dirty.ratio'))) return;
    this.#keepProducers();
    this.#segments = [...compacted(closed, this.producers, config, this.#options.nowMs()), this.#active];
    this.#cleanedTo = this.#active.baseOffset;
  }

  /** Calls `wake` once when something is appended or decided; returns how to stop waiting. */
  onChange(wake: () => void): () => void {
    this.#waiting.add(wake);
    return () => void this.#waiting.delete(wake);
  }

  /** Something that waiting readers may want to see has changed. */
  changed(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  close(): void {
    for (const segment of this.#segments) segment.close();
    this.changed();
  }

  remove(): void {
    for (const segment of this.#segments) segment.remove();
    const { folder } = this.#options;
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    this.changed();
  }

  get #active(): Segment {
    return this.#segments.at(-1)!;
  }

  #validated(records: Buffer): RecordBatch {
    if (records.length < 17) throw new CorruptRecordError(`${records.length} bytes`, this);
    const batch = new RecordBatch(records, 0, this);
    if (batch.sizeBytes !== records.length) throw new CorruptRecordError('more than one batch, or one cut off', this);
    if (batch.isControl) throw new CorruptRecordError('a control batch from a client', this);
    if (batch.recordCount !== batch.lastOffset - batch.baseOffset + 1 || batch.recordCount === 0)
      throw new CorruptRecordError('record count and offsets differ', this);
    const cursor = batch.records();
    while (cursor.next());
    return batch;
  }

  /** To be called before batches go that tell of producers. */
  #keepProducers(): void {
    const { folder } = this.#options;
    if (folder !== undefined) writeProducers(folder, { endOffset: this.endOffset, ...this.producers.snapshot() });
  }

  /** @param bytes a batch, which this log owns from now on */
  #write(bytes: Buffer): number {
    const config = this.#options.config();
    const { sizeBytes, createdMs, entries } = this.#active;
    const isFull = sizeBytes + bytes.length > config.number('segment.bytes');
    // Age is told by the records' own time where they have one, as in Kafka.
    const first = entries[0]?.maxTimestamp ?? -1;
    const newest = Number(bytes.readBigInt64BE(35));
    const ageMs = first >= 0 && newest >= 0 ? newest - first : this.#options.nowMs() - createdMs;
    const isOld = ageMs > config.number('segment.ms');
    if (entries.length > 0 && (isFull || isOld)) this.#roll();
    const baseOffset = this.endOffset;
    bytes.writeBigInt64BE(BigInt(baseOffset), 0);
    bytes.writeInt32BE(0, 12);
    const batch = new RecordBatch(bytes, 0, this, { checkCrc: false });
    this.#active.append(batch, bytes);
    this.producers.record(batch);
    this.changed();
    return baseOffset;
  }

  #roll(): void {
    this.#segments.push(Segment.create(this.endOffset, this.#options.nowMs(), this.#options.folder));
  }

  #segmentOf(offset: number): number {
    let index = this.#segments.length - 1;
    while (index > 0 && this.#segments[index]!.baseOffset > offset) index--;
    return index;
  }

  *#entries(): Iterable<{ readonly segment: Segment; readonly entry: BatchEntry }> {
    for (const segment of this.#segments) for (const entry of segment.entries) yield { segment, entry };
  }
}

function refused(errorCode: number, message: string | null): AppendResult {
  return { errorCode, message, baseOffset: -1, logAppendTimeMs: -1 };
}

/** Gives every record of the batch this time. */
function stamp(bytes: Buffer, nowMs: number): number {
  bytes.writeInt16BE(bytes.readInt16BE(21) | LOG_APPEND_TIME, 21);
  bytes.writeBigInt64BE(BigInt(nowMs), 35);
  bytes.writeUInt32BE(crc32c(bytes, 21), 17);
  return nowMs;
}

function hasNullKey(batch: RecordBatch): boolean {
  const cursor = batch.records();
  while (cursor.next()) if (cursor.keyLength < 0) return true;
  return false;
}
