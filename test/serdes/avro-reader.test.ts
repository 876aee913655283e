import avsc from 'avsc';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { metricSchema } from '../../src/schemas/metric.ts';
import { type AvroReader, compileAvroReader } from '../../src/serdes/avro-reader.ts';
import { parseSchema } from '../../src/serdes/avro-schema.ts';
import { DeserializationError } from '../../src/serdes/index.ts';

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
    const read = compileAvroReader('test', type, type);
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
    const read = compileAvroReader('test', type, reader);
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
    const actual = compileAvroReader('test', writer, reader)(bytes, 0, bytes.length);
    expect(JSON.parse(JSON.stringify(actual))).toEqual(expected);
  });

  test('a map may have the key __proto__', () => {
    const map = avsc.Type.forSchema({ type: 'map', values: 'string' });
    const bytes = Buffer.from([2, 18, ...Buffer.from('__proto__'), 2, 0x78, 0]);
    expect(Object.entries(compileAvroReader('test', map, map)(bytes, 0, bytes.length) as object)).toEqual([
      ['__proto__', 'x'],
    ]);
  });

  const read = (reader: AvroReader, bytes: Buffer): unknown => reader(bytes, 0, bytes.length);
  const refusal = (reader: AvroReader, bytes: Buffer): string => {
    try {
      read(reader, bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(DeserializationError);
      return (error as Error).message;
    }
    return 'read';
  };

  test('an integer of any size is stepped over where the reader lacks the field', () => {
    const reader = compileAvroReader(
      'test',
      record({ name: 'id', type: 'long' }, { name: 'x', type: 'int' }),
      record({ name: 'x', type: 'int' }),
    );
    // A snowflake, nanoseconds, the least and the most that a long holds.
    for (const id of [
      1_541_815_603_606_036_480n,
      1_700_000_000_000_000_000n,
      -(2n ** 63n),
      2n ** 63n - 1n,
      2n ** 53n,
      0n,
      -1n,
    ])
      expect(read(reader, Buffer.concat([zigzag(id), Buffer.from([14])]))).toEqual({ x: 7 });
    expect(refusal(reader, Buffer.concat([Buffer.alloc(10, 0x80), Buffer.from([0, 14])]))).toMatch(
      /more than 10 bytes/,
    );
    expect(refusal(reader, Buffer.alloc(5, 0x80))).toMatch(/cut off/);
  });

  test('an integer of any size is stepped over in arrays, maps, unions and records that the reader lacks', () => {
    const lacking = {
      type: 'record',
      name: 'L',
      fields: [
        { name: 'list', type: { type: 'array', items: 'long' } },
        { name: 'map', type: { type: 'map', values: ['null', 'long'] } },
      ],
    };
    const reader = compileAvroReader(
      'test',
      record({ name: 'l', type: lacking }, { name: 'x', type: 'int' }),
      record({ name: 'x', type: 'int' }),
    );
    const id = zigzag(1_541_815_603_606_036_480n);
    const bytes = [Buffer.from([2]), id, Buffer.from([0, 2, 2, 0x6b, 2]), id, Buffer.from([0, 14])];
    expect(read(reader, Buffer.concat(bytes))).toEqual({ x: 7 });
  });

  test('an integer beyond ±2^53 that the reader has is refused, with the name of its field; up to there it is exact', () => {
    const nested = { type: 'array', items: { type: 'map', values: 'long' } };
    const type = record({ name: 'a', type: { type: 'record', name: 'In', fields: [{ name: 'ids', type: nested }] } });
    const reader = compileAvroReader('test', type, type);
    const bytes = (id: bigint): Buffer =>
      Buffer.concat([Buffer.from([2, 2, 2, 0x6b]), zigzag(id), Buffer.from([0, 0])]);
    for (const id of [2n ** 53n - 1n, -(2n ** 53n) + 1n, 2n ** 52n + 1n, -(2n ** 52n) - 1n])
      expect(read(reader, bytes(id))).toEqual({ a: { ids: [{ k: Number(id) }] } });
    for (const id of [2n ** 53n, -(2n ** 53n), 2n ** 63n - 1n, -(2n ** 63n)])
      expect(refusal(reader, bytes(id))).toBe('Cannot read as test: an integer beyond ±2^53 in the field a.ids[]{}.');
  });

  test('a long is rounded where the reader has a float or a double, as in Java', () => {
    const long = avsc.Type.forSchema('long');
    const bytes = zigzag(2n ** 60n + 1n);
    expect(read(compileAvroReader('test', long, avsc.Type.forSchema('double')), bytes)).toBe(2 ** 60);
    expect(read(compileAvroReader('test', long, avsc.Type.forSchema('float')), zigzag(16_777_217n))).toBe(16_777_216);
  });

  test('an int of more than 32 bits is refused', () => {
    const type = record({ name: 'x', type: 'int' });
    expect(refusal(compileAvroReader('test', type, type), zigzag(2n ** 31n))).toMatch(/32 bits in the field x/);
  });

  describe('types within themselves', () => {
    const tree = avsc.Type.forSchema({
      type: 'record',
      name: 'Tree',
      fields: [
        { name: 'id', type: 'long' },
        { name: 'children', type: { type: 'array', items: 'Tree' } },
      ],
    });
    const value = {
      id: 1,
      children: [
        { id: 2, children: [] },
        { id: 3, children: [{ id: 4, children: [] }] },
      ],
    };

    test('are read as plain objects, and cut off at any place they are refused', () => {
      const bytes = tree.toBuffer(value);
      const reader = compileAvroReader('test', tree, tree);
      expect(read(reader, bytes)).toStrictEqual(value);
      for (let cut = 0; cut < bytes.length; cut++) expect(refusal(reader, bytes.subarray(0, cut))).not.toBe('read');
    });

    test('are stepped over, whatever integers they hold', () => {
      const holder = record({ name: 'tree', type: tree }, { name: 'x', type: 'int' });
      const reader = compileAvroReader('test', holder, record({ name: 'x', type: 'int' }));
      const bytes = Buffer.concat([zigzag(2n ** 62n), Buffer.from([2]), zigzag(-(2n ** 62n)), Buffer.from([0, 0, 14])]);
      expect(read(reader, bytes)).toEqual({ x: 7 });
    });

    test('fail with a typed error at more levels than the stack holds, and at counts that the bytes cannot hold', () => {
      const reader = compileAvroReader('test', tree, tree);
      expect(refusal(reader, Buffer.alloc(1_000_000, 2))).toMatch(/too many levels/);
      expect(refusal(reader, Buffer.from([2, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]))).toMatch(
        /more elements .*children/,
      );
      const endless = avsc.Type.forSchema({ type: 'record', name: 'E', fields: [{ name: 'e', type: 'E' }] });
      expect(refusal(compileAvroReader('test', endless, endless), Buffer.alloc(3))).toMatch(/too many levels/);
    });
  });

  test('a schema that names the same records again and again compiles to code of bounded size', () => {
    // Sixteen levels of two fields each: laid flat they would be 65,536 records.
    let inner: object = { type: 'record', name: 'L0', fields: [{ name: 'x', type: 'long' }] };
    for (let level = 1; level <= 16; level++)
      inner = {
        type: 'record',
        name: `L${level}`,
        fields: [
          { name: 'a', type: inner },
          { name: 'b', type: `L${level - 1}` },
        ],
      };
    const type = record({ name: 'top', type: inner }, { name: 'x', type: 'int' });
    const bytes = Buffer.concat([Buffer.alloc(2 ** 16, 2), Buffer.from([14])]);
    expect(read(compileAvroReader('test', type, record({ name: 'x', type: 'int' })), bytes)).toEqual({ x: 7 });
    expect(read(compileAvroReader('test', type, type), bytes)).toMatchObject({ x: 7 });
  });

  test('what is refused says where, and never what', () => {
    const reader = compileAvroReader('test', type, type);
    const bytes = type.toBuffer({
      flag: true,
      small: 1,
      large: 2,
      single: 1,
      precise: 1,
      text: 'secret',
      raw: Buffer.from('secret'),
      kind: 'A',
      four: Buffer.from('four'),
      list: [1, 2],
      map: { secret: 'secret' },
      maybe: 'secret',
      inner: { x: 1 },
    });
    for (let cut = 0; cut < bytes.length; cut++) {
      const message = refusal(reader, bytes.subarray(0, cut));
      expect(message).toMatch(
        / in the field (flag|small|large|single|precise|text|raw|kind|four|list|map|maybe|inner)/,
      );
      expect(message).not.toMatch(/secret/);
    }
  });

  test('a count or a length that the bytes cannot hold fails at once', () => {
    const metric = avsc.Type.forSchema(metricSchema as unknown as avsc.Schema);
    const read = compileAvroReader('test', metric, metric);
    const bytes = metric.toBuffer({
      timestamp: 1,
      service: 's',
      metric_name: 'm',
      value: 1,
      labels: {},
      node: null,
      unit: null,
      environment: null,
    });
    const hostile = Buffer.concat([
      bytes.subarray(0, bytes.length - 4),
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

/** A long in Avro's bytes. */
function zigzag(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value >= 0n ? value << 1n : (-value << 1n) - 1n;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}

describe('elements without content', () => {
  const nulls = parseSchema({
    type: 'array',
    items: { type: 'record', name: 'E', fields: [{ name: 'n', type: 'null' }] },
  });
  const read = compileAvroReader('test', nulls, nulls);

  test('are read, however few bytes there are', () => {
    expect(read(Buffer.from([6, 0]), 0, 2)).toEqual([{ n: null }, { n: null }, { n: null }]);
  });

  test('are refused where their number can only be hostile', () => {
    const announced = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f, 0]);
    expect(() => read(announced, 0, announced.length)).toThrow('too many elements without content');
  });
});
