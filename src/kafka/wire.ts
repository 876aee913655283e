/** Reading Kafka's non-flexible protocol types from a response, with every length checked against what is there. */
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

  #need(bytes: number): void {
    if (this.position + bytes > this.buffer.length) {
      throw new KafkaError(
        'MILLRACE_KAFKA_MALFORMED_RESPONSE',
        'A response from the broker ends before its fields do.',
        {
          retriable: true,
        },
      );
    }
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
