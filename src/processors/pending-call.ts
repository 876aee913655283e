/**
 * A record that an asynchronous call is for, as the pending store keeps it:
 *
 *     version int8 | timestamp int64 | topic bytes | partition int32 | offset int64
 *     | key bytes | value bytes | header count int32 | (header key bytes | header value bytes)…
 *     | source int8 (1: follows) | source key bytes | source value bytes
 *
 * Bytes are a length int32 and the bytes; −1 is null.
 */
import type { ByteWriter } from '../bytes.ts';
import { readInt64 } from '../bytes.ts';
import { type Header, NO_HEADERS } from '../headers.ts';
import { DeserializationError, type Serde, type Side } from '../serdes/index.ts';
import type { ProcessingContext, RecordBytes } from '../topology/index.ts';

const VERSION = 0;
const NAME = 'pending-call';

/** What is kept of a record until its result is handed on; the context of that too. */
export interface PendingRecord<K, V> extends ProcessingContext {
  readonly key: K;
  readonly value: V;
  /** The bytes in its source topic, where dead letters are asked for. */
  readonly source: RecordBytes | null;
}

export function pendingCallSerde<K, V>(key: Serde<K>, value: Serde<V>): Serde<PendingRecord<K, V>> {
  return {
    name: `${NAME}(${key.name}, ${value.name})`,
    primitive: false,
    nullable: false,
    async prepareWrite(topic, _side, signal) {
      await key.prepareWrite?.(topic, 'key', signal);
      await value.prepareWrite?.(topic, 'value', signal);
    },
    write(record, out, topic) {
      out.int8(VERSION).int64(record.timestamp);
      writeText(out, record.topic);
      out.int32(record.partition).int64(record.offset);
      writeWith(key, record.key, out, topic, 'key');
      writeWith(value, record.value, out, topic, 'value');
      out.int32(record.headers.length);
      for (const header of record.headers) {
        writeText(out, header.key);
        writeBytes(out, header.value);
      }
      out.int8(record.source === null ? 0 : 1);
      if (record.source === null) return;
      writeBytes(out, record.source.key);
      writeBytes(out, record.source.value);
    },
    read(buffer, start, end, topic) {
      const from = new Reader(buffer, start, end);
      const version = from.int8();
      if (version !== VERSION) throw new DeserializationError(NAME, `version ${version}, of a later release`);
      const timestamp = from.int64();
      const source = { topic: from.text(), partition: from.int32(), offset: from.int64() };
      return {
        timestamp,
        ...source,
        key: from.with(key, topic, 'key'),
        value: from.with(value, topic, 'value'),
        headers: from.headers(),
        source: from.int8() === 0 ? null : { key: from.bytes(), value: from.bytes() },
      };
    },
  };
}

function writeWith<T>(serde: Serde<T>, value: T, out: ByteWriter, topic: string, side: Side): void {
  const at = out.position;
  out.int32(-1);
  if (value === null || value === undefined) return;
  serde.write(value, out, topic, side);
  out.buffer.writeInt32BE(out.position - at - 4, at);
}

function writeBytes(out: ByteWriter, bytes: Uint8Array | null): void {
  out.int32(bytes?.length ?? -1);
  if (bytes !== null) out.bytes(bytes);
}

function writeText(out: ByteWriter, text: string | null): void {
  const at = out.position;
  out.int32(-1);
  if (text === null) return;
  out.utf8(text);
  out.buffer.writeInt32BE(out.position - at - 4, at);
}

/** @throws DeserializationError where the bytes end too soon */
class Reader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #at: number;

  constructor(buffer: Buffer, start: number, end: number) {
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
  }

  int8(): number {
    return this.#buffer.readInt8(this.#take(1));
  }

  int32(): number {
    return this.#buffer.readInt32BE(this.#take(4));
  }

  int64(): number {
    return readInt64(this.#buffer, this.#take(8));
  }

  bytes(): Buffer | null {
    const length = this.int32();
    if (length < 0) return null;
    const start = this.#take(length);
    return Buffer.from(this.#buffer.subarray(start, start + length));
  }

  text(): string | null {
    return this.bytes()?.toString('utf8') ?? null;
  }

  with<T>(serde: Serde<T>, topic: string, side: Side): T {
    const length = this.int32();
    if (length < 0) return null as T;
    const start = this.#take(length);
    return serde.read(this.#buffer, start, start + length, topic, side);
  }

  headers(): readonly Header[] {
    const count = this.int32();
    if (count === 0) return NO_HEADERS;
    return Array.from({ length: count }, () => ({ key: this.text() ?? '', value: this.bytes() }));
  }

  #take(length: number): number {
    const start = this.#at;
    if (start + length > this.#end) throw new DeserializationError(NAME, 'it ends too soon');
    this.#at = start + length;
    return start;
  }
}
