/**
 * Topics that have both: Avro in the Confluent wire format, whose first byte is 0, and JSON text of the same shape, which
 * never begins so. For producers that know no registry; what is read is the same either way.
 */
import { isUtf8 } from 'node:buffer';
import { AvroSerde } from './avro.ts';
import { compileJsonReader } from './avro-json.ts';
import { type AvroNode, nameOf, parseSchema, projection, withDefaults } from './avro-schema.ts';
import type { AvroFields, AvroRecordSchema, AvroSchema, AvroType } from './avro-types.ts';
import { DeserializationError } from './errors.ts';
import type { SchemaRegistry } from './schema-registry.ts';
import type { Serde } from './serde.ts';

type FieldName<S extends AvroRecordSchema> = S['fields'][number]['name'];

export interface AvroOrJsonOptions<S extends AvroRecordSchema, F extends FieldName<S>> {
  /** The fields that are used, as in `avroFields`: the others need not be there. Default: all. */
  readonly fields?: readonly F[];
  /**
   * What stands for fields that a record lacks and that have no default in the schema, as a default would stand there: of a
   * union's first branch. In Avro as in JSON, and only in reading. Default: such a record is refused.
   */
  readonly defaults?: Partial<AvroFields<S, FieldName<S>>>;
}

/** By registry and description: the same object, so that sources of one topic can be compared. */
const SERDES = new WeakMap<SchemaRegistry, Map<string, Serde<unknown>>>();

/**
 * A serde that writes Avro as `avro(registry, schema)` does (with `fields`, as `avroFields`), and reads Avro and JSON.
 *
 * JSON is checked against the whole schema; the error names the field that does not fit, and what is needed there. Integers
 * must be whole and in range, floats and doubles finite. A union's value stands for itself, without the branch's name, where
 * the value tells the branch (`null`, `"text"`; beside a string there are no bytes), else it is an object with that name, as
 * in `AvroType`. Bytes are texts of the characters up to U+00FF. Properties that the schema lacks are passed over, a missing
 * one has the field's default, an alias and an enum's default do what they do in Avro.
 *
 * The same registry, schema, fields and defaults give the same serde. Into a repartition topic the bytes of a record go as
 * they came, where both serdes are of one schema and have the same `defaults`; plain `avro` serdes cannot read JSON, and
 * share no bytes with these.
 * @throws SchemaError the schema is none, fields are picked from what is no record, a field is not there, a default does not
 *   fit its field
 * @example
 * const metric = avroOrJson(registry, metricSchema, { fields: ['timestamp', 'value'], defaults: { timestamp: 0 } });
 */
export function avroOrJson<const S extends AvroSchema>(registry: SchemaRegistry, schema: S): Serde<AvroType<S>>;
export function avroOrJson<const S extends AvroRecordSchema, F extends FieldName<S> = FieldName<S>>(
  registry: SchemaRegistry,
  schema: S,
  options: AvroOrJsonOptions<S, F>,
): Serde<AvroFields<S, F>>;
export function avroOrJson(
  registry: SchemaRegistry,
  schema: AvroSchema,
  { fields, defaults }: { readonly fields?: readonly string[]; readonly defaults?: object } = {},
): Serde<unknown> {
  const whole = defaults === undefined ? schema : withDefaults(schema, defaults as Record<string, unknown>);
  const part = (of: unknown): unknown => (fields === undefined ? of : projection(of, fields));
  const schemaText = JSON.stringify(part(schema));
  const wholeText = JSON.stringify(whole);
  let serdes = SERDES.get(registry);
  if (serdes === undefined) SERDES.set(registry, (serdes = new Map()));
  const description = `${schemaText}\n${wholeText}`;
  let serde = serdes.get(description);
  if (serde === undefined) {
    const type = parseSchema(part(schema));
    const name = `avroOrJson(${nameOf(type)})`;
    serde = new AvroSerde(registry, {
      name,
      type,
      schemaText,
      token: registry.tokenOf(`or JSON\n${wholeText}`),
      readAs: parseSchema(part(whole)),
      readOther: jsonReader(name, parseSchema(whole), fields),
    });
    serdes.set(description, serde);
  }
  return serde;
}

function jsonReader(
  name: string,
  type: AvroNode,
  fields: readonly string[] | undefined,
): (buffer: Buffer, start: number, end: number) => unknown {
  const check = compileJsonReader(name, type, fields);
  return (buffer, start, end) => {
    const parsed = parse(name, buffer, start, end);
    try {
      return check(parsed);
    } catch (error) {
      if (error instanceof RangeError) throw new DeserializationError(name, 'values within values, too many levels');
      throw error;
    }
  };
}

/** What JSON.parse says quotes the text, and bytes that are no UTF-8 would become other text without a word. */
function parse(name: string, buffer: Buffer, start: number, end: number): unknown {
  try {
    if (isUtf8(buffer.subarray(start, end))) return JSON.parse(buffer.toString('utf8', start, end));
  } catch {}
  throw new DeserializationError(name, 'neither in the Confluent wire format (magic byte 0 and a schema id) nor JSON');
}
