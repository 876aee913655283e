/**
 * One partition's share of the producer: the open batch, batches waiting in order of their sequence, and those in
 * flight. After a failure what was in flight returns to its place, and until the first of it is acknowledged only one
 * batch is out, so that order is kept through retries.
 *
 * A broker keeps the order of several batches in flight by their sequences, but takes any first sequence of a producer id
 * that it does not know: the second of two would be written before the first, where that is refused for a moment. So
 * only one is out, too, until the first acknowledgement under an id, and whenever the broker may have forgotten it.
 */
import { Backoff } from '../backoff.ts';
import { type ByteWriter, writeInt64 } from '../bytes.ts';
import type { Header } from '../headers.ts';
import type { CompressionType } from './compression/index.ts';
import { crc32c } from './crc32c.ts';
import { type DeliveryListener, type DeliveryListeners, tellDelivered, tellFailed } from './delivery-listener.ts';
import type { KafkaError } from './errors.ts';
import { RecordBatch } from './record-batch.ts';
import { RecordBatchBuilder } from './record-batch-builder.ts';
import type { WriterPool } from './writer-pool.ts';

export interface Identity {
  readonly producerId: number;
  readonly producerEpoch: number;
}

export interface PendingBatch {
  readonly owner: ProducerPartition;
  /** Among all of the producer, in the order in which they were closed; the parts of one that was split have its own. */
  readonly number: number;
  readonly recordCount: number;
  readonly compression: CompressionType;
  bytes: Buffer;
  baseSequence: number;
  /** Whose memory `bytes` is; undefined where it is its own. */
  readonly writer: ByteWriter | undefined;
  /** How often it went out. */
  sends: number;
  /** When its first record came, by the delivery watch. */
  readonly createdAtMs: number;
  /** The highest timestamp of its records, ms since the epoch. */
  readonly maxTimestamp: number;
  /** Undefined: nobody asks for any of its records. */
  readonly listeners: DeliveryListeners | undefined;
  /** A try ended in a way that leaves open whether it is written. */
  mayBeWritten: boolean;
  /** It is on its way to a broker, and not answered. */
  isOut: boolean;
  /** Its listeners were told so. In flight still: until then its partition cannot go on under another id. */
  isGivenUp: boolean;
}

/** Sequences are int32 and start over at 0 behind the largest (`DefaultRecordBatch#incrementSequence`). */
const SEQUENCES = 2 ** 31;
/**
 * ms for which a broker surely remembers a producer id. By default it is a day (producer.id.expiration.ms), and is
 * lowered, to an hour say, against floods of ids. It counts from the highest timestamp of the last batch, not from when that
 * was written: under old timestamps, as when a backlog is caught up, an id is forgotten again and again. A wrong guess this
 * way costs a round trip, the other way the order.
 */
export const REMEMBERED_MS = 30 * 60_000;
/** The next batch of a partition likely grows to the size of the last. */
const FIRST_BATCH_BYTES = 4096;

export class ProducerPartition {
  readonly topic: string;
  readonly partition: number;
  /** What its batches are stamped with; undefined: nothing may go yet. */
  identity: Identity | undefined;
  /** The broker lost this producer's state for the partition, or sees a gap where records were given up. */
  needsNewIdentity = false;
  /** Records were given up since the last acknowledgement under this id. */
  hasGap = false;
  /** The offset behind the last record known to be written; −1 before the first. */
  ackedOffset = -1;
  /** Nothing goes before this time, by the sender's clock: the last try failed. */
  retryAtMs = 0;
  /** Why the last try failed; empty: it did not. */
  trouble = '';
  readonly backoff = new Backoff();
  readonly #writers: WriterPool;
  #open: RecordBatchBuilder | undefined;
  #openWriter: ByteWriter | undefined;
  #openedAtMs = 0;
  #openListeners: (DeliveryListener | undefined)[] | undefined;
  #ready: PendingBatch[] = [];
  #inFlight: PendingBatch[] = [];
  #nextSequence = 0;
  #retrying = false;
  /** Until when the broker that wrote the last batch remembers the id; 0: it may not know it. */
  #rememberedUntilMs = 0;
  #rememberedBy = -1;
  #lastBatchBytes = FIRST_BATCH_BYTES;

  constructor(topic: string, partition: number, writers: WriterPool) {
    this.topic = topic;
    this.partition = partition;
    this.#writers = writers;
  }

  /** Bytes of the open batch; 0 where there is none. */
  get openBytes(): number {
    return this.#open === undefined ? 0 : this.#open.sizeBytes;
  }

  get inFlightCount(): number {
    return this.#inFlight.length;
  }

  get hasReady(): boolean {
    return this.#ready.length > 0;
  }

  /** When the oldest record that is not acknowledged came, by the delivery watch; undefined: there is none. */
  get oldestMs(): number | undefined {
    // Those in flight were first in order, but for what returned from a failure.
    const open = this.#open === undefined ? Number.POSITIVE_INFINITY : this.#openedAtMs;
    const oldest = Math.min(open, this.#ready[0]?.createdAtMs ?? open, this.#inFlight[0]?.createdAtMs ?? open);
    return oldest === Number.POSITIVE_INFINITY ? undefined : oldest;
  }

  /** The batch that was just begun is of this time. */
  opened(nowMs: number): void {
    this.#openedAtMs = nowMs;
  }

  append(
    timestamp: number,
    keyBuffer: Uint8Array,
    keyStart: number,
    keyLength: number,
    valueBuffer: Uint8Array,
    valueStart: number,
    valueLength: number,
    headers: readonly Header[],
    listener: DeliveryListener | undefined,
  ): void {
    const open = this.#open ?? this.#start();
    open.append(timestamp, keyBuffer, keyStart, keyLength, valueBuffer, valueStart, valueLength, headers);
    if (listener !== undefined) (this.#openListeners ??= [])[open.recordCount - 1] = listener;
  }

  #start(): RecordBatchBuilder {
    this.#openWriter = this.#writers.take(this.#lastBatchBytes);
    this.#open = new RecordBatchBuilder(this.#openWriter);
    return this.#open;
  }

  /**
   * Closes the open batch and queues it. Where compression throws, it stays open.
   * @param identity for a partition that has none yet
   * @param number see PendingBatch#number
   */
  close(compression: CompressionType, identity: Identity | undefined, number: number): PendingBatch | undefined {
    const open = this.#open;
    if (open === undefined) return undefined;
    this.identity ??= identity;
    this.#lastBatchBytes = Math.max(FIRST_BATCH_BYTES, open.sizeBytes);
    const baseSequence = this.#nextSequence;
    const bytes = open.build(compression, { ...(this.identity ?? NOBODY), baseSequence });
    this.#nextSequence = (baseSequence + open.recordCount) % SEQUENCES;
    const listeners = this.#openListeners;
    this.#open = undefined;
    this.#openListeners = undefined;
    let writer = this.#openWriter;
    if (compression !== 'none') {
      this.#writers.give(writer!);
      writer = undefined;
    }
    const { recordCount, maxTimestamp } = open;
    const batch: PendingBatch = {
      owner: this,
      number,
      recordCount,
      compression,
      bytes,
      baseSequence,
      writer,
      sends: 0,
      createdAtMs: this.#openedAtMs,
      maxTimestamp,
      listeners,
      mayBeWritten: false,
      isOut: false,
      isGivenUp: false,
    };
    this.#ready.push(batch);
    return batch;
  }

  /** True where a batch that was closed by then is not acknowledged. */
  hasUpTo(number: number): boolean {
    const isOld = (batch: PendingBatch): boolean => batch.number <= number;
    return this.#ready.some(isOld) || this.#inFlight.some(isOld);
  }

  /** The batch that may go to the broker next. */
  peek(nodeId: number, nowMs: number, maxInFlight: number): PendingBatch | undefined {
    if (this.identity === undefined || this.needsNewIdentity) return undefined;
    const inFlight = this.#inFlight.length;
    if (inFlight > 0 && (inFlight >= maxInFlight || this.#retrying || !this.#isRemembered(nodeId, nowMs)))
      return undefined;
    return this.#ready[0];
  }

  #isRemembered(nodeId: number, nowMs: number): boolean {
    // What is out counts from the moment it is written: those before the last were judged when it was sent.
    const last = this.#inFlight[this.#inFlight.length - 1]!;
    return (
      nodeId === this.#rememberedBy && nowMs < this.#rememberedUntilMs && nowMs < last.maxTimestamp + REMEMBERED_MS
    );
  }

  take(): void {
    const batch = this.#ready.shift()!;
    batch.sends++;
    this.#inFlight.push(batch);
  }

  /** True where nothing before this batch is unacknowledged. */
  isFront(batch: PendingBatch): boolean {
    return this.#inFlight[0] === batch && !this.#ready.some((other) => precedes(other, batch));
  }

  /**
   * The broker has it.
   * @param baseOffset −1 where the broker did not say (a repetition of what it had)
   * @param appendedMs the timestamp that its records have on the topic
   */
  done(batch: PendingBatch, baseOffset: number, nodeId: number, appendedMs: number, nowMs: number): void {
    if (baseOffset >= 0) this.ackedOffset = Math.max(this.ackedOffset, baseOffset + batch.recordCount);
    this.#inFlight = this.#inFlight.filter((other) => other !== batch);
    this.#rememberedBy = nodeId;
    this.#rememberedUntilMs = Math.min(nowMs, appendedMs) + REMEMBERED_MS;
    const first = this.#ready[0];
    // One before it that failed may have been written all the same: the broker knows a repetition of the last five only.
    if (first === undefined || !precedes(first, batch)) this.#goOn();
    // Sent once, its bytes have left; an earlier try's may still wait in a socket that hangs.
    if (batch.writer !== undefined && batch.sends === 1) this.#writers.give(batch.writer);
    if (batch.listeners !== undefined && !batch.isGivenUp) tellDelivered(batch.listeners, this.partition, baseOffset);
  }

  #goOn(): void {
    this.#retrying = false;
    this.hasGap = false;
    this.retryAtMs = 0;
    this.trouble = '';
    this.backoff.reset();
  }

  /** Returns a batch to its place, to go again after a while. */
  retry(batch: PendingBatch): void {
    this.#inFlight = this.#inFlight.filter((other) => other !== batch);
    this.#retrying = true;
    const at = this.#ready.findIndex((other) => precedes(batch, other));
    this.#ready.splice(at < 0 ? this.#ready.length : at, 0, batch);
  }

  /** Nothing goes for a while, longer each time. */
  holdOff(nowMs: number, why: string): void {
    this.trouble = why;
    // Batches that fail together are one failure.
    if (this.retryAtMs <= nowMs) this.retryAtMs = nowMs + this.backoff.nextMs();
  }

  /** Replaces a batch that is too large by two halves under the same sequences; returns the bytes this adds. */
  split(batch: PendingBatch): number {
    this.retry(batch);
    const index = this.#ready.indexOf(batch);
    const cursor = new RecordBatch(batch.bytes, 0, this).records();
    const half = batch.recordCount >> 1;
    const parts: PendingBatch[] = [];
    let baseSequence = batch.baseSequence;
    let from = 0;
    for (const count of [half, batch.recordCount - half]) {
      const builder = new RecordBatchBuilder();
      for (let i = 0; i < count && cursor.next(); i++) {
        builder.append(
          cursor.timestamp,
          cursor.buffer,
          cursor.keyStart,
          cursor.keyLength,
          cursor.buffer,
          cursor.valueStart,
          cursor.valueLength,
          cursor.headers(),
        );
      }
      const bytes = builder.build(batch.compression, { ...(this.identity ?? NOBODY), baseSequence });
      const { maxTimestamp } = builder;
      const listeners = batch.listeners?.slice(from, from + count);
      const part = { recordCount: count, bytes, baseSequence, writer: undefined, sends: 0, maxTimestamp, listeners };
      parts.push({ ...batch, ...part });
      baseSequence = (baseSequence + count) % SEQUENCES;
      from += count;
    }
    this.#ready.splice(index, 1, ...parts);
    return parts.reduce((sum, part) => sum + part.bytes.length, 0) - batch.bytes.length;
  }

  /** Gives what waits a new producer id and sequences from 0. Nothing may be in flight. */
  restamp(identity: Identity): void {
    this.identity = identity;
    this.needsNewIdentity = false;
    this.hasGap = false;
    this.#rememberedUntilMs = 0;
    this.retryAtMs = 0;
    let sequence = 0;
    for (const batch of this.#ready) {
      batch.baseSequence = sequence;
      writeInt64(batch.bytes, identity.producerId, 43);
      batch.bytes.writeInt16BE(identity.producerEpoch, 51);
      batch.bytes.writeInt32BE(sequence, 53);
      batch.bytes.writeUInt32BE(crc32c(batch.bytes, 21), 17);
      sequence = (sequence + batch.recordCount) % SEQUENCES;
    }
    this.#nextSequence = sequence;
  }

  /** The log is another one: what was learned of the old one says nothing. */
  forgetLog(): void {
    this.ackedOffset = -1;
    this.#rememberedUntilMs = 0;
  }

  isInFlight(batch: PendingBatch): boolean {
    return this.#inFlight.includes(batch);
  }

  /** Batches that wait since then, and are not given up. */
  overdue(thenMs: number): PendingBatch[] {
    return this.#closed().filter(({ createdAtMs, isGivenUp }) => createdAtMs <= thenMs && !isGivenUp);
  }

  /** Batches that wait to be sent. */
  ready(): readonly PendingBatch[] {
    return [...this.#ready];
  }

  /** Takes a batch out that is given up. Unless it was written, its sequences are missing from now on. */
  drop(batch: PendingBatch): void {
    this.#inFlight = this.#inFlight.filter((other) => other !== batch);
    this.#ready = this.#ready.filter((other) => other !== batch);
    this.hasGap = true;
    if (batch.writer !== undefined && batch.sends === 0) this.#writers.give(batch.writer);
  }

  /** Drops the records of the open batch. */
  dropOpen(error: KafkaError): void {
    if (this.#open === undefined) return;
    if (this.#openWriter !== undefined) this.#writers.give(this.#openWriter);
    const listeners = this.#openListeners;
    this.#open = undefined;
    this.#openListeners = undefined;
    tellFailed(listeners, error, this.partition, false);
  }

  /** Tells whoever asks for a record that is not acknowledged that it is given up. */
  tellAll(error: KafkaError): void {
    const listeners = this.#openListeners;
    this.#openListeners = undefined;
    for (const batch of this.#closed()) this.giveUp(batch, error);
    tellFailed(listeners, error, this.partition, false);
  }

  /** Tells whoever asks for the batch's records, once. */
  giveUp(batch: PendingBatch, error: KafkaError): void {
    if (batch.isGivenUp) return;
    batch.isGivenUp = true;
    tellFailed(batch.listeners, error, this.partition, batch.mayBeWritten || batch.isOut);
  }

  #closed(): PendingBatch[] {
    return [...this.#inFlight, ...this.#ready];
  }

  /** Drops everything that is not acknowledged, and forgets what was; starts over without an identity. */
  discard(error: KafkaError): void {
    this.tellAll(error);
    this.dropOpen(error);
    for (const { writer, sends } of this.#ready) if (writer !== undefined && sends === 0) this.#writers.give(writer);
    this.#ready = [];
    this.#inFlight = [];
    this.#nextSequence = 0;
    this.identity = undefined;
    this.needsNewIdentity = false;
    this.#goOn();
    this.forgetLog();
  }
}

/** Stamped on what waits for an identity. */
const NOBODY: Identity = { producerId: -1, producerEpoch: -1 };

/** Sequence order across the wrap-around at 2^31. */
function precedes(a: PendingBatch, b: PendingBatch): boolean {
  const distance = (b.baseSequence - a.baseSequence + SEQUENCES) % SEQUENCES;
  return distance > 0 && distance < SEQUENCES / 2;
}
