/** Avro and JSON of the same shape, through one serde. */
import { inspect, isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ByteWriter } from '../../src/bytes.ts';
import { metricSchema } from '../../src/schemas/metric.ts';
import { compileJsonReader } from '../../src/serdes/avro-json.ts';
import { compileAvroReader } from '../../src/serdes/avro-reader.ts';
import { type AvroNode, branchesByKind, isWrapped, parseSchema } from '../../src/serdes/avro-schema.ts';
import { compileAvroWriter } from '../../src/serdes/avro-writer.ts';
import {
  avro,
  avroFields,
  avroOrJson,
  DeserializationError,
  SchemaPendingError,
  SchemaRegistry,
  type Serde,
  sharesBytes,
} from '../../src/serdes/index.ts';
import { randomSchema, randomValue } from '../support/avro/schemas.ts';
import { random } from '../support/metrics.ts';
import { startTestRegistry, type TestRegistry } from '../support/registry.ts';

let server: TestRegistry;
let registry: SchemaRegistry;
beforeEach(async () => {
  server = await startTestRegistry();
  registry = new SchemaRegistry({ url: server.url });
});
afterEach(() => server.close());

const value = {
  timestamp: 5,
  service: 's',
  metric_name: 'm',
  value: 1.5,
  labels: { a: 'b' },
  node: null,
  unit: 'ms',
  environment: null,
};
const { timestamp: _, ...withoutTimestamp } = value;

async function written<T>(serde: Serde<T>, v: T): Promise<Buffer> {
  await serde.prepareWrite!('t', 'value');
  const out = new ByteWriter();
  serde.write(v, out, 't', 'value');
  return out.copy();
}

/** Reads as the runtime does, in the middle of other bytes: fetches the schema that is missing, then reads again. */
async function read<T>(serde: Serde<T>, bytes: Buffer): Promise<T> {
  const buffer = Buffer.concat([Buffer.from('{['), bytes, Buffer.from(']}')]);
  const now = (): T => serde.read(buffer, 2, 2 + bytes.length, 't', 'value');
  try {
    return now();
  } catch (error) {
    if (!(error instanceof SchemaPendingError)) throw error;
    await error.resolve();
    return now();
  }
}

const json = (of: unknown): Buffer => Buffer.from(JSON.stringify(of));

test('Avro and JSON of one record are read as the same value, whole or in part', async () => {
  const bytes = await written(avro(new SchemaRegistry({ url: server.url }), metricSchema), value);
  const whole = avroOrJson(registry, metricSchema);
  const part = avroOrJson(registry, metricSchema, { fields: ['value', 'service'] });
  for (const given of [bytes, json(value), json({ more: [1], ...value }), Buffer.from(` \n${json(value)}`)]) {
    expect(await read(whole, given)).toStrictEqual(value);
    expect(await read(part, given)).toStrictEqual({ service: 's', value: 1.5 });
  }
});

test('what it writes is what avro() writes, under the same subject', async () => {
  expect(await written(avroOrJson(registry, metricSchema), value)).toEqual(
    await written(avro(registry, metricSchema), value),
  );
  expect(await written(avroOrJson(registry, metricSchema, { fields: ['value'] }), { value: 2 })).toEqual(
    await written(avroFields(registry, metricSchema, 'value'), { value: 2 }),
  );
  expect(new Set(server.requests)).toEqual(new Set(['POST /subjects/t-value/versions']));
});

test('a field that is missing has the default of the schema, else the one that is given, else it is a bad record', async () => {
  const serde = avroOrJson(registry, metricSchema, {
    defaults: { timestamp: 0, labels: {}, unit: 'not this' as never },
  });
  const { labels: _labels, unit: _unit, node: _node, ...rest } = withoutTimestamp;
  const first = await read(serde, json(rest));
  expect(first).toStrictEqual({ ...rest, timestamp: 0, labels: {}, node: null, unit: null });
  first.labels['changed'] = 'by user code';
  expect((await read(serde, json(rest))).labels).toStrictEqual({});
  await expect(read(avroOrJson(registry, metricSchema), json(withoutTimestamp))).rejects.toThrow(
    'Cannot read as avroOrJson(com.iacdharma.v3.metrics.Metric): the field timestamp is missing and has no default.',
  );
});

test('the defaults stand for fields that the writer’s Avro lacks as well', async () => {
  const older = { ...metricSchema, fields: metricSchema.fields.slice(1) } as const;
  const bytes = await written(avro(registry, older) as Serde<unknown>, withoutTimestamp);
  const given = { fields: ['timestamp', 'service'], defaults: { timestamp: 0 } } as const;
  expect(await read(avroOrJson(registry, metricSchema, given), bytes)).toStrictEqual({ timestamp: 0, service: 's' });
  await expect(read(avroOrJson(registry, metricSchema), bytes)).rejects.toThrow(/the field timestamp .* no default/);
});

test('fields that are not used may be missing, and are checked where they are not', async () => {
  const serde = avroOrJson(registry, metricSchema, { fields: ['value'] });
  expect(await read(serde, json({ value: 2 }))).toStrictEqual({ value: 2 });
  await expect(read(serde, json({ value: 2, labels: { a: 5 } }))).rejects.toThrow(
    'the field labels{} is a number where a string is needed',
  );
});

describe('what does not fit is a bad record that names the field and not what is in it', () => {
  test.each<[object, string]>([
    [{ timestamp: '40404' }, 'the field timestamp is a string where an integer within ±2^53 is needed'],
    [{ timestamp: 40_404.5 }, 'the field timestamp is a number where an integer'],
    [{ timestamp: 2 ** 53 }, 'the field timestamp is a number where an integer'],
    [{ timestamp: null }, 'the field timestamp is null where an integer'],
    [{ value: 'secret' }, 'the field value is a string where a number in the range of a double is needed'],
    [{ service: 40_404 }, 'the field service is a number where a string is needed'],
    [{ labels: ['secret'] }, 'the field labels is an array where an object of keys and values is needed'],
    [{ labels: null }, 'the field labels is null where an object'],
    [{ labels: { secret: { secret: 1 } } }, 'the field labels{} is an object where a string is needed'],
    [{ unit: { string: 'secret' } }, 'the field unit is an object where one of null, string is needed'],
    [{ unit: 40_404 }, 'the field unit is a number where one of null, string is needed'],
  ])('%j', async (fault, message) => {
    const error = await read(avroOrJson(registry, metricSchema), json({ ...value, ...fault })).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'MILLRACE_SERDES_DESERIALIZATION', message: expect.stringContaining(message) });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/secret|404/);
  });

  test.each(['', ' ', '{"secret":', '{"secret":NaN}', 'secret', '\u0000ab', '\u0000'])('the bytes %j', async (text) => {
    const error = await read(avroOrJson(registry, metricSchema), Buffer.from(text)).catch((e: unknown) => e);
    expect(error).toMatchObject({
      code: 'MILLRACE_SERDES_DESERIALIZATION',
      message: expect.stringContaining('neither in the Confluent wire format'),
    });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/secret/);
  });

  test('bytes that are no UTF-8', async () => {
    const bytes = Buffer.concat([Buffer.from('{"value":1,"service":"'), Buffer.from([0xff]), Buffer.from('"}')]);
    await expect(read(avroOrJson(registry, metricSchema, { fields: ['value'] }), bytes)).rejects.toThrow(/neither/);
  });

  test.each(['null', '5', '"secret"', '[]'])('%s in the record’s place', async (text) => {
    await expect(read(avroOrJson(registry, metricSchema), Buffer.from(text))).rejects.toThrow(
      /the value is .* where an object with the fields of com.iacdharma.v3.metrics.Metric is needed/,
    );
  });
});

/** A record of one field `x` of the type. */
const x = (type: unknown, more: object = {}): AvroNode =>
  parseSchema({ type: 'record', name: 'R', fields: [{ name: 'x', type, ...more }] });
const readX = (type: AvroNode, text: string): unknown =>
  (compileJsonReader('test', type)(JSON.parse(text)) as { x: unknown }).x;

describe('each type', () => {
  const E = { type: 'enum', name: 'E', symbols: ['A', 'B'] };
  test.each<[unknown, string, unknown]>([
    ['null', 'null', null],
    ['boolean', 'true', true],
    ['int', '-2147483648', -(2 ** 31)],
    ['int', '-0', 0],
    ['int', '1.0', 1],
    ['long', '9007199254740991', 2 ** 53 - 1],
    ['long', '-0.0', 0],
    ['long', '1e3', 1000],
    ['float', '0.1', Math.fround(0.1)],
    ['double', '-0', -0],
    ['bytes', '"\\u00ff\\u0000"', Buffer.from([255, 0])],
    [{ type: 'fixed', name: 'F', size: 2 }, '"ab"', Buffer.from('ab')],
    [E, '"B"', 'B'],
    [{ ...E, default: 'A' }, '"C"', 'A'],
    [{ type: 'array', items: 'int' }, '[1,-0]', [1, 0]],
    [{ type: 'map', values: 'long' }, '{"constructor":1}', { constructor: 1 }],
    [['null', 'long'], 'null', null],
    [['null', 'long', E], '"A"', 'A'],
    [['bytes', 'string'], '"a"', 'a'],
    [['null', 'bytes'], '"a"', Buffer.from('a')],
    [['null', 'long', 'double'], 'null', null],
    [['null', 'long', 'double'], '{"double":5}', { double: 5 }],
    [['string', { type: 'array', items: ['null', 'int'] }], '[null,3]', [null, 3]],
  ])('%j takes %s', (type, text, expected) => {
    expect(readX(x(type), `{"x":${text}}`)).toStrictEqual(expected);
  });

  test.each<[unknown, string]>([
    ['null', 'false'],
    ['boolean', '1'],
    ['int', '2147483648'],
    ['int', '0.5'],
    ['int', '"1"'],
    ['long', '9007199254740993'],
    ['long', '1e400'],
    ['float', '1e39'],
    ['double', '1e400'],
    ['double', '"NaN"'],
    ['string', 'null'],
    ['bytes', '"\\u0100"'],
    ['bytes', '[1]'],
    [{ type: 'fixed', name: 'F', size: 2 }, '"abc"'],
    [E, '"C"'],
    [E, '0'],
    [{ ...E, default: 'A' }, '0'],
    [{ type: 'array', items: 'int' }, '{}'],
    [{ type: 'map', values: 'int' }, '[]'],
    [['null', 'long'], '{"long":5}'],
    [['null', 'long', 'double'], '5'],
    [['null', 'long', 'double'], '{"long":5,"double":5}'],
    [['long', 'double'], 'null'],
    [['null', { type: 'map', values: 'int' }], '[]'],
  ])('%j refuses %s', (type, text) => {
    expect(() => readX(x(type), `{"x":${text}}`)).toThrow(
      expect.objectContaining({
        code: 'MILLRACE_SERDES_DESERIALIZATION',
        message: expect.stringContaining('the field x'),
      }),
    );
  });

  test('a property that every object has is none of a record’s', () => {
    const type = parseSchema({
      type: 'record',
      name: 'R',
      fields: ['constructor', '__proto__'].map((name) => ({ name, type: ['null', 'string'], default: null })),
    });
    const given = compileJsonReader('test', type)(JSON.parse('{}')) as object;
    expect(Object.entries(given)).toEqual([
      ['constructor', null],
      ['__proto__', null],
    ]);
    const map = readX(x({ type: 'map', values: 'int' }), '{"x":{"__proto__":1}}') as object;
    expect(Object.entries(map)).toEqual([['__proto__', 1]]);
  });

  test('a field is found by an alias, but not by what another field is named', () => {
    const type = parseSchema({
      type: 'record',
      name: 'R',
      fields: [
        { name: 'new', aliases: ['old', 'other'], type: 'int', default: -1 },
        { name: 'other', type: 'int', default: -2 },
      ],
    });
    const given = (text: string): unknown => compileJsonReader('test', type)(JSON.parse(text));
    expect(given('{"old":5}')).toEqual({ new: 5, other: -2 });
    expect(given('{"other":5}')).toEqual({ new: -1, other: 5 });
    expect(given('{"old":5,"new":6}')).toEqual({ new: 6, other: -2 });
  });

  test('a type within itself; too many levels are a bad record', async () => {
    const list = { type: 'record', name: 'L', fields: [{ name: 'next', type: ['null', 'L'], default: null }] } as const;
    const serde = avroOrJson(registry, list) as Serde<unknown>;
    expect(await read(serde, json({ next: { next: {} } }))).toStrictEqual({ next: { next: { next: null } } });
    await expect(read(serde, json({ next: { next: { next: 5 } } }))).rejects.toThrow(/the field L.next/);
    const deep = Buffer.from(`${'{"next":'.repeat(200_000)}null${'}'.repeat(200_000)}`);
    await expect(read(serde, deep)).rejects.toThrow(/too many levels/);
  });
});

describe('which serdes read each other’s bytes', () => {
  const given = { defaults: { timestamp: 0 } } as const;

  test('those of one schema do, whole and in part; plain ones and those of other defaults do not', () => {
    const whole = avroOrJson(registry, metricSchema, given);
    const part = avroOrJson(registry, metricSchema, { ...given, fields: ['value'] });
    expect(sharesBytes(part, whole)).toBe(true);
    expect(sharesBytes(part, avroOrJson(registry, metricSchema))).toBe(false);
    for (const plain of [avro(registry, metricSchema), avroFields(registry, metricSchema, 'value')]) {
      expect(sharesBytes(plain, whole)).toBe(false);
      expect(sharesBytes(part, plain)).toBe(false);
    }
    expect(sharesBytes(part, avroOrJson(new SchemaRegistry({ url: server.url }), metricSchema, given))).toBe(false);
  });

  test('the same registry, schema, fields and defaults give the same serde', () => {
    expect(avroOrJson(registry, metricSchema)).toBe(avroOrJson(registry, { ...metricSchema }));
    expect(avroOrJson(registry, metricSchema, { fields: ['value', 'unit'], ...given })).toBe(
      avroOrJson(registry, metricSchema, { fields: ['unit', 'value'], defaults: { timestamp: 0 } }),
    );
    expect(avroOrJson(registry, metricSchema, given)).not.toBe(avroOrJson(registry, metricSchema));
    expect(avroOrJson(registry, metricSchema)).not.toBe(avro(registry, metricSchema));
  });
});

test('fields and defaults that are not there, and a default that does not fit, are typed errors', () => {
  const code = expect.objectContaining({ code: 'MILLRACE_SERDES_INVALID_SCHEMA' });
  expect(() => avroOrJson(registry, metricSchema, { fields: ['colour' as never] })).toThrow(code);
  expect(() => avroOrJson(registry, metricSchema, { defaults: { colour: 1 } as never })).toThrow(code);
  expect(() => avroOrJson(registry, metricSchema, { defaults: { timestamp: 'x' as never } })).toThrow(code);
  expect(() => avroOrJson(registry, 'long' as never, { defaults: {} })).toThrow(code);
  expect(() => avroOrJson(registry, 'nonsense')).toThrow(code);
});

/** What a program that knows no Avro would send; undefined where JSON has no such value. */
function plainJson(type: AvroNode, v: unknown): unknown {
  if (type.types !== undefined) {
    if (v === null) return null;
    if (isWrapped(type)) {
      const [[name, inner]] = Object.entries(v as object) as [[string, unknown]];
      const branch = type.types.find((one) => (one.name ?? one.typeName) === name)!;
      return { [name]: plainJson(branch, inner) };
    }
    const kind = Buffer.isBuffer(v) ? 'buffer' : Array.isArray(v) ? 'array' : typeof v;
    const kinds = branchesByKind(type.types);
    // A text is the string.
    if (kind === 'buffer' && kinds.some((one) => one.kind === 'string')) throw new NoJson();
    return plainJson(kinds.find((one) => one.kind === kind)!.branch, v);
  }
  if (Buffer.isBuffer(v)) return v.toString('latin1');
  if (typeof v === 'number' && !Number.isFinite(v)) throw new NoJson();
  if (Array.isArray(v)) return v.map((item) => plainJson(type.itemsType!, item));
  if (typeof v !== 'object' || v === null) return v;
  const typeOf = (key: string): AvroNode => type.valuesType ?? type.fields!.find((field) => field.name === key)!.type;
  return Object.fromEntries(Object.entries(v).map(([key, inner]) => [key, plainJson(typeOf(key), inner)]));
}

class NoJson extends Error {}

describe('whatever the schema is', () => {
  test('JSON of a value is read as the Avro of it is', () => {
    let compared = 0;
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const schema = randomSchema(seed);
        const type = parseSchema(schema);
        const given = randomValue(schema, random(seed + 1));
        let text: string;
        try {
          text = JSON.stringify(plainJson(type, given));
        } catch (error) {
          if (error instanceof NoJson) return;
          throw error;
        }
        const out = new ByteWriter();
        compileAvroWriter('test', type)(given, out);
        const expected = compileAvroReader('test', type, type)(out.buffer, 0, out.position);
        const actual = compileJsonReader('test', type)(JSON.parse(text));
        // Vitest takes a key named constructor for a type.
        expect(isDeepStrictEqual(actual, expected), inspect([actual, expected], { depth: 9 })).toBe(true);
        // Properties in the same order: one kind of object to the code behind it.
        expect(Object.keys(actual as object)).toEqual(Object.keys(expected as object));
        compared++;
      }),
      { numRuns: 400 },
    );
    expect(compared).toBeGreaterThan(200);
  });

  test('JSON of another shape is read or refused with a typed error', () => {
    fc.assert(
      fc.property(fc.integer(), fc.jsonValue({ maxDepth: 4 }), fc.nat(), (seed, other, place) => {
        const schema = randomSchema(seed);
        const type = parseSchema(schema);
        const names = type.fields!.map(({ name }) => name);
        const value = { ...(randomValue(schema, random(seed + 1)) as object), [names[place % names.length]!]: other };
        try {
          const parsed = JSON.parse(JSON.stringify(value)) as unknown;
          const result = compileJsonReader('test', type)(parsed);
          compileAvroWriter('test', type)(result, new ByteWriter());
        } catch (error) {
          expect(error).toBeInstanceOf(DeserializationError);
        }
      }),
      { numRuns: 400 },
    );
  });
});
