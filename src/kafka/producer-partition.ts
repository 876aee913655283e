/**
 * One partition's share of the producer: the open batch, batches waiting in order of their sequence, and those in
 * flight. After a failure what was in flight returns to its place, and until the first of it is acknowledged only one
 * batch is out, so that order is kept through retries.
 */
import { type ByteWriter, writeInt64 } from '../bytes.ts';
import type { Header } from '../headers.ts';
import type { CompressionType } from './compression/index.ts';
import { crc32c } from './crc32c.ts';
import { RecordBatch } from './record-batch.ts';
import { RecordBatchBuilder } from './record-batch-builder.ts';
import type { WriterPool } from './writer-pool.ts';

export interface Identity {
  readonly producerId: number;
  readonly producerEpoch: number;
}

export interface PendingBatch {
  readonly owner: ProducerPartition;
  readonly recordCount: number;
  readonly compression: CompressionType;
  bytes: Buffer;
  baseSequence: number;
  /** Whose memory `bytes` is; undefined where it is its own. */
  readonly writer: ByteWriter | undefined;
  /** How often it went out. */
  sends: number;
}

/** Sequences are int32 and start over at 0 behind the largest (`DefaultRecordBatch#incrementSequence`). */
const SEQUENCES = 2 ** 31;
/** The next batch of a partition likely grows to the size of the last. */
const FIRST_BATCH_BYTES = 4096;

export class ProducerPartition {
  readonly topic: string;
  readonly partition: number;
  /** The broker lost this producer's state for the partition. */
  needsNewIdentity = false;
  /** The offset behind the last record known to be written; −1 before the first. */
  ackedOffset = -1;
  readonly #writers: WriterPool;
  #open: RecordBatchBuilder | undefined;
  #openWriter: ByteWriter | undefined;
  #ready: PendingBatch[] = [];
  #inFlight: PendingBatch[] = [];
  #nextSequence = 0;
  #retrying = false;
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

  append(
    timestamp: number,
    keyBuffer: Uint8Array,
    keyStart: number,
    keyLength: number,
    valueBuffer: Uint8Array,
    valueStart: number,
    valueLength: number,
    headers: readonly Header[],
  ): void {
    const open = this.#open ?? this.#start();
    open.append(timestamp, keyBuffer, keyStart, keyLength, valueBuffer, valueStart, valueLength, headers);
  }

  #start(): RecordBatchBuilder {
    this.#openWriter = this.#writers.take(this.#lastBatchBytes);
    this.#open = new RecordBatchBuilder(this.#openWriter);
    return this.#open;
  }

  /** Closes the open batch and queues it. */
  close(compression: CompressionType, identity: Identity): PendingBatch | undefined {
    const open = this.#open;
    if (open === undefined) return undefined;
    this.#open = undefined;
    this.#lastBatchBytes = Math.max(FIRST_BATCH_BYTES, open.sizeBytes);
    const baseSequence = this.#nextSequence;
    this.#nextSequence = (baseSequence + open.recordCount) % SEQUENCES;
    const bytes = open.build(compression, { ...identity, baseSequence });
    let writer = this.#openWriter;
    if (compression !== 'none') {
      this.#writers.give(writer!);
      writer = undefined;
    }
    const { recordCount } = open;
    const batch: PendingBatch = { owner: this, recordCount, compression, bytes, baseSequence, writer, sends: 0 };
    this.#ready.push(batch);
    return batch;
  }

  /** The batch that may go next. */
  peek(maxInFlight: number): PendingBatch | undefined {
    return this.#inFlight.length < (this.#retrying ? 1 : maxInFlight) ? this.#ready[0] : undefined;
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

  /** @param baseOffset −1 where the broker did not say (a repetition of what it had) */
  done(batch: PendingBatch, baseOffset: number): void {
    if (baseOffset >= 0) this.ackedOffset = Math.max(this.ackedOffset, baseOffset + batch.recordCount);
    this.#inFlight = this.#inFlight.filter((other) => other !== batch);
    this.#retrying = false;
    // Sent once, its bytes have left; an earlier try's may still wait in a socket that hangs.
    if (batch.writer !== undefined && batch.sends === 1) this.#writers.give(batch.writer);
  }

  retry(batch: PendingBatch): void {
    this.#inFlight = this.#inFlight.filter((other) => other !== batch);
    this.#retrying = true;
    const at = this.#ready.findIndex((other) => precedes(batch, other));
    this.#ready.splice(at < 0 ? this.#ready.length : at, 0, batch);
  }

  /** Replaces a batch that is too large by two halves under the same sequences; returns the bytes this adds. */
  split(batch: PendingBatch, identity: Identity): number {
    this.retry(batch);
    const index = this.#ready.indexOf(batch);
    const cursor = new RecordBatch(batch.bytes, 0, this).records();
    const half = batch.recordCount >> 1;
    const parts: PendingBatch[] = [];
    let baseSequence = batch.baseSequence;
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
      const bytes = builder.build(batch.compression, { ...identity, baseSequence });
      const { compression } = batch;
      parts.push({ owner: this, recordCount: count, compression, bytes, baseSequence, writer: undefined, sends: 0 });
      baseSequence = (baseSequence + count) % SEQUENCES;
    }
    this.#ready.splice(index, 1, ...parts);
    return parts.reduce((sum, part) => sum + part.bytes.length, 0) - batch.bytes.length;
  }

  /** Gives what waits a new producer id and sequences from 0. Nothing may be in flight. */
  restamp(identity: Identity): void {
    this.needsNewIdentity = false;
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
}

/** Sequence order across the wrap-around at 2^31. */
function precedes(a: PendingBatch, b: PendingBatch): boolean {
  const distance = (b.baseSequence - a.baseSequence + SEQUENCES) % SEQUENCES;
  return distance > 0 && distance < SEQUENCES / 2;
}
