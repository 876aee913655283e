/**
 * What turns values into bytes and back. Serdes write into a shared growing buffer and read ranges of a fetch response,
 * so that the record path allocates nothing but the value itself.
 */
import type { ByteWriter } from '../bytes.ts';
import { DeserializationError, SerializationError } from './errors.ts';
import { seenString } from './seen-strings.ts';

/** Which half of a record; Avro subjects are named by it. */
export type Side = 'key' | 'value';

export interface Serde<T> {
  /** For messages and logs. */
  readonly name: string;
  /** True where values are strings or numbers that can stand for their bytes as a Map key. */
  readonly primitive: boolean;
  /** True where null is among the values (see {@link nullable}). */
  readonly nullable: boolean;
  /** Appends the value's bytes. Never called with null. @throws SerializationError */
  write(value: T, out: ByteWriter, topic: string, side: Side): void;
  /** Reads bytes `start` to `end`; what is kept must be copied. @throws DeserializationError, SchemaPendingError */
  read(buffer: Buffer, start: number, end: number, topic: string, side: Side): T;
  /** Awaited before the first write to a topic: registers or looks up what writing needs. */
  prepareWrite?(topic: string, side: Side): Promise<void>;
  /** Serdes with the same token read each other's bytes, e.g. those of some fields of one Avro schema. */
  readonly bytesToken?: object;
  /** Bytes at the end of a key that choosing its partition leaves out. Default 0. */
  readonly unhashedSuffixBytes?: number;
  /** Approximate bytes of a value in memory; without it the last serialised size counts against the cache's budget. */
  sizeOf?(value: T): number;
}

/** True where what `writer` wrote can be handed to `reader` as it is. */
export function sharesBytes(reader: Serde<unknown>, writer: Serde<unknown>): boolean {
  return reader === writer || (reader.bytesToken !== undefined && reader.bytesToken === writer.bytesToken);
}

/** The type of a serde's values. */
export type ValueOf<S> = S extends Serde<infer T> ? T : never;

/** Makes a serde from two plain functions. */
export function serde<T>(
  name: string,
  codec: { readonly serialize: (value: T) => Uint8Array; readonly deserialize: (bytes: Buffer) => T },
): Serde<T> {
  return {
    name,
    primitive: false,
    nullable: false,
    write(value, out) {
      out.bytes(codec.serialize(value));
    },
    read: (buffer, start, end) => codec.deserialize(Buffer.from(buffer.subarray(start, end))),
  };
}

/**
 * Lets null through: a record with a null value arrives as null, as in Kafka Streams, instead of being dropped and
 * counted at the source.
 */
export function nullable<T>(inner: Serde<T>): Serde<T | null> {
  return {
    ...inner,
    name: `nullable(${inner.name})`,
    nullable: true,
    write: (value, out, topic, side) => inner.write(value as T, out, topic, side),
    read: (buffer, start, end, topic, side) => inner.read(buffer, start, end, topic, side),
    sizeOf: (value) => (value === null ? 0 : (inner.sizeOf?.(value) ?? 0)),
  };
}

/** UTF-8, as Java's StringSerializer. */
export function string(): Serde<string> {
  return STRING;
}

const STRING: Serde<string> = {
  name: 'string',
  primitive: true,
  nullable: false,
  write(value, out) {
    if (typeof value !== 'string') throw new SerializationError('string', `a ${typeof value}`);
    out.utf8(value);
  },
  read: (buffer, start, end, _topic, side) =>
    side === 'key' ? seenString(buffer, start, end) : buffer.toString('utf8', start, end),
  sizeOf: (value) => value.length + 16,
};

/** Bytes as they are; reading gives a copy. */
export function bytes(): Serde<Buffer> {
  return BYTES;
}

const BYTES: Serde<Buffer> = {
  name: 'bytes',
  primitive: false,
  nullable: false,
  write(value, out) {
    out.bytes(value);
  },
  read: (buffer, start, end) => Buffer.from(buffer.subarray(start, end)),
};

/** 32-bit signed integer, big-endian, as Java's IntegerSerializer. */
export function integer(): Serde<number> {
  return INTEGER;
}

const INTEGER = fixedNumber(
  'integer',
  4,
  (value, out) => out.int32(value),
  (buffer, at) => buffer.readInt32BE(at),
  Number.isInteger,
);

/** 64-bit signed integer within ±2^53, big-endian, as Java's LongSerializer. */
export function long(): Serde<number> {
  return LONG;
}

const LONG = fixedNumber(
  'long',
  8,
  (value, out) => out.int64(value),
  (buffer, at) => {
    const value = buffer.readInt32BE(at) * 0x1_0000_0000 + buffer.readUInt32BE(at + 4);
    if (!Number.isSafeInteger(value)) throw new DeserializationError('long', 'a value beyond ±2^53');
    return value;
  },
  Number.isSafeInteger,
);

/** IEEE 754 double, big-endian, as Java's DoubleSerializer: any JavaScript number. */
export function double(): Serde<number> {
  return DOUBLE;
}

const DOUBLE = fixedNumber(
  'double',
  8,
  (value, out) => out.doubleBE(value),
  (buffer, at) => buffer.readDoubleBE(at),
  () => true,
);

function fixedNumber(
  name: string,
  size: number,
  write: (value: number, out: ByteWriter) => void,
  read: (buffer: Buffer, at: number) => number,
  isValid: (value: number) => boolean,
): Serde<number> {
  return {
    name,
    primitive: true,
    nullable: false,
    write(value, out) {
      if (typeof value !== 'number' || !isValid(value)) throw new SerializationError(name, `not a valid ${name}`);
      write(value, out);
    },
    read(buffer, start, end) {
      if (end - start !== size) throw new DeserializationError(name, `${end - start} bytes instead of ${size}`);
      return read(buffer, start);
    },
    sizeOf: () => 16,
  };
}

/**
 * JSON text in UTF-8. The type is what the caller says it is unless `parse` checks it.
 * @param parse turns parsed JSON into the value, throwing where it is not one
 */
export function json<T>(parse: (value: unknown) => T = (value) => value as T): Serde<T> {
  return {
    name: 'json',
    primitive: false,
    nullable: false,
    write(value, out) {
      const text = JSON.stringify(value);
      if (text === undefined) throw new SerializationError('json', `a ${typeof value}, which JSON does not have`);
      out.utf8(text);
    },
    read(buffer, start, end) {
      try {
        return parse(JSON.parse(buffer.toString('utf8', start, end)));
      } catch (error) {
        throw new DeserializationError('json', 'not the JSON that is expected here', error);
      }
    },
  };
}
