import avsc from 'avsc';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { metricSchema } from '../../src/apps/schemas/metric.ts';
import { compileAvroReader } from '../../src/serdes/avro-reader.ts';

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

  test('leaves promotions, defaults and recursive types to avsc', () => {
    const long = avsc.Type.forSchema({ type: 'record', name: 'R', fields: [{ name: 'a', type: 'long' }] });
    const int = avsc.Type.forSchema({ type: 'record', name: 'R', fields: [{ name: 'a', type: 'int' }] });
    const more = avsc.Type.forSchema({
      type: 'record',
      name: 'R',
      fields: [
        { name: 'a', type: 'int' },
        { name: 'b', type: 'int', default: 1 },
      ],
    });
    const tree = avsc.Type.forSchema({
      type: 'record',
      name: 'Tree',
      fields: [{ name: 'children', type: { type: 'array', items: 'Tree' } }],
    });
    expect(compileAvroReader('test', int, long)).toBeUndefined();
    expect(compileAvroReader('test', int, more)).toBeUndefined();
    expect(compileAvroReader('test', tree, tree)).toBeUndefined();
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
