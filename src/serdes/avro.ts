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
import type { AvroSchema, AvroType } from './avro-types.ts';
import { DeserializationError, SchemaPendingError, SerializationError } from './errors.ts';
import type { SchemaRegistry } from './schema-registry.ts';
import type { Serde, Side } from './serde.ts';

const MAGIC = 0;
const PREFIX_BYTES = 5;

/** How records of one writer's schema are read. */
type Reader = { readonly resolver: avsc.Resolver | undefined } | { readonly incompatible: string };

/** A serde for values of an Avro schema; the type follows from a schema written `as const`. */
export function avro<const S extends AvroSchema>(registry: SchemaRegistry, schema: S): Serde<AvroType<S>> {
  return new AvroSerde<AvroType<S>>(registry, schema);
}

class AvroSerde<T> implements Serde<T> {
  readonly name: string;
  readonly primitive = false;
  readonly nullable = false;
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

  constructor(registry: SchemaRegistry, schema: AvroSchema) {
    this.#registry = registry;
    this.#type = avsc.Type.forSchema(schema as avsc.Schema);
    this.#schemaText = JSON.stringify(schema);
    this.name = `avro(${this.#type.branchName ?? 'unnamed'})`;
  }

  async prepareWrite(topic: string, side: Side): Promise<void> {
    const subject = `${topic}-${side}`;
    if (this.#writerIds.has(subject)) return;
    const id = await this.#registry.idOf(subject, this.#schemaText);
    this.#writerIds.set(subject, id);
    this.#readers.set(id, { resolver: undefined });
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
    if ('incompatible' in reader) throw new DeserializationError(this.name, reader.incompatible);
    let result: { value: unknown; offset: number };
    try {
      result = this.#type.decode(buffer, start + PREFIX_BYTES, reader.resolver);
    } catch (error) {
      throw new DeserializationError(this.name, messageOf(error), error);
    }
    if (result.offset !== end) throw new DeserializationError(this.name, 'the value is cut off or has bytes behind it');
    return result.value as T;
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
    if (text === undefined) return;
    try {
      const writer = avsc.Type.forSchema(JSON.parse(text) as avsc.Schema);
      const same = writer.fingerprint().equals(this.#type.fingerprint());
      this.#readers.set(id, { resolver: same ? undefined : this.#type.createResolver(writer) });
    } catch (error) {
      this.#readers.set(id, { incompatible: `schema ${id} cannot be read as this one: ${messageOf(error)}` });
    }
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
