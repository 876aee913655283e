/**
 * Builds one record batch v2: records are encoded straight into a growing buffer as they arrive, the header is filled
 * in when the batch is closed. Mirrors `org.apache.kafka.common.record.MemoryRecordsBuilder`; layout in record-batch.ts.
 */
import { copyRange } from '../byte-views.ts';
import { ByteWriter, sizeOfVarint, writeInt64, writeVarint } from '../bytes.ts';
import type { Header } from '../headers.ts';
import { COMPRESSION_IDS, type CompressionType, compress } from './compression/index.ts';
import { crc32c } from './crc32c.ts';
import { BATCH_HEADER_BYTES, LOG_OVERHEAD_BYTES } from './record-batch.ts';

export interface BatchIdentity {
  /** −1: not idempotent. */
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly transactional?: boolean;
}

export const NO_PRODUCER: BatchIdentity = { producerId: -1, producerEpoch: -1, baseSequence: -1 };

export class RecordBatchBuilder {
  recordCount = 0;
  readonly #out: ByteWriter;
  #baseTimestamp = 0;
  #maxTimestamp = -1;

  /** @param writer an empty one */
  constructor(writer = new ByteWriter(1024)) {
    this.#out = writer;
    writer.ensure(BATCH_HEADER_BYTES);
    writer.position = BATCH_HEADER_BYTES;
  }

  /** The highest timestamp so far, ms since the epoch. */
  get maxTimestamp(): number {
    return this.#maxTimestamp;
  }

  /** Bytes so far, header included, before compression. */
  get sizeBytes(): number {
    return this.#out.position;
  }

  /**
   * Hot. Appends a record whose key and value are ranges of buffers; a length of −1 is null. Where that throws, nothing was
   * appended: the records before it stay as they are.
   * @param timestamp ms since the epoch
   */
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
    const offsetDelta = this.recordCount;
    if (offsetDelta === 0) this.#baseTimestamp = timestamp;
    const timestampDelta = timestamp - this.#baseTimestamp;
    const bodyLength =
      1 +
      sizeOfVarint(timestampDelta) +
      sizeOfVarint(offsetDelta) +
      sizeOfVarint(keyLength) +
      Math.max(keyLength, 0) +
      sizeOfVarint(valueLength) +
      Math.max(valueLength, 0) +
      (headers.length === 0 ? 1 : sizeOfHeaders(headers));
    const out = this.#out;
    out.ensure(bodyLength + 5);
    const { buffer, position: start } = out;
    let position = writeVarint(buffer, bodyLength, start);
    buffer[position++] = 0;
    position = writeVarint(buffer, timestampDelta, position);
    position = writeVarint(buffer, offsetDelta, position);
    position = writeVarint(buffer, keyLength, position);
    if (keyLength > 0) {
      copyRange(keyBuffer, keyStart, keyStart + keyLength, buffer, out.view, position);
      position += keyLength;
    }
    position = writeVarint(buffer, valueLength, position);
    if (valueLength > 0) {
      copyRange(valueBuffer, valueStart, valueStart + valueLength, buffer, out.view, position);
      position += valueLength;
    }
    if (headers.length === 0) {
      buffer[position++] = 0;
      out.position = position;
    } else {
      out.position = position;
      try {
        this.#writeHeaders(headers);
      } catch (error) {
        out.position = start;
        throw error;
      }
    }
    this.recordCount = offsetDelta + 1;
    if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp;
  }

  /** Closes the batch. Uncompressed, the result is the writer's memory: the builder is not to be used again. */
  build(compression: CompressionType, identity: BatchIdentity): Buffer {
    const records = this.#out;
    let batch = records.buffer.subarray(0, records.position);
    let attributes = identity.transactional === true ? 0x10 : 0;
    if (compression !== 'none') {
      const packed = compress(compression, batch.subarray(BATCH_HEADER_BYTES));
      batch = Buffer.allocUnsafeSlow(BATCH_HEADER_BYTES + packed.length);
      packed.copy(batch, BATCH_HEADER_BYTES);
      attributes |= COMPRESSION_IDS[compression];
    }
    writeInt64(batch, 0, 0);
    batch.writeInt32BE(batch.length - LOG_OVERHEAD_BYTES, 8);
    batch.writeInt32BE(-1, 12);
    batch[16] = 2;
    batch.writeInt16BE(attributes, 21);
    batch.writeInt32BE(this.recordCount - 1, 23);
    writeInt64(batch, this.#baseTimestamp, 27);
    writeInt64(batch, this.#maxTimestamp, 35);
    writeInt64(batch, identity.producerId, 43);
    batch.writeInt16BE(identity.producerEpoch, 51);
    batch.writeInt32BE(identity.baseSequence, 53);
    batch.writeInt32BE(this.recordCount, 57);
    batch.writeUInt32BE(crc32c(batch, 21), 17);
    return batch;
  }

  #writeHeaders(headers: readonly Header[]): void {
    const out = this.#out;
    out.varint(headers.length);
    for (const { key, value } of headers) {
      const keyLength = Buffer.byteLength(key);
      out.varint(keyLength).utf8(key);
      if (value === null) out.varint(-1);
      else out.varint(value.length).bytes(value);
    }
  }
}

function sizeOfHeaders(headers: readonly Header[]): number {
  let size = sizeOfVarint(headers.length);
  for (const { key, value } of headers) {
    const keyLength = Buffer.byteLength(key);
    size += sizeOfVarint(keyLength) + keyLength;
    size += value === null ? 1 : sizeOfVarint(value.length) + value.length;
  }
  return size;
}
