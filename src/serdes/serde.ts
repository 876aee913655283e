/**
 * What turns values into bytes and back. Serdes write into a shared growing buffer and read ranges of a fetch response,
 * so that the record path allocates nothing but the value itself.
 */
import { ByteWriter } from '../bytes.ts';
import {
  asDeserializationError,
  asSerializationError,
  DeserializationError,
  nameOf,
  SerdeError,
  SerializationError,
} from './errors.ts';
import { isBytes, kindOf } from './kinds.ts';
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
  /** Appends the value's bytes. Never called with null or undefined, which are null on the wire. @throws SerializationError */
  write(value: T, out: ByteWriter, topic: string, side: Side): void;
  /**
   * Reads bytes `start` to `end`; what is kept must be copied. Null or undefined is a null value, as if there were no bytes.
   * @throws DeserializationError, SchemaPendingError
   */
  read(buffer: Buffer, start: number, end: number, topic: string, side: Side): T;
  /**
   * Awaited before the first write: registers or looks up what writing needs, so that `write` never waits.
   * @param topic null: computed from each record, so that none is known in time; asked for behind those that are known
   * @param signal ends the wait for what it needs
   */
  prepareWrite?(topic: string | null, side: Side, signal?: AbortSignal): Promise<void>;
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

/** A value's bytes, in memory of their own; null of null. Where many are written, write into one ByteWriter instead. */
export function serialize<T>(serde: Serde<T>, value: T | null, topic: string, side: Side): Buffer | null {
  if (value === null || value === undefined) return null;
  const out = new ByteWriter();
  serde.write(value, out, topic, side);
  return out.copy();
}

/** The type of a serde's values. */
export type ValueOf<S> = S extends Serde<infer T> ? T : never;

/**
 * Makes a serde from two plain functions. What they throw becomes the cause of a SerializationError or
 * DeserializationError; a SerdeError goes on as it is. Null or undefined from `deserialize` is a null value.
 */
export function serde<T>(
  name: string,
  codec: { readonly serialize: (value: T) => Uint8Array; readonly deserialize: (bytes: Buffer) => T },
): Serde<T> {
  return {
    name,
    primitive: false,
    nullable: false,
    write(value, out) {
      let content: unknown;
      try {
        content = codec.serialize(value);
      } catch (error) {
        throw asSerializationError(name, error);
      }
      if (!isBytes(content)) throw new SerializationError(name, `serialize gave ${kindOf(content)} instead of bytes`);
      out.bytes(content);
    },
    read(buffer, start, end) {
      let value: T;
      try {
        value = codec.deserialize(Buffer.from(buffer.subarray(start, end)));
      } catch (error) {
        throw asDeserializationError(name, error);
      }
      return synchronous(name, value);
    },
  };
}

/** A promise would go on as the value, and its rejection would end the process. */
function synchronous<T>(name: string, value: T): T {
  if (!(value instanceof Promise)) return value;
  value.catch(() => undefined);
  throw new DeserializationError(name, 'it gives a promise, and serdes cannot wait');
}

const NULLABLES = new WeakMap<object, Serde<unknown>>();

/**
 * Lets null through: a record with a null value arrives as null, as in Kafka Streams, instead of being dropped and
 * counted at the source. The same serde for the same inner one.
 */
export function nullable<T>(inner: Serde<T>): Serde<T | null> {
  if (inner.nullable) return inner as Serde<T | null>;
  let outer = NULLABLES.get(inner);
  if (outer === undefined) NULLABLES.set(inner, (outer = nullableOf(inner) as Serde<unknown>));
  return outer as Serde<T | null>;
}

/** What the inner serde has, by whatever means (methods of a class too), the outer one has, and nothing else. */
function nullableOf<T>(inner: Serde<T>): Serde<T | null> {
  const { bytesToken, unhashedSuffixBytes } = inner;
  return {
    name: `nullable(${inner.name})`,
    primitive: inner.primitive,
    nullable: true,
    write: (value, out, topic, side) => inner.write(value as T, out, topic, side),
    read: (buffer, start, end, topic, side) => inner.read(buffer, start, end, topic, side),
    ...(inner.prepareWrite && { prepareWrite: (topic, side, signal) => inner.prepareWrite!(topic, side, signal) }),
    ...(inner.sizeOf && { sizeOf: (value) => (value === null || value === undefined ? 0 : inner.sizeOf!(value)) }),
    ...(bytesToken && { bytesToken }),
    ...(unhashedSuffixBytes !== undefined && { unhashedSuffixBytes }),
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
    if (typeof value !== 'string') throw new SerializationError('string', kindOf(value));
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
    if (!isBytes(value)) throw new SerializationError('bytes', `${kindOf(value)} instead of a Buffer`);
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
  (value) => (value | 0) === value,
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
      if (typeof value !== 'number' || !isValid(value))
        throw new SerializationError(name, `${kindOf(value)} that is no ${name}`);
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
 * JSON text in UTF-8. The type is what the caller says it is unless `parse` checks it. Without `parse`, or with the same
 * one, it is the same serde.
 *
 * The text `null` is read as null without asking `parse`, and is a null value: where null may not be, it is dropped as a
 * record without a value is. It is never written: what JSON would turn into it (NaN, Infinity) is refused.
 * @param parse turns parsed JSON into the value, throwing where it is not one. What it throws is left out of the error,
 *   since such messages quote the value; throw a DeserializationError to say more
 */
export function json<T>(parse?: (value: unknown) => T): Serde<T> {
  if (parse === undefined) return JSON_OF_ANYTHING as Serde<T>;
  let serde = PARSING.get(parse);
  if (serde === undefined) PARSING.set(parse, (serde = jsonOf(parse) as Serde<unknown>));
  return serde as Serde<T>;
}

const PARSING = new WeakMap<object, Serde<unknown>>();
const JSON_OF_ANYTHING = jsonOf((value) => value);

function jsonOf<T>(parse: (value: unknown) => T): Serde<T> {
  return {
    name: 'json',
    primitive: false,
    nullable: false,
    write(value, out) {
      let text: string | undefined;
      try {
        text = JSON.stringify(value);
      } catch {
        // Its message names what it found on the way.
        throw new SerializationError(
          'json',
          'a value that JSON does not have: it holds itself, a bigint or what throws',
        );
      }
      if (text === undefined || text === 'null')
        throw new SerializationError('json', `${kindOf(value)} that JSON does not have`);
      out.utf8(text);
    },
    read(buffer, start, end) {
      let parsed: unknown;
      try {
        parsed = JSON.parse(buffer.toString('utf8', start, end));
      } catch {
        throw new DeserializationError('json', 'not JSON');
      }
      if (parsed === null) return null as T;
      let value: T;
      try {
        value = parse(parsed);
      } catch (error) {
        if (error instanceof SerdeError) throw error;
        throw new DeserializationError('json', `not the JSON that is expected here (${nameOf(error)})`);
      }
      return synchronous('json', value);
    },
  };
}
