/**
 * Avro in the Confluent wire format:
 *
 *     00 | schema id int32 | Avro binary
 *
 * Reading goes from the writer's schema, by its id, to the serde's own; a schema with fewer fields reads faster. An id
 * not seen before makes `read` throw SchemaPendingError, whose `resolve` fetches it; the record is then read again. The id
 * to write with is looked up before the first write, so that writing never waits.
 *
 * Schemas are parsed by avsc; values are read and written by code of our own (avro-reader.ts, avro-writer.ts).
 */
import type { ByteWriter } from '../bytes.ts';
import { messageOf } from '../errors.ts';
import { type AvroReader, compileAvroReader } from './avro-reader.ts';
import { type AvroNode, nameOf, parseSchema, projection } from './avro-schema.ts';
import type { AvroFields, AvroRecordSchema, AvroSchema, AvroType } from './avro-types.ts';
import { type AvroWriter, compileAvroWriter } from './avro-writer.ts';
import {
  asSerializationError,
  DeserializationError,
  RegistryError,
  SchemaPendingError,
  SerializationError,
} from './errors.ts';
import type { SchemaRegistry } from './schema-registry.ts';
import type { Serde, Side } from './serde.ts';

const MAGIC = 0;
const PREFIX_BYTES = 5;

/** How records of one writer's schema are read. */
type Reader = { readonly compiled: AvroReader } | { readonly incompatible: string };

/** Serdes by registry and schema: the same object for the same description, so that sources of one topic can be compared. */
const SERDES = new WeakMap<SchemaRegistry, Map<string, AvroSerde<unknown>>>();

/**
 * A serde for values of an Avro schema; the type follows from a schema written `as const`. The same registry and the same
 * schema give the same serde.
 *
 * The schema is registered (or looked up, without `autoRegister`) under the subject `<topic>-key` or `<topic>-value` before
 * anything is written: TopicNameStrategy, as Confluent's serializer does at its first record. Where a sink computes its topic
 * from the record, that subject is not known in time; then it is the name of the record, as by RecordNameStrategy. The id, and
 * with it what readers see, is the same under either.
 * @throws SchemaError the schema is none
 */
export function avro<const S extends AvroSchema>(registry: SchemaRegistry, schema: S): Serde<AvroType<S>> {
  return serdeFor<AvroType<S>>(registry, schema, schema);
}

/**
 * A serde that reads only some fields of a record: the others are skipped, which is faster. Into a repartition topic the
 * bytes of a record that was read by another serde of the same schema go as they came; what is encoded anew has these
 * fields only. The same registry, schema and fields give the same serde.
 * @throws SchemaError the schema is no record, or has no such field
 */
export function avroFields<const S extends AvroRecordSchema, F extends S['fields'][number]['name']>(
  registry: SchemaRegistry,
  schema: S,
  ...fields: readonly F[]
): Serde<AvroFields<S, F>> {
  return serdeFor<AvroFields<S, F>>(registry, projection(schema, fields), schema);
}

/** @param whole the schema that this one has some fields of, or the same */
function serdeFor<T>(registry: SchemaRegistry, schema: unknown, whole: unknown): Serde<T> {
  let serdes = SERDES.get(registry);
  if (serdes === undefined) SERDES.set(registry, (serdes = new Map()));
  const text = JSON.stringify(schema);
  const wholeText = JSON.stringify(whole);
  const description = `${text}\n${wholeText}`;
  let serde = serdes.get(description);
  if (serde === undefined) {
    const type = parseSchema(schema);
    serde = new AvroSerde(registry, {
      name: `avro(${nameOf(type)})`,
      type,
      schemaText: text,
      token: registry.tokenOf(wholeText),
    });
    serdes.set(description, serde);
  }
  return serde as AvroSerde<T>;
}

export interface AvroSerdeDescription<T> {
  readonly name: string;
  /** What is written, and read unless `readAs` is given. */
  readonly type: AvroNode;
  /** Of `type`, as it is registered. */
  readonly schemaText: string;
  /** See {@link Serde.bytesToken}. */
  readonly token: object;
  /** What is read: `type` with more defaults. */
  readonly readAs?: AvroNode;
  /** Reads what does not begin as the wire format does. Without it such bytes are refused. */
  readonly readOther?: (buffer: Buffer, start: number, end: number) => T;
}

/** Avro in the wire format; what else a topic may have is read by `readOther`, which costs what is Avro nothing. */
export class AvroSerde<T> implements Serde<T> {
  readonly name: string;
  readonly primitive = false;
  readonly nullable = false;
  readonly bytesToken: object;
  readonly #registry: SchemaRegistry;
  readonly #type: AvroNode;
  readonly #readAs: AvroNode;
  readonly #schemaText: string;
  readonly #readOther: ((buffer: Buffer, start: number, end: number) => T) | undefined;
  readonly #readers = new Map<number, Reader>();
  /** By subject. */
  readonly #ids = new Map<string, number>();
  readonly #writerIds: Readonly<Record<Side, Map<string, number>>> = { key: new Map(), value: new Map() };
  /** Of the schema under whatever subject: an id stands for a schema. */
  #anyWriterId = -1;
  #encode: AvroWriter | undefined;
  // One schema and one topic after the other is the usual case: remembered apart from the maps.
  #lastId = -1;
  #lastReader: Reader | undefined;
  #lastTopic: string | undefined;
  #lastSide: Side | undefined;
  #lastWriterId = -1;

  constructor(registry: SchemaRegistry, description: AvroSerdeDescription<T>) {
    const { name, type, schemaText, token, readAs = type, readOther } = description;
    this.#registry = registry;
    this.#type = type;
    this.#readAs = readAs;
    this.#schemaText = schemaText;
    this.#readOther = readOther;
    this.bytesToken = token;
    this.name = name;
  }

  async prepareWrite(topic: string | null, side: Side, signal?: AbortSignal): Promise<void> {
    if (topic !== null) {
      const ids = this.#writerIds[side];
      if (!ids.has(topic)) ids.set(topic, await this.#idOf(`${topic}-${side}`, signal));
      return;
    }
    try {
      await this.#idOf(nameOf(this.#type), signal);
    } catch (error) {
      // Registered for another topic is good enough where registering is off.
      const isKnown = this.#anyWriterId >= 0 && error instanceof RegistryError && error.status === 404;
      if (!isKnown) throw error;
    }
  }

  /** Asked for once a subject. */
  async #idOf(subject: string, signal: AbortSignal | undefined): Promise<number> {
    let id = this.#ids.get(subject);
    if (id === undefined) {
      id = await this.#registry.idOf(subject, this.#schemaText, signal);
      this.#ids.set(subject, id);
      this.#anyWriterId = id;
      this.#lastTopic = undefined;
      if (!this.#readers.has(id)) this.#readers.set(id, this.#readerFor(this.#type));
    }
    return id;
  }

  write(value: T, out: ByteWriter, topic: string, side: Side): void {
    if (topic !== this.#lastTopic || side !== this.#lastSide) this.#selectWriter(topic, side);
    const start = out.position;
    out.int8(MAGIC).int32(this.#lastWriterId);
    try {
      (this.#encode ??= compileAvroWriter(this.name, this.#type))(value, out);
    } catch (error) {
      out.position = start;
      // The rest can only be the user's: a property that is a getter.
      throw error instanceof RangeError
        ? new SerializationError(this.name, 'the value is too large, has too many levels, or holds itself')
        : asSerializationError(this.name, error);
    }
  }

  read(buffer: Buffer, start: number, end: number): T {
    if (end - start < PREFIX_BYTES || buffer[start] !== MAGIC) {
      if (this.#readOther !== undefined) return this.#readOther(buffer, start, end);
      throw new DeserializationError(this.name, 'not in the Confluent wire format (magic byte 0 and a schema id)');
    }
    const id =
      ((buffer[start + 1]! << 24) | (buffer[start + 2]! << 16) | (buffer[start + 3]! << 8) | buffer[start + 4]!) >>> 0;
    const reader = id === this.#lastId ? this.#lastReader! : this.#selectReader(id);
    if ('incompatible' in reader) throw new DeserializationError(this.name, reader.incompatible);
    return reader.compiled(buffer, start + PREFIX_BYTES, end) as T;
  }

  #selectReader(id: number): Reader {
    let reader = this.#readers.get(id);
    if (reader === undefined) {
      if (!this.#registry.isUnknown(id)) throw new SchemaPendingError(id, (signal) => this.#fetch(id, signal));
      reader = { incompatible: `schema id ${id} is not in the registry` };
    } else {
      this.#lastId = id;
      this.#lastReader = reader;
    }
    return reader;
  }

  async #fetch(id: number, signal: AbortSignal | undefined): Promise<void> {
    const text = await this.#registry.schemaById(id, signal);
    if (text === undefined || this.#readers.has(id)) return;
    try {
      this.#readers.set(id, this.#readerFor(parseSchema(JSON.parse(text))));
    } catch (error) {
      this.#readers.set(id, { incompatible: `schema ${id} is not understood (${messageOf(error)})` });
    }
  }

  #readerFor(writer: AvroNode): Reader {
    return { compiled: compileAvroReader(this.name, writer, this.#readAs) };
  }

  #selectWriter(topic: string, side: Side): void {
    const id = this.#writerIds[side].get(topic) ?? this.#anyWriterId;
    if (id < 0) {
      throw new SerializationError(
        this.name,
        `the schema id for ${topic} is not known; await prepareWrite('${topic}', '${side}') first, with null where the topic is computed`,
      );
    }
    this.#lastTopic = topic;
    this.#lastSide = side;
    this.#lastWriterId = id;
  }
}
