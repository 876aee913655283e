/**
 * A growing byte buffer that is written in place and reused, and the variable-length integers of Kafka and Avro.
 * Writers on the record path append here instead of allocating a Buffer each.
 */
import { copyRange } from './byte-views.ts';

const TWO_32 = 0x1_0000_0000;
const SHORT_TEXT = 48;

export class ByteWriter {
  buffer: Buffer;
  /** Of `buffer`. */
  view: DataView;
  position = 0;

  constructor(initialBytes = 256) {
    this.buffer = Buffer.allocUnsafeSlow(initialBytes);
    this.view = new DataView(this.buffer.buffer);
  }

  /** Makes room for `bytes` more; existing content is kept, `buffer` may be another object afterwards. */
  ensure(bytes: number): void {
    const needed = this.position + bytes;
    if (needed <= this.buffer.length) return;
    let capacity = this.buffer.length * 2;
    while (capacity < needed) capacity *= 2;
    const grown = Buffer.allocUnsafeSlow(capacity);
    this.buffer.copy(grown, 0, 0, this.position);
    this.buffer = grown;
    this.view = new DataView(grown.buffer);
  }

  /** Forgets the content; the memory is kept for the next use. */
  reset(): void {
    this.position = 0;
  }

  /** A copy of bytes `start` to `end`, safe to keep. */
  copy(start = 0, end = this.position): Buffer {
    // From Node's pool: thousands of these live until a commit, and a memory block each is what makes the collector slow.
    const out = Buffer.allocUnsafe(end - start);
    this.buffer.copy(out, 0, start, end);
    return out;
  }

  int8(value: number): this {
    this.ensure(1);
    this.buffer[this.position++] = value;
    return this;
  }

  int16(value: number): this {
    this.ensure(2);
    this.position = this.buffer.writeInt16BE(value, this.position);
    return this;
  }

  int32(value: number): this {
    this.ensure(4);
    this.position = this.buffer.writeInt32BE(value, this.position);
    return this;
  }

  uint32(value: number): this {
    this.ensure(4);
    this.position = this.buffer.writeUInt32BE(value >>> 0, this.position);
    return this;
  }

  /** A safe integer as signed 64 bits, big-endian. */
  int64(value: number): this {
    this.ensure(8);
    writeInt64(this.buffer, value, this.position);
    this.position += 8;
    return this;
  }

  doubleBE(value: number): this {
    this.ensure(8);
    this.position = this.buffer.writeDoubleBE(value, this.position);
    return this;
  }

  doubleLE(value: number): this {
    this.ensure(8);
    this.position = this.buffer.writeDoubleLE(value, this.position);
    return this;
  }

  bytes(source: Uint8Array, start = 0, end = source.length): this {
    const length = end - start;
    this.ensure(length);
    copyRange(source, start, end, this.buffer, this.view, this.position);
    this.position += length;
    return this;
  }

  utf8(value: string): this {
    const { length } = value;
    // Three bytes a UTF-16 unit is UTF-8's worst case.
    this.ensure(length * 3);
    if (length <= SHORT_TEXT) {
      // Short ASCII, as keys are, beats the call into native code.
      const { buffer, position } = this;
      let i = 0;
      for (let unit = 0; i < length && (unit = value.charCodeAt(i)) < 0x80; i++) buffer[position + i] = unit;
      if (i === length) {
        this.position = position + length;
        return this;
      }
    }
    this.position += this.buffer.write(value, this.position, 'utf8');
    return this;
  }

  /** Zigzag variable-length integer, for safe integers. */
  varint(value: number): this {
    this.ensure(10);
    this.position = writeVarint(this.buffer, value, this.position);
    return this;
  }
}

/** One piece of memory handed out again and again at the length that is asked for: the last content is gone each time. */
export class ReusedBytes {
  #memory = Buffer.allocUnsafeSlow(1024);
  /** Of the memory. */
  view = new DataView(this.#memory.buffer);
  /** By length: a part costs more to make than what is copied into it. */
  #parts: (Buffer | undefined)[] = [];

  of(length: number): Buffer {
    if (length > this.#memory.length) {
      this.#memory = Buffer.allocUnsafeSlow(length * 2);
      this.view = new DataView(this.#memory.buffer);
      this.#parts = [];
    }
    return (this.#parts[length] ??= this.#memory.subarray(0, length));
  }
}

/** Bytes as a string of the same length: what stands for them as a Map key. Sorts as the bytes do. */
export function latin1(buffer: Buffer, start = 0, end = buffer.length): string {
  return buffer.toString('latin1', start, end);
}

export function writeInt64(buffer: Buffer, value: number, at: number): void {
  const high = Math.floor(value / TWO_32);
  buffer.writeInt32BE(high, at);
  buffer.writeUInt32BE(value - high * TWO_32, at + 4);
}

/** Exact for values within ±2^53; beyond that it is rounded, as any JavaScript number. */
export function readInt64(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at) * TWO_32 + buffer.readUInt32BE(at + 4);
}

/** Writes a zigzag varint and returns the position behind it. */
export function writeVarint(buffer: Uint8Array, value: number, at: number): number {
  let position = at;
  if (value >= -0x4000_0000 && value < 0x4000_0000) {
    let bits = ((value << 1) ^ (value >> 31)) >>> 0;
    while (bits > 0x7f) {
      buffer[position++] = (bits & 0x7f) | 0x80;
      bits >>>= 7;
    }
    buffer[position++] = bits;
    return position;
  }
  let rest = value >= 0 ? BigInt(value) << 1n : (-BigInt(value) << 1n) - 1n;
  while (rest > 0x7fn) {
    buffer[position++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  buffer[position++] = Number(rest);
  return position;
}

export function sizeOfVarint(value: number): number {
  if (value >= -64 && value < 64) return 1;
  if (value >= -8192 && value < 8192) return 2;
  if (value >= -1048576 && value < 1048576) return 3;
  let size = 1;
  // Doubling is exact: safe integers have a bit to spare.
  let magnitude = value >= 0 ? value * 2 : -value * 2 - 1;
  while (magnitude > 127) {
    magnitude = Math.floor(magnitude / 128);
    size++;
  }
  return size;
}
