import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteWriter } from '../../src/bytes.ts';
import {
  bytes,
  DeserializationError,
  double,
  integer,
  json,
  long,
  nullable,
  type Serde,
  SerializationError,
  serde,
  string,
  timeWindowed,
} from '../../src/serdes/index.ts';

function written<T>(of: Serde<T>, value: T): Buffer {
  const out = new ByteWriter();
  of.write(value, out, 't', 'value');
  return out.copy();
}

const read = <T>(of: Serde<T>, content: Buffer): T => of.read(content, 0, content.length, 't', 'value');

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return undefined;
}

const upper = serde<string>('upper', {
  serialize: (text) => Buffer.from(text.toUpperCase()),
  deserialize: (content) => content.toString(),
});
const windowed = timeWindowed(string(), 10);

describe('what is no value of the serde is refused with a typed error that does not hold it', () => {
  const circle: { self?: unknown; secret?: string } = { secret: 'secret' };
  circle.self = circle;
  const cases: [string, Serde<unknown>, unknown[]][] = [
    ['string', string(), [404, null, undefined, ['secret'], Buffer.from('secret'), 404n]],
    ['integer', integer(), ['secret', 404.5, 2 ** 31, -(2 ** 31) - 1, Number.NaN, null, undefined, 404n]],
    ['long', long(), ['secret', 404.5, 2 ** 53, Number.POSITIVE_INFINITY, null, undefined, 404n]],
    ['double', double(), ['secret', null, undefined, 404n]],
    ['bytes', bytes(), ['secret', [404], null, undefined, { length: 404 }, 404]],
    [
      'json',
      json(),
      [
        undefined,
        null,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        404n,
        circle,
        () => 'secret',
        Symbol('secret'),
        { toJSON: () => null },
      ],
    ],
    ['json', json((value) => value), [undefined, null, Number.NaN, { toJSON: () => undefined }]],
    [
      'windowed',
      windowed,
      [
        'secret',
        null,
        undefined,
        { key: 'secret' },
        { key: 404, window: { startMs: 1 } },
        { key: 'secret', window: { startMs: 404.5 } },
        { key: null, window: { startMs: 1 } },
      ],
    ],
    [
      'of one’s own',
      serde('own', { serialize: (value) => value as never, deserialize: () => 1 }),
      ['secret', null, undefined, [404]],
    ],
  ] as never;
  test.each(cases)('%s', (_name, of, values) => {
    for (const value of values) {
      const error = thrownBy(() => written(of, value));
      expect(error, inspect(value)).toBeInstanceOf(SerializationError);
      expect(inspect(error, { depth: 9, showHidden: true }).replace(/ at .*/g, '')).not.toMatch(/secret|404/);
    }
  });

  test.each([
    ['integer', integer(), 3],
    ['long', long(), 9],
    ['double', double(), 0],
    ['windowed', windowed, 7],
  ] as [string, Serde<unknown>, number][])('%s of a wrong length', (_name, of, length) => {
    expect(thrownBy(() => read(of, Buffer.alloc(length)))).toBeInstanceOf(DeserializationError);
  });

  test('a window whose start JavaScript does not count exactly', () => {
    expect(thrownBy(() => read(windowed, Buffer.from('6b7fffffffffffffff', 'hex')))).toBeInstanceOf(
      DeserializationError,
    );
  });
});

test('numbers come back, at their limits too', () => {
  fc.assert(
    fc.property(fc.integer(), fc.maxSafeInteger(), fc.double(), (i, l, d) => {
      expect(read(integer(), written(integer(), i))).toBe(i);
      expect(read(long(), written(long(), l))).toBe(l);
      expect(read(double(), written(double(), d))).toBe(d);
    }),
  );
  for (const edge of [2 ** 31 - 1, -(2 ** 31)]) expect(read(integer(), written(integer(), edge))).toBe(edge);
});

describe('json', () => {
  test('the text null is a null value, without asking the parser', () => {
    expect(read(json(), Buffer.from('null'))).toBeNull();
    expect(read(json(), Buffer.from(' null\n'))).toBeNull();
    const parsing = json((value) => (value as { n: number }).n);
    expect(read(parsing, Buffer.from('null'))).toBeNull();
    expect(read(nullable(parsing), Buffer.from('null'))).toBeNull();
    expect(read(parsing, Buffer.from('{"n":1}'))).toBe(1);
  });

  test('whatever is written is read as something else than null', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const out = new ByteWriter();
        try {
          json().write(value, out, 't', 'value');
        } catch (error) {
          expect(error).toBeInstanceOf(SerializationError);
          return;
        }
        expect(read(json(), out.copy())).not.toBeNull();
      }),
    );
  });

  test('neither a text that is no JSON nor what the parser says of it is in the error', () => {
    const parsing = json((value) => {
      throw new TypeError(`expected a number, received ${JSON.stringify(value)}`);
    });
    for (const [of, text] of [
      [json(), 'secret'],
      [parsing, '{"secret":"secret"}'],
    ] as const) {
      const error = thrownBy(() => read(of, Buffer.from(text)));
      expect(error).toBeInstanceOf(DeserializationError);
      expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/secret/);
    }
    expect(thrownBy(() => read(parsing, Buffer.from('{}')))).toMatchObject({
      message: expect.stringContaining('TypeError'),
    });
  });

  test('a parser may say more by a DeserializationError', () => {
    const own = new DeserializationError('order', 'the field id is missing');
    const parsing = json(() => {
      throw own;
    });
    expect(thrownBy(() => read(parsing, Buffer.from('{}')))).toBe(own);
  });
});

describe('a serde of one’s own', () => {
  const fault = new RangeError('secret');
  const throwing = serde<string>('own', {
    serialize: () => {
      throw fault;
    },
    deserialize: () => {
      throw fault;
    },
  });

  test('what its code throws is the cause of a typed error, whose message has only its name', () => {
    for (const [action, code] of [
      [() => written(throwing, 'x'), 'MILLRACE_SERDES_SERIALIZATION'],
      [() => read(throwing, Buffer.alloc(1)), 'MILLRACE_SERDES_DESERIALIZATION'],
    ] as const) {
      expect(thrownBy(action)).toMatchObject({
        code,
        cause: fault,
        message: expect.stringContaining('own: its code threw RangeError'),
      });
      expect((thrownBy(action) as Error).message).not.toContain('secret');
    }
  });

  test('typed errors go on as they are', () => {
    const inner = serde<unknown>('outer', {
      serialize: (value) => written(string(), value as string),
      deserialize: (content) => read(long(), content),
    });
    expect(thrownBy(() => written(inner, 5))).toMatchObject({ message: expect.stringContaining('as string') });
    expect(thrownBy(() => read(inner, Buffer.alloc(1)))).toMatchObject({ message: expect.stringContaining('as long') });
  });

  test('one that gives promises is refused, and their rejections end nothing', async () => {
    const lazy = serde<unknown>('lazy', {
      serialize: (async () => Buffer.alloc(1)) as never,
      deserialize: () => Promise.reject(new Error('late')),
    });
    expect(thrownBy(() => written(lazy, 1))).toBeInstanceOf(SerializationError);
    expect(thrownBy(() => read(lazy, Buffer.alloc(1)))).toBeInstanceOf(DeserializationError);
    const parsing = json(() => Promise.reject(new Error('late')));
    expect(thrownBy(() => read(parsing, Buffer.from('{}')))).toBeInstanceOf(DeserializationError);
    await new Promise((resolve) => setImmediate(resolve));
  });
});

describe('a serde around another', () => {
  /** Methods on a prototype that need their `this`, as the Avro serde has. */
  class Inner implements Serde<string> {
    readonly name = 'inner';
    readonly primitive = false;
    readonly nullable = false;
    readonly bytesToken = {};
    readonly unhashedSuffixBytes = 3;
    readonly asked: (string | null)[] = [];
    #length = 0;
    write(value: string, out: ByteWriter): void {
      this.#length += value.length;
      out.utf8(value);
    }
    read(buffer: Buffer, start: number, end: number): string {
      this.#length += end - start;
      return buffer.toString('utf8', start, end);
    }
    async prepareWrite(topic: string | null): Promise<void> {
      this.#length++;
      this.asked.push(topic);
    }
    sizeOf(value: string): number {
      return value.length + this.#length * 0;
    }
  }
  const bare: Serde<string> = {
    name: 'bare',
    primitive: false,
    nullable: false,
    write: (value, out) => void out.utf8(value),
    read: (buffer, start, end) => buffer.toString('utf8', start, end),
  };
  const around: [string, (inner: Serde<string>) => Serde<never>, (text: string) => unknown][] = [
    ['nullable', (inner) => nullable(inner) as Serde<never>, (text) => text],
    [
      'timeWindowed',
      (inner) => timeWindowed(inner, 10) as unknown as Serde<never>,
      (key) => ({ key, window: { startMs: 20, endMs: 30 } }),
    ],
    [
      'nullable of timeWindowed',
      (inner) => nullable(timeWindowed(inner, 10)) as unknown as Serde<never>,
      (key) => ({ key, window: { startMs: 20, endMs: 30 } }),
    ],
  ];

  test.each(around)('%s has what the inner one has, and works with it', async (_name, wrap, value) => {
    const inner = new Inner();
    const outer = wrap(inner);
    await outer.prepareWrite!(null, 'value');
    await outer.prepareWrite!('t', 'value');
    expect(inner.asked).toEqual([null, 't']);
    expect(outer.sizeOf!(value('four') as never)).toBeGreaterThanOrEqual(4);
    expect(outer.bytesToken).toBeTypeOf('object');
    expect(outer.bytesToken).toBe(wrap({ ...bare, bytesToken: inner.bytesToken }).bytesToken);
    expect(outer.unhashedSuffixBytes).toBeGreaterThan(0);
    expect(read(outer, written(outer, value('four') as never))).toEqual(value('four'));
  });

  test.each(around)('%s has nothing that the inner one lacks', (_name, wrap) => {
    const outer = wrap(bare);
    expect([outer.prepareWrite, outer.sizeOf, outer.bytesToken]).toEqual([undefined, undefined, undefined]);
    expect(outer.unhashedSuffixBytes).toBe(_name === 'nullable' ? undefined : 8);
  });

  test('nullable bytes are the inner one’s, windowed ones are not', () => {
    const inner = new Inner();
    expect(nullable(inner).bytesToken).toBe(inner.bytesToken);
    expect(timeWindowed(inner, 10).bytesToken).not.toBe(inner.bytesToken);
  });

  test('null has no size, and a serde that cannot tell sizes tells none', () => {
    expect(nullable(string()).sizeOf!(null)).toBe(0);
    expect(nullable(string()).sizeOf!(undefined as never)).toBe(0);
    expect(nullable(string()).sizeOf!('four')).toBe(string().sizeOf!('four'));
    expect(nullable(json()).sizeOf).toBeUndefined();
  });
});

test('the same description gives the same serde', () => {
  const parse = (value: unknown): number => Number(value);
  expect(json()).toBe(json());
  expect(json(parse)).toBe(json(parse));
  expect(json(parse)).not.toBe(json((value) => Number(value)));
  expect(nullable(json())).toBe(nullable(json()));
  expect(nullable(json())).not.toBe(nullable(string()));
  expect(nullable(nullable(string()))).toBe(nullable(string()));
  expect(timeWindowed(string(), 10)).toBe(timeWindowed(string(), 10));
  expect(timeWindowed(string(), 10)).not.toBe(timeWindowed(string(), 20));
  expect(timeWindowed(upper, 10)).not.toBe(timeWindowed(string(), 10));
});

test('windows of no size are a typed error', () => {
  for (const size of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
    expect(thrownBy(() => timeWindowed(string(), size))).toMatchObject({ code: 'MILLRACE_SERDES_INVALID_OPTION' });
});
