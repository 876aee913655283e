/**
 * Record batch v2, read in place: a cursor over the bytes of a fetch response that exposes positions instead of
 * objects. Mirrors `org.apache.kafka.common.record.DefaultRecordBatch`.
 *
 *     0  baseOffset int64          8  batchLength int32        12  partitionLeaderEpoch int32   16  magic int8
 *     17 crc uint32 (of 21..end)  21  attributes int16         23  lastOffsetDelta int32
 *     27 baseTimestamp int64      35  maxTimestamp int64       43  producerId int64
 *     51 producerEpoch int16      53  baseSequence int32       57  recordCount int32            61  records
 *     attributes: 0-2 compression · 3 timestamp type (1 = LogAppendTime) · 4 transactional · 5 control
 *     record: length varint | attributes int8 | timestampDelta varlong | offsetDelta varint |
 *             keyLength varint | key | valueLength varint | value | headerCount varint | { keyLength | key | valueLength | value }*
 */
import { readInt64 } from '../bytes.ts';
import { type Header, NO_HEADERS } from '../headers.ts';
import { compressionTypeOf, DecompressionError, decompress } from './compression/index.ts';
import { crc32c } from './crc32c.ts';
import { CorruptRecordError, UnsupportedMessageFormatError } from './errors.ts';

export const BATCH_HEADER_BYTES = 61;
/** Bytes before `batchLength` starts counting. */
export const LOG_OVERHEAD_BYTES = 12;
/** A record takes at least this many bytes: length, attributes, two deltas, two lengths, header count. */
const MIN_RECORD_BYTES = 7;

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export interface BatchOptions {
  /** Check the CRC-32C. Default true. */
  readonly checkCrc?: boolean;
  /** A batch that unfolds to more is corrupt. Default 128 MiB. */
  readonly maxDecompressedBytes?: number;
}

const DEFAULT_MAX_DECOMPRESSED_BYTES = 128 * 1024 * 1024;

/**
 * The batches in a record set, one after the other. A last batch that is cut off ends the walk; a batch before it
 * that claims a length it cannot have is corrupt.
 */
export class RecordBatch {
  readonly baseOffset: number;
  readonly lastOffset: number;
  /** Bytes from the batch's first to behind its last, as stored. */
  readonly sizeBytes: number;
  /** Epoch of the leader that appended it; −1 where the broker does not say. */
  readonly partitionLeaderEpoch: number;
  readonly attributes: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordCount: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  readonly #buffer: Buffer;
  readonly #start: number;
  readonly #at: TopicPartition;
  readonly #maxDecompressedBytes: number;

  constructor(buffer: Buffer, start: number, at: TopicPartition, options: BatchOptions = {}) {
    this.#buffer = buffer;
    this.#start = start;
    this.#at = at;
    this.#maxDecompressedBytes = options.maxDecompressedBytes ?? DEFAULT_MAX_DECOMPRESSED_BYTES;
    this.baseOffset = readInt64(buffer, start);
    const batchLength = buffer.readInt32BE(start + 8);
    this.sizeBytes = LOG_OVERHEAD_BYTES + batchLength;
    const magic = buffer.readInt8(start + 16);
    if (magic !== 2) {
      if (magic === 0 || magic === 1) throw new UnsupportedMessageFormatError(magic, this.#place());
      throw this.#corrupt(`message format ${magic} is unknown`);
    }
    if (batchLength < BATCH_HEADER_BYTES - LOG_OVERHEAD_BYTES) throw this.#corrupt(`batch length ${batchLength}`);
    if (options.checkCrc !== false) {
      const computed = crc32c(buffer, start + 21, start + this.sizeBytes);
      const stored = buffer.readUInt32BE(start + 17);
      if (computed !== stored) throw this.#corrupt(`CRC-32C is ${computed}, the batch says ${stored}`);
    }
    this.partitionLeaderEpoch = buffer.readInt32BE(start + 12);
    this.attributes = buffer.readInt16BE(start + 21);
    const lastOffsetDelta = buffer.readInt32BE(start + 23);
    this.lastOffset = this.baseOffset + lastOffsetDelta;
    this.baseTimestamp = readInt64(buffer, start + 27);
    this.maxTimestamp = readInt64(buffer, start + 35);
    this.producerId = readInt64(buffer, start + 43);
    this.producerEpoch = buffer.readInt16BE(start + 51);
    this.baseSequence = buffer.readInt32BE(start + 53);
    this.recordCount = buffer.readInt32BE(start + 57);
    if (lastOffsetDelta < 0) throw this.#corrupt(`last offset delta ${lastOffsetDelta}`);
    if (this.baseOffset < 0) throw this.#corrupt('negative base offset');
    if (this.recordCount < 0 || this.recordCount > lastOffsetDelta + 1) {
      throw this.#corrupt(`${this.recordCount} records in ${lastOffsetDelta + 1} offsets`);
    }
    if (this.compression === undefined) throw this.#corrupt(`compression type ${this.attributes & 7}`);
  }

  get compression() {
    return compressionTypeOf(this.attributes);
  }

  get isControl(): boolean {
    return (this.attributes & 0x20) !== 0;
  }

  get isTransactional(): boolean {
    return (this.attributes & 0x10) !== 0;
  }

  get isLogAppendTime(): boolean {
    return (this.attributes & 0x08) !== 0;
  }

  /** A cursor before the first record. Decompresses the batch. */
  records(): RecordCursor {
    const from = this.#start + BATCH_HEADER_BYTES;
    const to = this.#start + this.sizeBytes;
    const type = this.compression!;
    let bytes = this.#buffer;
    let start = from;
    let end = to;
    if (type !== 'none') {
      try {
        bytes = decompress(type, bytes.subarray(from, to), this.#maxDecompressedBytes);
      } catch (error) {
        if (error instanceof DecompressionError) throw this.#corrupt(error.message);
        throw error;
      }
      start = 0;
      end = bytes.length;
    }
    if (this.recordCount * MIN_RECORD_BYTES > end - start) {
      throw this.#corrupt(`${this.recordCount} records in ${end - start} bytes`);
    }
    return new RecordCursor(this, bytes, start, end, this.#at);
  }

  #place() {
    return { ...this.#at, offset: this.baseOffset };
  }

  #corrupt(why: string): CorruptRecordError {
    return new CorruptRecordError(why, this.#place());
  }
}

/** Calls `visit` with each whole batch of a record set; returns the bytes of a cut-off last one (0: none). */
export function forEachBatch(
  buffer: Buffer,
  start: number,
  end: number,
  at: TopicPartition,
  options: BatchOptions,
  visit: (batch: RecordBatch) => void,
): number {
  let position = start;
  while (end - position >= LOG_OVERHEAD_BYTES) {
    const length = buffer.readInt32BE(position + 8);
    // 14 is the least a message of any format can be; less would never move on.
    if (length < 14) {
      throw new CorruptRecordError(`batch length ${length}`, { ...at, offset: readInt64(buffer, position) });
    }
    if (position + LOG_OVERHEAD_BYTES + length > end) break;
    const batch = new RecordBatch(buffer, position, at, options);
    visit(batch);
    position += batch.sizeBytes;
  }
  return end - position;
}

/**
 * Walks the records of one batch without allocating. After `next()` returned true the fields describe the record;
 * key and value lie in `buffer`, length −1 stands for null.
 */
export class RecordCursor {
  readonly buffer: Buffer;
  /** Of `buffer`: one for all records of the batch. */
  readonly view: DataView;
  offset = -1;
  /** Milliseconds since the epoch; −1 where the producer set none. */
  timestamp = -1;
  keyStart = 0;
  keyLength = -1;
  valueStart = 0;
  valueLength = -1;
  headerCount = 0;
  #bodyStart = 0;
  #headersStart = 0;
  #position: number;
  #left: number;
  readonly #end: number;
  readonly #batch: RecordBatch;
  readonly #at: TopicPartition;
  readonly #baseOffset: number;
  readonly #baseTimestamp: number;
  readonly #hasAppendTime: boolean;
  readonly #appendTime: number;

  constructor(batch: RecordBatch, buffer: Buffer, start: number, end: number, at: TopicPartition) {
    this.buffer = buffer;
    this.view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
    this.#batch = batch;
    this.#position = start;
    this.#end = end;
    this.#left = batch.recordCount;
    this.#at = at;
    this.#baseOffset = batch.baseOffset;
    this.#baseTimestamp = batch.baseTimestamp;
    this.#hasAppendTime = batch.isLogAppendTime;
    this.#appendTime = batch.maxTimestamp;
  }

  /** Hot: common case first, no allocation. Moves to the next record; false behind the last. */
  next(): boolean {
    if (this.#left === 0) {
      if (this.#position !== this.#end) this.#corrupt(`${this.#end - this.#position} bytes behind the last record`);
      return false;
    }
    this.#left--;
    const length = this.#varint();
    const recordEnd = this.#position + length;
    if (length < MIN_RECORD_BYTES - 1 || recordEnd > this.#end) this.#corrupt(`record of ${length} bytes`);
    this.#bodyStart = this.#position;
    this.#position++;
    const timestampDelta = this.#varint();
    const offset = this.#baseOffset + this.#varint();
    if (offset <= this.offset || offset > this.#batch.lastOffset || offset < this.#baseOffset) {
      this.#corrupt(`offset ${offset} after ${this.offset}`);
    }
    this.offset = offset;
    this.timestamp = this.#hasAppendTime ? this.#appendTime : this.#baseTimestamp + timestampDelta;
    const keyLength = this.#varint();
    this.keyStart = this.#position;
    this.keyLength = keyLength;
    if (keyLength > 0) this.#position += keyLength;
    else if (keyLength < -1) this.#corrupt(`key of ${keyLength} bytes`);
    if (this.#position >= recordEnd) this.#corrupt(`key of ${keyLength} bytes`);
    const valueLength = this.#varint();
    this.valueStart = this.#position;
    this.valueLength = valueLength;
    if (valueLength > 0) this.#position += valueLength;
    else if (valueLength < -1) this.#corrupt(`value of ${valueLength} bytes`);
    if (this.#position >= recordEnd) this.#corrupt(`value of ${valueLength} bytes`);
    const headerCount = this.#varint();
    this.headerCount = headerCount;
    if (headerCount === 0) {
      if (this.#position !== recordEnd) this.#corrupt(`record length ${length}`);
      return true;
    }
    // A header takes at least two bytes: refuse a count that cannot be before anything is sized by it.
    if (headerCount < 0 || headerCount * 2 > recordEnd - this.#position) this.#corrupt(`${headerCount} headers`);
    this.#headersStart = this.#position;
    this.#skipHeaders(headerCount, recordEnd);
    return true;
  }

  /** The record's headers, copied out of the fetch response. */
  headers(): readonly Header[] {
    if (this.headerCount === 0) return NO_HEADERS;
    const after = this.#position;
    this.#position = this.#headersStart;
    const headers: Header[] = [];
    for (let i = 0; i < this.headerCount; i++) {
      const keyLength = this.#varint();
      const key = this.buffer.toString('utf8', this.#position, this.#position + keyLength);
      this.#position += keyLength;
      const valueLength = this.#varint();
      const value =
        valueLength < 0 ? null : Buffer.from(this.buffer.subarray(this.#position, this.#position + valueLength));
      if (valueLength > 0) this.#position += valueLength;
      headers.push({ key, value });
    }
    this.#position = after;
    return headers;
  }

  /** The record without its length, as a view: for rewriting a batch with some of its records. */
  bodyBytes(): Buffer {
    return this.buffer.subarray(this.#bodyStart, this.#position);
  }

  /** The key's bytes as a view that lives as long as the fetch response; null for a null key. */
  key(): Buffer | null {
    return this.keyLength < 0 ? null : this.buffer.subarray(this.keyStart, this.keyStart + this.keyLength);
  }

  /** The value's bytes as a view that lives as long as the fetch response; null for a null value. */
  value(): Buffer | null {
    return this.valueLength < 0 ? null : this.buffer.subarray(this.valueStart, this.valueStart + this.valueLength);
  }

  #skipHeaders(count: number, recordEnd: number): void {
    for (let i = 0; i < count; i++) {
      const keyLength = this.#varint();
      if (keyLength < 0 || this.#position + keyLength > recordEnd) this.#corrupt(`header key of ${keyLength} bytes`);
      this.#position += keyLength;
      const valueLength = this.#varint();
      if (valueLength < -1 || this.#position + valueLength > recordEnd)
        this.#corrupt(`header value of ${valueLength} bytes`);
      if (valueLength > 0) this.#position += valueLength;
    }
    if (this.#position !== recordEnd) this.#corrupt('header lengths');
  }

  /** Hot: zigzag varint; one to four bytes by shifts, longer ones below. */
  #varint(): number {
    const buffer = this.buffer;
    let position = this.#position;
    let byte = buffer[position++]!;
    if (byte < 0x80) {
      this.#position = position;
      return (byte >>> 1) ^ -(byte & 1);
    }
    let value = byte & 0x7f;
    for (let shift = 7; shift < 28; shift += 7) {
      byte = buffer[position++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.#position = position;
        return (value >>> 1) ^ -(value & 1);
      }
    }
    return this.#longVarint(value, position);
  }

  #longVarint(low: number, at: number): number {
    let position = at;
    let value = BigInt(low);
    for (let shift = 28n; shift < 70n; shift += 7n) {
      // Past the buffer's end a read gives undefined: an error, not a zero.
      const byte = this.buffer[position++];
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.#position = position;
        return Number(BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n)));
      }
    }
    return this.#corrupt('variable-length integer cut off or longer than 10 bytes');
  }

  #corrupt(why: string): never {
    throw new CorruptRecordError(why, { ...this.#at, offset: Math.max(this.offset, this.#baseOffset) });
  }
}
