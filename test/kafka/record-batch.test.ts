import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { MillraceError } from '../../src/errors.ts';
import { type CompressionType, compress, decompress, loadZstd } from '../../src/kafka/compression/index.ts';
import { crc32c, plainCrc32c } from '../../src/kafka/crc32c.ts';
import { forEachBatch, murmur2, NO_PRODUCER, RecordBatch, RecordBatchBuilder } from '../../src/kafka/index.ts';

const AT = { topic: 't', partition: 3 };
const CODECS: readonly CompressionType[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

beforeAll(() => loadZstd());

interface PlainRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: number;
  readonly headers: readonly { readonly key: string; readonly value: Buffer | null }[];
}

function build(records: readonly PlainRecord[], codec: CompressionType): Buffer {
  const builder = new RecordBatchBuilder();
  const none = Buffer.alloc(0);
  for (const { key, value, timestamp, headers } of records) {
    builder.append(timestamp, key ?? none, 0, key?.length ?? -1, value ?? none, 0, value?.length ?? -1, headers);
  }
  return builder.build(codec, NO_PRODUCER);
}

function readAll(bytes: Buffer): PlainRecord[] {
  const records: PlainRecord[] = [];
  forEachBatch(bytes, 0, bytes.length, AT, {}, (batch) => {
    const cursor = batch.records();
    while (cursor.next()) {
      records.push({
        key: copy(cursor.key()),
        value: copy(cursor.value()),
        timestamp: cursor.timestamp,
        headers: cursor.headers(),
      });
    }
  });
  return records;
}

const copy = (bytes: Buffer | null): Buffer | null => (bytes === null ? null : Buffer.from(bytes));

const bytesOrNull = fc.option(fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)));
const anyRecord: fc.Arbitrary<PlainRecord> = fc.record({
  key: bytesOrNull,
  value: bytesOrNull,
  timestamp: fc.oneof(fc.integer({ min: -1, max: 2 ** 31 - 1 }), fc.integer({ min: 0, max: 8.64e15 })),
  headers: fc.array(fc.record({ key: fc.string({ maxLength: 10 }), value: bytesOrNull }), { maxLength: 3 }),
});

describe('record batches', () => {
  test.each(CODECS)('any records come back as they went in (%s)', (codec) => {
    fc.assert(
      fc.property(fc.array(anyRecord, { minLength: 1, maxLength: 30 }), (records) => {
        expect(readAll(build(records, codec))).toEqual(records);
      }),
      { numRuns: 150 },
    );
  });

  test('several batches in a fetch are read, a cut-off last one is left for the next fetch', () => {
    const one = build([{ key: null, value: Buffer.from('a'), timestamp: 1, headers: [] }], 'none');
    const two = build([{ key: null, value: Buffer.from('b'), timestamp: 2, headers: [] }], 'gzip');
    const both = Buffer.concat([one, two]);
    expect(readAll(both).map((r) => String(r.value))).toEqual(['a', 'b']);
    expect(readAll(both.subarray(0, both.length - 1)).map((r) => String(r.value))).toEqual(['a']);
  });

  test('an old message format and a flipped bit are typed errors that say where', () => {
    const bytes = build([{ key: null, value: Buffer.from('a'), timestamp: 1, headers: [] }], 'none');
    const old = Buffer.from(bytes);
    old[16] = 1;
    expect(() => readAll(old)).toThrow(
      expect.objectContaining({
        code: 'MILLRACE_KAFKA_UNSUPPORTED_MESSAGE_FORMAT',
        topic: 't',
        partition: 3,
        offset: 0,
      }),
    );
    const flipped = Buffer.from(bytes);
    flipped[bytes.length - 2]! ^= 1;
    expect(() => readAll(flipped)).toThrow(
      expect.objectContaining({ code: 'MILLRACE_KAFKA_CORRUPT_RECORD', topic: 't', partition: 3, offset: 0 }),
    );
  });

  test('100,000 mutated batches give a typed error or records, whether or not the CRC was made right again', () => {
    let state = 12345;
    const next = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const seeds = CODECS.map((codec) =>
      build(
        Array.from({ length: 5 }, (_, i) => ({
          key: Buffer.from(`k${i}`),
          value: Buffer.from('v'.repeat(40)),
          timestamp: i,
          headers: i === 2 ? [{ key: 'h', value: null }] : [],
        })),
        codec,
      ),
    );
    const before = process.memoryUsage().rss;
    let read = 0;
    for (let i = 0; i < 100_000; i++) {
      let bytes = Buffer.from(seeds[i % seeds.length]!);
      for (let n = next(4); n >= 0; n--) bytes[next(bytes.length)] = next(256);
      if (next(10) === 0) bytes = bytes.subarray(0, next(bytes.length));
      if (i % 2 === 0 && bytes.length > 61) {
        bytes.writeInt32BE(bytes.length - 12, 8);
        bytes[16] = 2;
        bytes.writeUInt32BE(crc32c(bytes, 21), 17);
      }
      try {
        read += readAll(bytes).length;
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error;
      }
    }
    expect(read).toBeGreaterThan(0);
    expect(process.memoryUsage().rss - before).toBeLessThan(600 * 1024 * 1024);
  });
});

describe('compression', () => {
  test.each(CODECS.slice(1))('%s refuses to unfold beyond the bound', (codec) => {
    const bomb = compress(codec, Buffer.alloc(4 * 1024 * 1024));
    expect(() => decompress(codec, bomb, 1024 * 1024)).toThrow();
    expect(decompress(codec, bomb, 8 * 1024 * 1024).length).toBe(4 * 1024 * 1024);
  });

  test('a 17-byte zstd frame that announces 1.6 GB is refused before anything is allocated', () => {
    const frame = Buffer.alloc(17);
    frame.writeUInt32LE(0xfd2fb528, 0);
    frame[4] = 0xe0; // single segment, content size of 8 bytes
    frame.writeBigUInt64LE(1_600_000_000n, 5);
    frame.writeUIntLE((1 << 3) | 1, 13, 3); // one raw block of one byte
    expect(() => decompress('zstd', frame, 128 * 1024 * 1024)).toThrow();
  });

  test('Java’s framed snappy is read', () => {
    const blocks = ['hello ', 'world'].map((text) => compress('snappy', Buffer.from(text)));
    const header = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    const framed = Buffer.concat([
      header,
      ...blocks.flatMap((block) => {
        const length = Buffer.alloc(4);
        length.writeInt32BE(block.length);
        return [length, block];
      }),
    ]);
    expect(String(decompress('snappy', framed, 1000))).toBe('hello world');
  });
});

test('CRC-32C: the known check value, and both routines agree', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1024, maxLength: 4096 }), (bytes) => {
      const buffer = Buffer.from(bytes);
      expect(crc32c(buffer)).toBe(plainCrc32c(buffer, 0, buffer.length));
    }),
    { numRuns: 30 },
  );
});

test('murmur2 is Java’s', () => {
  const java: Record<string, number> = { '': 275646681, a: -1563381124, abc: 479470107, 'hello world': 1221641059 };
  for (const [text, hash] of Object.entries(java)) expect(murmur2(Buffer.from(text))).toBe(hash);
});

test('the last offset counts, not the number of records: compaction leaves gaps', () => {
  const bytes = build(
    Array.from({ length: 2 }, () => ({ key: null, value: null, timestamp: 0, headers: [] })),
    'none',
  );
  bytes.writeInt32BE(9, 23);
  bytes.writeUInt32BE(crc32c(bytes, 21), 17);
  expect(new RecordBatch(bytes, 0, AT).lastOffset).toBe(9);
});
