import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteWriter } from '../../src/bytes.ts';
import { compileAvroReader } from '../../src/serdes/avro-reader.ts';
import { parseSchema } from '../../src/serdes/avro-schema.ts';
import { compileAvroWriter } from '../../src/serdes/avro-writer.ts';
import { DeserializationError } from '../../src/serdes/index.ts';
import { resolutionCases } from '../support/avro/resolution-cases.ts';
import { evolved, randomSchema, randomValue } from '../support/avro/schemas.ts';
import { random } from '../support/metrics.ts';

function resolved(writer: unknown, reader: unknown, value: unknown): unknown {
  const out = new ByteWriter();
  compileAvroWriter('test', parseSchema(writer))(value, out);
  return compileAvroReader('test', parseSchema(writer), parseSchema(reader))(out.buffer, 0, out.position);
}

test.each(resolutionCases)('$name', ({ writer, reader, value, read, refused }) => {
  if (refused === undefined) expect(resolved(writer, reader, value)).toEqual(read);
  else expect(() => resolved(writer, reader, value)).toThrow(refused);
});

test('a type within itself is compared to its end', () => {
  const list = (type: string): object => ({
    type: 'record',
    name: 'L',
    fields: [
      { name: 'next', type: ['null', 'L'] },
      { name: 'v', type },
    ],
  });
  expect(resolved(list('int'), list('double'), { next: { next: null, v: 1 }, v: 2 })).toEqual({
    next: { next: null, v: 1 },
    v: 2,
  });
  expect(() => resolved(list('string'), list('int'), { next: null, v: 'x' })).toThrow('v: string is not int');
});

test('whatever the two schemas are, a value is read as the reader writes it, or refused with a typed error', () => {
  let read = 0;
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const writer = randomSchema(seed);
      const reader = evolved(writer, random(seed + 2));
      let value: unknown;
      try {
        value = resolved(writer, reader, randomValue(writer, random(seed + 1)));
      } catch (error) {
        expect(error).toBeInstanceOf(DeserializationError);
        return;
      }
      read++;
      const out = new ByteWriter();
      compileAvroWriter('test', parseSchema(reader))(value, out);
      expect(compileAvroReader('test', parseSchema(reader), parseSchema(reader))(out.buffer, 0, out.position)).toEqual(
        value,
      );
    }),
    { numRuns: 1000 },
  );
  expect(read).toBeGreaterThan(100);
});
