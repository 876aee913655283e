/**
 * Kafka's protocol types: reading them from a response, with every length checked against what is there, and writing them.
 * Flexible versions (KIP-482) have compact lengths, one more than the length as an unsigned varint, and tagged fields.
 */
import { type ByteWriter, readInt64 } from '../bytes.ts';
import { KafkaError } from './errors.ts';

export class WireReader {
  readonly buffer: Buffer;
  position: number;

  constructor(buffer: Buffer, position = 0) {
    this.buffer = buffer;
    this.position = position;
  }

  int8(): number {
    this.#need(1);
    return this.buffer.readInt8(this.position++);
  }

  bool(): boolean {
    return this.int8() !== 0;
  }

  int16(): number {
    this.#need(2);
    this.position += 2;
    return this.buffer.readInt16BE(this.position - 2);
  }

  int32(): number {
    this.#need(4);
    this.position += 4;
    return this.buffer.readInt32BE(this.position - 4);
  }

  int64(): number {
    this.#need(8);
    this.position += 8;
    return readInt64(this.buffer, this.position - 8);
  }

  string(): string {
    return this.nullableString() ?? '';
  }

  nullableString(): string | null {
    const length = this.int16();
    if (length < 0) return null;
    this.#need(length);
    this.position += length;
    return this.buffer.toString('utf8', this.position - length, this.position);
  }

  /** A view of a length-prefixed run of bytes; empty where it is null. */
  bytes(): Buffer {
    const length = Math.max(this.int32(), 0);
    this.#need(length);
    this.position += length;
    return this.buffer.subarray(this.position - length, this.position);
  }

  array<T>(read: (reader: WireReader) => T): T[] {
    const count = this.int32();
    const items: T[] = [];
    // Each element takes at least a byte: a count larger than what is left cannot be.
    if (count > this.buffer.length - this.position) this.#need(count);
    for (let i = 0; i < count; i++) items.push(read(this));
    return items;
  }

  /** 16 bytes as hex. */
  uuid(): string {
    this.#need(16);
    this.position += 16;
    return this.buffer.toString('hex', this.position - 16, this.position);
  }

  unsignedVarint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      this.#need(1);
      const byte = this.buffer[this.position++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return this.#malformed();
  }

  compactNullableString(): string | null {
    const length = this.unsignedVarint() - 1;
    if (length < 0) return null;
    this.#need(length);
    this.position += length;
    return this.buffer.toString('utf8', this.position - length, this.position);
  }

  compactString(): string {
    return this.compactNullableString() ?? '';
  }

  compactArray<T>(read: (reader: WireReader) => T): T[] {
    const count = this.unsignedVarint() - 1;
    const items: T[] = [];
    if (count > this.buffer.length - this.position) this.#need(count);
    for (let i = 0; i < count; i++) items.push(read(this));
    return items;
  }

  /** Tagged fields: none of them is known here. */
  skipTags(): void {
    for (let count = this.unsignedVarint(); count > 0; count--) {
      this.unsignedVarint();
      const length = this.unsignedVarint();
      this.#need(length);
      this.position += length;
    }
  }

  #need(bytes: number): void {
    if (this.position + bytes > this.buffer.length) this.#malformed();
  }

  #malformed(): never {
    throw new KafkaError('MILLRACE_KAFKA_MALFORMED_RESPONSE', 'A response from the broker ends before its fields do.', {
      retriable: true,
    });
  }
}

export function writeString(out: ByteWriter, value: string): void {
  const length = Buffer.byteLength(value);
  out.int16(length).utf8(value);
}

export function writeNullableString(out: ByteWriter, value: string | null): void {
  if (value === null) out.int16(-1);
  else writeString(out, value);
}

export function writeBytes(out: ByteWriter, value: Uint8Array): void {
  out.int32(value.length).bytes(value);
}

export function writeArray<T>(out: ByteWriter, items: readonly T[], write: (item: T) => void): void {
  out.int32(items.length);
  for (const item of items) write(item);
}

export function writeUnsignedVarint(out: ByteWriter, value: number): void {
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) out.int8((rest & 0x7f) | 0x80);
  out.int8(rest);
}

export function writeCompactString(out: ByteWriter, value: string): void {
  writeUnsignedVarint(out, Buffer.byteLength(value) + 1);
  out.utf8(value);
}

/** Tagged fields: we send none. */
export function writeNoTags(out: ByteWriter): void {
  out.int8(0);
}
