import avsc from 'avsc';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { metricSchema } from '../../src/apps/schemas/metric.ts';
import { compileAvroCheck, compileAvroReader } from '../../src/serdes/avro-reader.ts';

const everything = {
  type: 'record',
  name: 'Everything',
  fields: [
    { name: 'flag', type: 'boolean' },
    { name: 'small', type: 'int' },
    { name: 'large', type: 'long' },
    { name: 'single', type: 'float' },
    { name: 'precise', type: 'double' },
    { name: 'text', type: 'string' },
    { name: 'raw', type: 'bytes' },
    { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['A', 'B'] } },
    { name: 'four', type: { type: 'fixed', name: 'Four', size: 4 } },
    { name: 'list', type: { type: 'array', items: 'long' } },
    { name: 'map', type: { type: 'map', values: 'string' } },
    { name: 'maybe', type: ['null', 'string'] },
    { name: 'inner', type: { type: 'record', name: 'Inner', fields: [{ name: 'x', type: 'double' }] } },
  ],
} as const;

const type = avsc.Type.forSchema(everything as unknown as avsc.Schema);
const values = fc.record({
  flag: fc.boolean(),
  small: fc.integer(),
  large: fc.integer({ min: -(2 ** 53 - 2), max: 2 ** 53 - 2 }),
  single: fc.float({ noNaN: true }),
  precise: fc.double({ noNaN: true }),
  text: fc.string(),
  raw: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  kind: fc.constantFrom('A', 'B'),
  four: fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
  list: fc.array(fc.integer({ min: -(2 ** 53 - 2), max: 2 ** 53 - 2 })),
  map: fc.dictionary(
    fc.string({ minLength: 1 }).filter((key) => key !== '__proto__'),
    fc.string(),
  ),
  maybe: fc.option(fc.string()),
  inner: fc.record({ x: fc.double({ noNaN: true }) }),
});

describe('the compiled Avro reader', () => {
  test('reads what avsc wrote, as avsc would, at any place in a buffer', () => {
    const read = compileAvroReader('test', type, type)!;
    fc.assert(
      fc.property(values, fc.nat(20), (value, shift) => {
        const bytes = type.toBuffer(value);
        const padded = Buffer.concat([Buffer.alloc(shift, 0xff), bytes, Buffer.alloc(3, 0xff)]);
        const result = read(padded, shift, shift + bytes.length) as { map: object };
        expect({ ...result, map: { ...result.map } }).toEqual(plain(type.fromBuffer(bytes)));
      }),
      { numRuns: 300 },
    );
  });

  test('skips the fields that the reader lacks', () => {
    const reader = avsc.Type.forSchema({
      ...everything,
      fields: everything.fields.filter(({ name }) => ['text', 'inner'].includes(name)),
    } as unknown as avsc.Schema);
    const read = compileAvroReader('test', type, reader)!;
    fc.assert(
      fc.property(values, (value) => {
        const bytes = type.toBuffer(value);
        expect(read(bytes, 0, bytes.length)).toEqual({ text: value.text, inner: value.inner });
      }),
    );
  });

  const record = (...fields: object[]): avsc.Type =>
    avsc.Type.forSchema({ type: 'record', name: 'R', fields } as unknown as avsc.Schema);

  test.each([
    ['promotions', record({ name: 'a', type: 'int' }), record({ name: 'a', type: 'double' }), { a: -7 }],
    ['string to bytes', record({ name: 'a', type: 'string' }), record({ name: 'a', type: 'bytes' }), { a: 'é' }],
    [
      'defaults, of records too',
      record({ name: 'a', type: 'int' }),
      record(
        { name: 'b', type: { type: 'map', values: 'int' }, default: { x: 1 } },
        {
          name: 'c',
          type: { type: 'record', name: 'C', fields: [{ name: 'd', type: 'string' }] },
          default: { d: 'e' },
        },
      ),
      { a: 1 },
    ],
    [
      'aliases',
      record({ name: 'a', type: 'long' }),
      record({ name: 'z', aliases: ['a'], type: 'long' }),
      { a: 2 ** 40 },
    ],
    [
      'a type into a union, and a union of other order',
      record({ name: 'a', type: 'int' }, { name: 'b', type: ['string', 'null'] }),
      record({ name: 'a', type: ['null', 'double'] }, { name: 'b', type: ['null', 'string'] }),
      { a: 5, b: 'x' },
    ],
    [
      'an enum whose symbols stand elsewhere',
      record({ name: 'a', type: { type: 'enum', name: 'E', symbols: ['X', 'Y'] } }),
      record({ name: 'a', type: { type: 'enum', name: 'E', symbols: ['Z', 'Y', 'X'] } }),
      { a: 'Y' },
    ],
  ])('resolves %s as avsc does', (_name, writer, reader, value) => {
    const bytes = writer.toBuffer(value);
    const expected = JSON.parse(JSON.stringify(reader.fromBuffer(bytes, reader.createResolver(writer))));
    const actual = compileAvroReader('test', writer, reader)!(bytes, 0, bytes.length);
    expect(JSON.parse(JSON.stringify(actual))).toEqual(expected);
  });

  test('schemas that do not fit are an error when they are compiled', () => {
    expect(() =>
      compileAvroReader('test', record({ name: 'a', type: 'string' }), record({ name: 'a', type: 'int' })),
    ).toThrow();
  });

  test('a map may have the key __proto__', () => {
    const map = avsc.Type.forSchema({ type: 'map', values: 'string' });
    const bytes = Buffer.from([2, 18, ...Buffer.from('__proto__'), 2, 0x78, 0]);
    expect(Object.entries(compileAvroReader('test', map, map)!(bytes, 0, bytes.length) as object)).toEqual([
      ['__proto__', 'x'],
    ]);
  });

  test('recursive types are left to avsc, behind a check that hostile counts do not pass', () => {
    const tree = avsc.Type.forSchema({
      type: 'record',
      name: 'Tree',
      fields: [{ name: 'children', type: { type: 'array', items: 'Tree' } }],
    });
    expect(compileAvroReader('test', tree, tree)).toBeUndefined();
    const check = compileAvroCheck('test', tree)!;
    const bytes = tree.toBuffer({ children: [{ children: [] }, { children: [{ children: [] }] }] });
    expect(() => check(bytes, 0, bytes.length)).not.toThrow();
    for (let cut = 0; cut < bytes.length; cut++) expect(() => check(bytes, 0, cut)).toThrow();
    const hostile = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]);
    expect(() => check(hostile, 0, hostile.length)).toThrow(/more elements/);
  });

  test('a count or a length that the bytes cannot hold fails at once', () => {
    const metric = avsc.Type.forSchema(metricSchema as unknown as avsc.Schema);
    const read = compileAvroReader('test', metric, metric)!;
    const bytes = metric.toBuffer({
      timestamp: 1,
      service: 's',
      metric_name: 'm',
      value: 1,
      labels: {},
      node: null,
      unit: null,
    });
    const hostile = Buffer.concat([
      bytes.subarray(0, bytes.length - 3),
      Buffer.from([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]),
    ]);
    expect(() => read(hostile, 0, hostile.length)).toThrow(/more elements|length beyond/);
    let state = 1;
    for (let i = 0; i < 20_000; i++) {
      const mutated = Buffer.from(bytes);
      for (let n = 0; n < 3; n++) {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0;
        mutated[state % mutated.length] = state >>> 24;
      }
      try {
        read(mutated, 0, mutated.length);
      } catch (error) {
        expect(error).toMatchObject({ code: 'MILLRACE_SERDES_DESERIALIZATION' });
      }
    }
  });
});

function plain(value: unknown): unknown {
  const record = value as { map: object; inner: object };
  return { ...record, inner: { ...record.inner }, map: { ...record.map } };
}
