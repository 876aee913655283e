/** What the pending store keeps of a record, byte for byte back. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteWriter } from '../../src/bytes.ts';
import { pendingCallSerde } from '../../src/processors/pending-call.ts';
import { json, string } from '../../src/serdes/index.ts';

const serde = pendingCallSerde<string | null, { n: number } | null>(string() as never, json() as never);

const bytes = fc.option(fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array)));
const record = fc.record({
  key: fc.option(fc.string({ unit: 'binary' })),
  value: fc.option(fc.record({ n: fc.integer() })),
  timestamp: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  headers: fc.array(fc.record({ key: fc.string(), value: bytes }), { maxLength: 3 }),
  topic: fc.option(fc.string({ minLength: 1 })),
  partition: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
  offset: fc.integer({ min: -1, max: Number.MAX_SAFE_INTEGER }),
  source: fc.option(fc.record({ key: bytes, value: bytes })),
});

test('every record comes back as it was, from the middle of a buffer too', () => {
  fc.assert(
    fc.property(record, fc.nat(9), (given, before) => {
      const out = new ByteWriter();
      for (let i = 0; i < before; i++) out.int8(7);
      serde.write(given, out, 't', 'value');
      const end = out.position;
      out.int32(-1);
      expect(serde.read(out.buffer, before, end, 't', 'value')).toEqual(given);
    }),
  );
});

test('bytes that end too soon are an error, wherever they end', () => {
  const out = new ByteWriter();
  serde.write(
    {
      key: 'k',
      value: { n: 1 },
      timestamp: 1,
      headers: [{ key: 'h', value: Buffer.from('v') }],
      topic: 't',
      partition: 0,
      offset: 1,
      source: { key: null, value: Buffer.from('x') },
    },
    out,
    't',
    'value',
  );
  for (let end = 0; end < out.position; end++)
    expect(() => serde.read(out.buffer, 0, end, 't', 'value')).toThrow(/pending-call/);
});

test('what a later release has written is refused', () => {
  expect(() => serde.read(Buffer.from([1]), 0, 1, 't', 'value')).toThrow(/version 1/);
});
