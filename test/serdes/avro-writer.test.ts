import avsc from 'avsc';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteWriter } from '../../src/bytes.ts';
import { compileAvroReader } from '../../src/serdes/avro-reader.ts';
import { parseSchema } from '../../src/serdes/avro-schema.ts';
import { compileAvroWriter } from '../../src/serdes/avro-writer.ts';
import { SerializationError } from '../../src/serdes/index.ts';
import { randomSchema, randomValue } from '../support/avro/schemas.ts';
import { random } from '../support/metrics.ts';

function bytesOf(schema: unknown, value: unknown, out = new ByteWriter()): Buffer {
  const start = out.position;
  compileAvroWriter('test', parseSchema(schema))(value, out);
  return out.copy(start);
}

function readBack(schema: unknown, bytes: Buffer): unknown {
  const type = parseSchema(schema);
  return compileAvroReader('test', type, type)(bytes, 0, bytes.length);
}

function refusal(schema: unknown, value: unknown): string {
  try {
    bytesOf(schema, value);
  } catch (error) {
    expect(error).toBeInstanceOf(SerializationError);
    expect((error as Error).cause).toBeUndefined();
    return (error as Error).message.replace(/ Check that .*/, '');
  }
  return 'written';
}

const record = (...fields: object[]): object => ({ type: 'record', name: 'R', fields });
const x = (type: unknown): object => record({ name: 'x', type });

describe('the compiled Avro writer', () => {
  test('writes what avsc writes, wherever the buffer ends', () => {
    fc.assert(
      fc.property(fc.integer(), fc.nat(80), (seed, before) => {
        const schema = randomSchema(seed);
        const value = randomValue(schema, random(seed + 1));
        fc.pre(!holdsLargeLong(value));
        const out = new ByteWriter(64 + before);
        for (let i = 0; i < before; i++) out.int8(1);
        expect(bytesOf(schema, value, out).toString('hex')).toBe(
          avsc.Type.forSchema(schema as unknown as avsc.Schema)
            .toBuffer(value)
            .toString('hex'),
        );
      }),
      { numRuns: 500 },
    );
  });

  test('what is read is what was written, for any schema and value', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const schema = randomSchema(seed);
        const value = randomValue(schema, random(seed + 1));
        expect(readBack(schema, bytesOf(schema, value))).toEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  test('every integer within ±2^53 comes back, where avsc turns the sign of some', () => {
    const edges = [
      2 ** 53 - 1,
      1 - 2 ** 53,
      -(2 ** 52) - 1,
      -(2 ** 53) + 3,
      2 ** 27,
      -(2 ** 27),
      2 ** 28 - 1,
      2 ** 34,
      0,
      -0,
    ];
    fc.assert(
      fc.property(fc.oneof(fc.constantFrom(...edges), fc.maxSafeInteger()), (value) => {
        expect(readBack(x('long'), bytesOf(x('long'), { x: value }))).toEqual({ x: value === 0 ? 0 : value });
      }),
      { numRuns: 500 },
    );
  });

  test('undefined stands for null, and for a default where the field has one', () => {
    const schema = record(
      { name: 'maybe', type: ['null', 'string'] },
      { name: 'either', type: ['null', 'int', 'double'] },
      { name: 'unit', type: ['string', 'null'], default: 'ms' },
      { name: 'labels', type: { type: 'map', values: ['null', 'int'] }, default: { a: null } },
    );
    expect(readBack(schema, bytesOf(schema, {}))).toEqual({
      maybe: null,
      either: null,
      unit: 'ms',
      labels: { a: null },
    });
    expect(refusal(x('string'), {})).toMatch(/the field x is undefined where a string is needed/);
  });

  const named = { type: 'record', name: 'N', fields: [{ name: 's', type: 'string' }] };
  test.each([
    ['null', 'secret', 'a string where null'],
    ['boolean', 'secret', 'a string where a boolean'],
    ['int', 40_404.5, 'a number where a 32-bit integer'],
    ['int', 2 ** 31, 'a number where a 32-bit integer'],
    ['int', 404n, 'a bigint where a 32-bit integer'],
    ['long', 2 ** 53, 'a number where an integer within ±2^53'],
    ['long', 'secret', 'a string where an integer within ±2^53'],
    ['float', 'secret', 'a string where a number'],
    ['double', 'secret', 'a string where a number'],
    ['bytes', 'secret', 'a string where a Buffer'],
    ['string', 40_404, 'a number where a string'],
    ['string', Buffer.from('secret'), 'a Buffer where a string'],
    [{ type: 'fixed', name: 'F', size: 4 }, Buffer.from('secret'), 'a Buffer where a Buffer of 4 bytes'],
    [{ type: 'enum', name: 'E', symbols: ['A'] }, 'secret', 'a string where a symbol of E'],
    [{ type: 'enum', name: 'E', symbols: ['A'] }, 'constructor', 'a string where a symbol of E'],
    [{ type: 'array', items: 'string' }, 'secret', 'a string where an array'],
    [{ type: 'map', values: 'string' }, ['secret'], 'an array where an object of keys and values'],
    [
      { type: 'map', values: 'string' },
      new Map([['secret', 'secret']]),
      'an object where an object of keys and values',
    ],
    [{ type: 'map', values: 'string' }, new Date(0), 'an object where an object of keys and values'],
    [named, 'secret', 'a string where an object with the fields of N'],
    [named, ['secret'], 'an array where an object with the fields of N'],
    [['null', 'string'], 40_404, 'a number where one of null, string'],
    [['null', 'int', 'double'], 40_404, 'a number where an object with one property, int or double, or null'],
    [['int', 'double'], { secret: 40_404 }, 'an object where an object with one property, int or double'],
    [['int', 'double'], { int: 1, double: 40_404 }, 'an object where an object with one property, int or double'],
    [['int', 'double'], { constructor: 40_404 }, 'an object where an object with one property, int or double'],
  ])('%j is refused with what is needed, and without the value', (type, value, what) => {
    const message = refusal(x(type), { x: value });
    expect(message).toContain(`Cannot write as test: the field x is ${what}`);
    expect(message).not.toMatch(/secret|404/);
  });

  test.each([
    [{ type: 'array', items: named }, [{ s: 'ok' }, { s: 40_404 }], 'x[].s is a number'],
    [{ type: 'map', values: named }, { secret: { s: 40_404 } }, 'x{}.s is a number'],
    [['null', named], { s: 40_404 }, 'x.s is a number'],
    [['string', 'bytes', named, { ...named, name: 'a.M' }], { 'a.M': { s: 40_404 } }, 'x.a.M.s is a number'],
    [{ type: 'array', items: { type: 'array', items: 'int' } }, [[1], ['secret']], 'x[][] is a string'],
    [
      {
        type: 'record',
        name: 'T',
        fields: [
          { name: 'v', type: 'int' },
          { name: 't', type: ['null', 'T'] },
        ],
      },
      { v: 1, t: { v: 'secret' } },
      'T.v is a string',
    ],
  ])('in %j the path names the field, without keys and indices', (type, value, what) => {
    const message = refusal(x(type), { x: value });
    expect(message).toContain(what);
    expect(message).not.toMatch(/secret|404/);
  });
});

/** Of those that avsc refuses (2^53 − 1) or writes with the other sign (odd in its arithmetic, below −2^52). */
function holdsLargeLong(value: unknown): boolean {
  if (typeof value === 'number')
    return Number.isInteger(value) && (value < -(2 ** 52) || value === Number.MAX_SAFE_INTEGER);
  return typeof value === 'object' && value !== null && Object.values(value).some(holdsLargeLong);
}
