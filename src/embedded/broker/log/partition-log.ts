/**
 * One partition: its segments, its ends, its leaders, what it knows of producers and transactions. There is one log behind
 * all nodes, so what is appended is replicated at once, and the high watermark is the log's end unless a test holds it
 * back. Mirrors `UnifiedLog`.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { crc32c, ErrorCode, KafkaError, RecordBatch, RecordBatchBuilder } from '../../../kafka/index.ts';
import type { TopicConfig } from '../topic-config.ts';
import { compacted } from './compaction.ts';
import { type EpochEnd, LeaderEpochs, type Leadership } from './leader-epochs.ts';
import { readProducers, writeProducers } from './producer-snapshot.ts';
import { type AbortedTransaction, ProducerStates } from './producer-states.ts';
import { hasNullKey, placeBatch, stampAppendTime, validatedBatch } from './record-set.ts';
import { type BatchEntry, Segment, segmentOffsets } from './segment.ts';

export interface AppendResult {
  readonly errorCode: number;
  readonly message: string | null;
  /** −1 where nothing was appended. */
  readonly baseOffset: number;
  /** Of the batch, when it was a repetition as well; −1 as above. */
  readonly lastOffset: number;
  /** −1 unless the topic stamps records itself. */
  readonly logAppendTimeMs: number;
}

/** A record that was looked for. */
export interface FoundRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly leaderEpoch: number;
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
  readonly leadership: Leadership;
  config(): TopicConfig;
  nowMs(): number;
}

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
  #leadership: Leadership;
  readonly #epochs = new LeaderEpochs();
  /** The log's end when the leader took over. */
  #epochStart = 0;
  /** Where the high watermark is held back; undefined: it follows the log's end. */
  #heldAt: number | undefined;
  #segments: Segment[] = [];
  readonly #waiting = new Set<() => void>();
  /** Up to here compaction has been. */
  #cleanedTo = 0;

  private constructor(options: PartitionLogOptions) {
    this.#options = options;
    this.#leadership = options.leadership;
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
    log.producers.replicated(log.endOffset);
    for (const { entry } of log.#entries()) log.#epochs.assign(entry.leaderEpoch, entry.baseOffset);
    const { leader, epoch } = log.#leadership;
    log.#leadership = { leader, epoch: Math.max(epoch, log.#epochs.latest?.epoch ?? 0) };
    log.#beginEpoch();
    return log;
  }

  get endOffset(): number {
    return this.#active.endOffset;
  }

  get leadership(): Leadership {
    return this.#leadership;
  }

  /** What lies before it is replicated; readers stop there. */
  get highWatermark(): number {
    return Math.min(this.#heldAt ?? this.endOffset, this.endOffset);
  }

  /** Where readers of committed records stop: the first offset of the earliest open transaction. */
  get lastStableOffset(): number {
    const { highWatermark } = this;
    return Math.max(Math.min(this.producers.firstUndecided ?? highWatermark, highWatermark), this.startOffset);
  }

  /** False where the high watermark is behind what the leader took over: it cannot say yet where the log ends. */
  get knowsItsEnd(): boolean {
    return this.highWatermark >= this.#epochStart;
  }

  /** The epoch of the first record that is there; of the leader where none is. */
  get startEpoch(): number {
    return this.#epochs.earliest?.epoch ?? -1;
  }

  get sizeBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  /** Appends a producer's record set: one batch, as the protocol has it. Nothing is changed where it is refused. */
  append(records: Buffer): AppendResult {
    let batch: RecordBatch;
    try {
      batch = validatedBatch(records, this);
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
        lastOffset: verdict.baseOffset + batch.lastOffset - batch.baseOffset,
        logAppendTimeMs: verdict.timestamp,
      };
    const bytes = Buffer.from(records);
    const logAppendTimeMs =
      config.text('message.timestamp.type') === 'LogAppendTime' ? stampAppendTime(bytes, this.#options.nowMs()) : -1;
    const baseOffset = this.#write(bytes);
    const lastOffset = this.endOffset - 1;
    return { errorCode: ErrorCode.NONE, message: null, baseOffset, lastOffset, logAppendTimeMs };
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

  /** The first record whose timestamp is `timestamp` or later; undefined where there is none. */
  offsetFor(timestamp: number): FoundRecord | undefined {
    for (const { segment, entry } of this.#entries()) {
      if (entry.maxTimestamp < timestamp || entry.lastOffset < this.startOffset) continue;
      const cursor = segment.batch(entry).records();
      while (cursor.next()) {
        if (cursor.timestamp >= timestamp && cursor.offset >= this.startOffset)
          return { offset: cursor.offset, timestamp: cursor.timestamp, leaderEpoch: entry.leaderEpoch };
      }
    }
    return undefined;
  }

  /** The record with the highest timestamp (KIP-734). */
  maxTimestamp(): FoundRecord | undefined {
    let best: BatchEntry | undefined;
    for (const { entry } of this.#entries())
      if (best === undefined || entry.maxTimestamp > best.maxTimestamp) best = entry;
    return best === undefined ? undefined : this.offsetFor(best.maxTimestamp);
  }

  /** Where the records of an epoch and those before it end. */
  endOfEpoch(epoch: number): EpochEnd {
    return this.#epochs.endOf(epoch, this.endOffset);
  }

  /** Another leader, the same anew, or none (−1): a new epoch. What waits here is judged again. */
  lead(leader: number): void {
    this.#leadership = { leader, epoch: this.#leadership.epoch + 1 };
    this.#beginEpoch();
    this.changed();
  }

  /** From now on nothing more that is appended counts as replicated. */
  holdHighWatermark(): void {
    this.#heldAt ??= this.highWatermark;
  }

  releaseHighWatermark(): void {
    this.#heldAt = undefined;
    this.producers.replicated(this.highWatermark);
    this.changed();
  }

  /**
   * The log ends at `offset`, as after the election of a replica that had no more; a batch that reaches beyond is lost whole.
   * Nothing where the log ends before; never before its start.
   */
  truncateTo(offset: number): void {
    const end = Math.max(offset, this.startOffset);
    if (end >= this.endOffset) return;
    while (this.#segments.length > 1 && this.#active.baseOffset >= end) this.#segments.pop()!.remove();
    this.#active.truncateTo(end);
    const rebuilt = new ProducerStates();
    for (const { segment, entry } of this.#entries()) rebuilt.record(segment.batch(entry));
    this.producers.endsAt(this.endOffset, rebuilt);
    if (this.endOffset < end) this.#segments.push(Segment.create(end, this.#options.nowMs(), this.#options.folder));
    this.#epochs.endsAt(end);
    if (this.#heldAt !== undefined) this.#heldAt = this.highWatermark;
    this.#cleanedTo = Math.min(this.#cleanedTo, end);
    // One that tells of more than the log has would not be believed.
    this.#keepProducers();
    this.changed();
  }

  /** Records before `offset` are gone, replicated ones only; whole segments are deleted. */
  deleteRecords(offset: number): void {
    this.startOffset = Math.max(this.startOffset, Math.min(offset, this.highWatermark));
    this.producers.startsAt(this.startOffset);
    this.#epochs.startsAt(this.startOffset);
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
    const retentionBytes = config.number('retention.bytes');
    const oldest = this.#options.nowMs() - retentionMs;
    const isOld = (segment: Segment): boolean =>
      retentionMs >= 0 && segment.maxTimestamp < oldest && (segment.entries.length > 0 || segment !== this.#active);
    const isTooMuch = (): boolean =>
      retentionBytes >= 0 && this.sizeBytes - this.#segments[0]!.sizeBytes >= retentionBytes;
    if (this.#segments.length === 1 && isOld(this.#active)) this.#roll();
    while (
      this.#segments.length > 1 &&
      this.#segments[1]!.baseOffset <= this.highWatermark &&
      (isOld(this.#segments[0]!) || isTooMuch())
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
    this.#segments = [...compacted(closed, this, config, this.#options.nowMs()), this.#active];
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

  #beginEpoch(): void {
    if (this.#leadership.leader < 0) return;
    this.#epochStart = this.endOffset;
    this.#epochs.assign(this.#leadership.epoch, this.endOffset);
  }

  /** To be called before batches go that tell of producers, and after the end has moved back. */
  #keepProducers(): void {
    const { folder } = this.#options;
    if (folder !== undefined) writeProducers(folder, { endOffset: this.endOffset, ...this.producers.snapshot() });
  }

  /** @param bytes a batch, which this log owns from now on */
  #write(bytes: Buffer): number {
    if (this.#active.isFullFor(bytes, this.#options.config(), this.#options.nowMs())) this.#roll();
    const baseOffset = this.endOffset;
    placeBatch(bytes, baseOffset, this.#leadership.epoch);
    this.#epochs.assign(this.#leadership.epoch, baseOffset);
    const batch = new RecordBatch(bytes, 0, this, { checkCrc: false });
    this.#active.append(batch, bytes);
    this.producers.record(batch);
    this.producers.replicated(this.highWatermark);
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
  return { errorCode, message, baseOffset: -1, lastOffset: -1, logAppendTimeMs: -1 };
}
