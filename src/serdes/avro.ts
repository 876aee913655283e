/**
 * Avro in the Confluent wire format, by avsc:
 *
 *     00 | schema id int32 | Avro binary
 *
 * Reading goes from the writer's schema, by its id, to the serde's own; a schema with fewer fields reads faster. An id
 * not seen before makes `read` throw SchemaPendingError, whose `resolve` fetches it; the record is then read again.
 */
import avsc from 'avsc';
import type { ByteWriter } from '../bytes.ts';
import { messageOf } from '../errors.ts';
import { type AvroReader, compileAvroCheck, compileAvroReader } from './avro-reader.ts';
import type { AvroFields, AvroRecordSchema, AvroSchema, AvroType } from './avro-types.ts';
import { DeserializationError, SchemaPendingError, SerializationError } from './errors.ts';
import type { SchemaRegistry } from './schema-registry.ts';
import type { Serde, Side } from './serde.ts';

const MAGIC = 0;
const PREFIX_BYTES = 5;

interface AvscReader {
  readonly resolver: avsc.Resolver;
  readonly check: AvroReader;
}

/** How records of one writer's schema are read. */
type Reader = { readonly compiled: AvroReader } | AvscReader | { readonly incompatible: string };

/** A serde for values of an Avro schema; the type follows from a schema written `as const`. */
export function avro<const S extends AvroSchema>(registry: SchemaRegistry, schema: S): Serde<AvroType<S>> {
  return new AvroSerde<AvroType<S>>(registry, schema, schema);
}

/**
 * A serde that reads only some fields of a record: the others are skipped, which is faster. Into a repartition topic the
 * bytes of a record that was read by another serde of the same schema go as they came; what is encoded anew has these
 * fields only.
 */
export function avroFields<const S extends AvroRecordSchema, F extends S['fields'][number]['name']>(
  registry: SchemaRegistry,
  schema: S,
  ...fields: readonly F[]
): Serde<AvroFields<S, F>> {
  return new AvroSerde<AvroFields<S, F>>(registry, projection(schema, fields), schema as unknown as AvroSchema);
}

function projection(schema: unknown, fields: readonly string[]): AvroSchema {
  const record = schema as { readonly fields: readonly { readonly name: string }[] };
  return {
    ...(schema as object),
    fields: record.fields.filter(({ name }) => fields.includes(name)),
  } as unknown as AvroSchema;
}

class AvroSerde<T> implements Serde<T> {
  readonly name: string;
  readonly primitive = false;
  readonly nullable = false;
  readonly bytesToken: object;
  readonly #registry: SchemaRegistry;
  readonly #type: avsc.Type;
  readonly #schemaText: string;
  readonly #readers = new Map<number, Reader>();
  readonly #writerIds = new Map<string, number>();
  // One schema and one topic after the other is the usual case: remembered apart from the maps.
  #lastId = -1;
  #lastReader: Reader | undefined;
  #lastTopic: string | undefined;
  #lastSide: Side | undefined;
  #lastWriterId = -1;

  /** @param whole the schema that this one has some fields of, or the same */
  constructor(registry: SchemaRegistry, schema: AvroSchema, whole: AvroSchema) {
    this.#registry = registry;
    this.bytesToken = registry.tokenOf(JSON.stringify(whole));
    this.#type = avsc.Type.forSchema(schema as avsc.Schema);
    this.#schemaText = JSON.stringify(schema);
    this.name = `avro(${this.#type.branchName ?? 'unnamed'})`;
  }

  async prepareWrite(topic: string, side: Side): Promise<void> {
    const subject = `${topic}-${side}`;
    if (this.#writerIds.has(subject)) return;
    const id = await this.#registry.idOf(subject, this.#schemaText);
    this.#writerIds.set(subject, id);
    this.#readers.set(id, this.#readerFor(this.#type));
  }

  write(value: T, out: ByteWriter, topic: string, side: Side): void {
    if (topic !== this.#lastTopic || side !== this.#lastSide) this.#selectWriter(topic, side);
    out.int8(MAGIC).int32(this.#lastWriterId);
    out.ensure(64);
    try {
      const end = this.#type.encode(value, out.buffer, out.position);
      if (end >= 0) {
        out.position = end;
        return;
      }
      // Did not fit: a negative result tells how many bytes were missing.
      out.ensure(out.buffer.length - out.position - end);
      out.position = this.#type.encode(value, out.buffer, out.position);
    } catch (error) {
      throw new SerializationError(this.name, messageOf(error), error);
    }
  }

  read(buffer: Buffer, start: number, end: number): T {
    if (end - start < PREFIX_BYTES || buffer[start] !== MAGIC) {
      throw new DeserializationError(this.name, 'not in the Confluent wire format (magic byte 0 and a schema id)');
    }
    const id =
      ((buffer[start + 1]! << 24) | (buffer[start + 2]! << 16) | (buffer[start + 3]! << 8) | buffer[start + 4]!) >>> 0;
    const reader = id === this.#lastId ? this.#lastReader! : this.#selectReader(id);
    if ('compiled' in reader) return reader.compiled(buffer, start + PREFIX_BYTES, end) as T;
    if ('incompatible' in reader) throw new DeserializationError(this.name, reader.incompatible);
    return this.#decode(buffer, start + PREFIX_BYTES, end, reader);
  }

  /** By avsc, once the check has passed: its own reader loops on hostile counts. */
  #decode(buffer: Buffer, start: number, end: number, { check, resolver }: AvscReader): T {
    try {
      check(buffer, start, end);
      return this.#type.decode(buffer, start, resolver).value as T;
    } catch (error) {
      if (error instanceof DeserializationError) throw error;
      throw new DeserializationError(this.name, messageOf(error), error);
    }
  }

  #selectReader(id: number): Reader {
    let reader = this.#readers.get(id);
    if (reader === undefined) {
      if (!this.#registry.isUnknown(id)) throw new SchemaPendingError(id, () => this.#fetch(id));
      reader = { incompatible: `schema id ${id} is not in the registry` };
    } else {
      this.#lastId = id;
      this.#lastReader = reader;
    }
    return reader;
  }

  async #fetch(id: number): Promise<void> {
    const text = await this.#registry.schemaById(id);
    if (text === undefined || this.#readers.has(id)) return;
    try {
      const writer = avsc.Type.forSchema(JSON.parse(text) as avsc.Schema);
      this.#readers.set(id, this.#readerFor(writer));
    } catch (error) {
      this.#readers.set(id, { incompatible: `schema ${id} cannot be read as this one: ${messageOf(error)}` });
    }
  }

  #readerFor(writer: avsc.Type): Reader {
    const compiled = compileAvroReader(this.name, writer, this.#type);
    if (compiled !== undefined) return { compiled };
    const check = compileAvroCheck(this.name, writer);
    if (check === undefined) return { incompatible: 'its schema has a type that is not read here' };
    return { resolver: this.#type.createResolver(writer), check };
  }

  #selectWriter(topic: string, side: Side): void {
    // A topic computed per record: the id of the same schema under another subject is the same.
    const id = this.#writerIds.get(`${topic}-${side}`) ?? this.#writerIds.values().next().value;
    if (id === undefined) {
      throw new SerializationError(
        this.name,
        `the schema id for ${topic} is not known; prepareWrite('${topic}', '${side}') was not awaited`,
      );
    }
    this.#lastTopic = topic;
    this.#lastSide = side;
    this.#lastWriterId = id;
  }
}
