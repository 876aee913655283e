/** Types of serdes' values: checked by `npm run typecheck`, never run. */
import {
  type AvroSchema,
  type AvroType,
  avro,
  avroFields,
  avroOrJson,
  json,
  nullable,
  type SchemaRegistry,
  type Serde,
  string,
  timeWindowed,
  type Windowed,
} from '../../src/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<T extends true>(): T | undefined {
  return undefined;
}

declare const registry: SchemaRegistry;

const order = { type: 'record', name: 'Order', namespace: 'shop', fields: [{ name: 'id', type: 'long' }] } as const;
const refund = {
  type: 'record',
  name: 'Refund',
  namespace: 'shop',
  fields: [{ name: 'why', type: 'string' }],
} as const;

// Unions whose values tell the branch are unions of the values.
is<Equal<AvroType<['null', 'string']>, null | string>>();
is<Equal<AvroType<['null', 'long', 'string', 'bytes', 'boolean']>, null | number | string | Buffer | boolean>>();
is<Equal<AvroType<['null', typeof order]>, null | { id: number }>>();
is<
  Equal<AvroType<[{ type: 'array'; items: 'int' }, { type: 'map'; values: 'int' }]>, number[] | Record<string, number>>
>();

// The others are objects with the branch's name, with its namespace; null stays null.
const either = avro(registry, [order, refund]);
is<Equal<typeof either, Serde<{ 'shop.Order': { id: number } } | { 'shop.Refund': { why: string } }>>>();
is<Equal<AvroType<['null', 'long', 'double']>, null | { long: number } | { double: number }>>();
is<
  Equal<AvroType<['string', { type: 'enum'; name: 'E'; symbols: ['A', 'B'] }]>, { string: string } | { E: 'A' | 'B' }>
>();
is<Equal<AvroType<['bytes', { type: 'fixed'; name: 'x.F'; size: 2 }]>, { bytes: Buffer } | { 'x.F': Buffer }>>();
is<
  Equal<
    AvroType<[{ type: 'map'; values: 'int' }, typeof order]>,
    { map: Record<string, number> } | { 'shop.Order': { id: number } }
  >
>();
// A logical type is what it is stored as.
is<Equal<AvroType<[{ type: 'long'; logicalType: 'timestamp-millis' }, 'int']>, { long: number } | { int: number }>>();

// Names within a record have its namespace.
const event = {
  type: 'record',
  name: 'a.b.Event',
  fields: [
    {
      name: 'body',
      type: [
        { type: 'record', name: 'X', fields: [{ name: 'n', type: ['int', 'float'] }] },
        { type: 'record', name: 'Y', namespace: '', fields: [{ name: 'm', type: 'int' }] },
      ],
    },
  ],
} as const;
type Event = { body: { 'a.b.X': { n: { int: number } | { float: number } } } | { Y: { m: number } } };
is<Equal<AvroType<typeof event>, Event>>();
const body = avroFields(registry, event, 'body');
is<Equal<typeof body, Serde<Event>>>();

// What a name refers to is not known here.
is<Equal<AvroType<['null', 'shop.Order', 'shop.Refund']>, unknown>>();

// A schema that is known at run time only.
declare const loaded: AvroSchema;
const dynamic = avro(registry, loaded);
is<Equal<typeof dynamic, Serde<unknown>>>();

// Avro or JSON: as avro() and avroFields() have it.
const both = avroOrJson(registry, refund);
is<Equal<typeof both, Serde<{ why: string }>>>();
const eventOrJson = avroOrJson(registry, event, { fields: ['body'] });
is<Equal<typeof eventOrJson, Serde<Event>>>();
const withDefault = avroOrJson(registry, order, { defaults: { id: 0 } });
is<Equal<typeof withDefault, Serde<{ id: number }>>>();
const dynamicOrJson = avroOrJson(registry, loaded);
is<Equal<typeof dynamicOrJson, Serde<unknown>>>();
// @ts-expect-error there is no such field
avroOrJson(registry, order, { fields: ['colour'] });
// @ts-expect-error a default is a value of its field
avroOrJson(registry, order, { defaults: { id: 'none' } });

declare const write: <T>(serde: Serde<T>, value: T) => void;
write(either, { 'shop.Order': { id: 5 } });
// @ts-expect-error the branch is not said
write(either, { id: 5 });

// Combinators.
const maybe = nullable(either);
is<Equal<typeof maybe, Serde<{ 'shop.Order': { id: number } } | { 'shop.Refund': { why: string } } | null>>>();
const windowed = timeWindowed(string(), 10);
is<Equal<typeof windowed, Serde<Windowed<string>>>>();
const any = json();
is<Equal<typeof any, Serde<unknown>>>();
const parsed = json((value) => String(value));
is<Equal<typeof parsed, Serde<string>>>();
