import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MetricAggregate, metricAggregate } from '../../../src/apps/aggregation/metric-aggregate.ts';
import { FOLD_AT, FoldingSketch } from '../../../src/apps/aggregation/quantile-sketch.ts';
import { ByteWriter } from '../../../src/bytes.ts';
import { random } from '../../support/metrics.ts';

const key = { key: 'k', window: { startMs: 0, endMs: 60_000 } };

function bytesOf(aggregate: MetricAggregate): Buffer {
  const out = new ByteWriter();
  metricAggregate.write(aggregate, out, 't', 'value');
  return out.copy();
}

const restored = (bytes: Buffer): MetricAggregate => metricAggregate.read(bytes, 0, bytes.length, 't', 'value');

type Next = () => number;
/** Of `n` numbers the `i`th. */
type Pattern = (i: number, n: number, next: Next) => number;

const normal = (next: Next): number => Array.from({ length: 6 }, next).reduce((sum, x) => sum + x) - 3;

/** Inputs that one kind of sketch or another gets wrong. */
const patterns: Readonly<Record<string, Pattern>> = {
  uniform: (_i, _n, next) => next(),
  skewed: (_i, _n, next) => next() ** 3 * 1000,
  'heavy tail': (_i, _n, next) => 1 / (1 - next()) ** 3,
  sorted: (i) => i,
  reversed: (i, n) => n - i,
  constant: () => 5,
  'organ pipe': (i, n) => (i < n / 2 ? i : n - i),
  'from both ends inwards': (i, n) => (i % 2 === 0 ? i - n : n - i),
  'from the middle outwards': (i) => (i % 2 === 0 ? i : -i),
  'closing in on the middle, geometrically': (i, n) => (i % 2 === 0 ? 1 : -1) * 2 ** (1000 - (i / n) * 2000),
  'geometric growth': (i, n) => 2 ** ((i / n) * 2000 - 1000),
  'geometric, in no order': (_i, _n, next) => (next() < 0.5 ? -1 : 1) * 2 ** (next() * 2000 - 1000),
  'alternating extremes': (i) => (i % 2 === 0 ? Number.MAX_VALUE : -Number.MAX_VALUE),
  'as wide as doubles are': (_i, _n, next) => (next() * 2 - 1) * Number.MAX_VALUE,
  'smallest numbers': (i) => (i % 1000) * Number.MIN_VALUE,
  'two peaks': (_i, _n, next) => (next() < 0.5 ? 0 : 1000) + normal(next),
  'two peaks, one of five per cent': (_i, _n, next) => (next() < 0.95 ? 0 : 1e9) + normal(next),
  'two values': (_i, _n, next) => (next() < 0.95 ? 1 : 1000),
  'three values': (_i, _n, next) => [0, 7, 1e9][Math.floor(next() * 3)]!,
  '97 % zeros, up to the end of each fold': (i) => (i % FOLD_AT < 993 ? 0 : 900 + (i % FOLD_AT)),
  '97 % zeros': (_i, _n, next) => (next() < 0.97 ? 0 : 900 + next() * 124),
  'zeros and minus zeros': (i) => (i % 3 === 0 ? -0 : 0),
  'another tie each fold': (i) => Math.floor(i / FOLD_AT) % 7,
  'another place each fold': (i, _n, next) => Math.floor(i / FOLD_AT) * 10 + next() * 15,
  'all into the gap that the first fold left': (i, _n, next) => (i < FOLD_AT ? i * 1e6 : 5 + next()),
  'deeper and deeper into a gap': (i, n, next) => 1 - 10 ** ((-i / n) * 15) * next(),
  'hundred ties': (_i, _n, next) => Math.floor(next() * 100),
  steps: (i) => Math.floor(i / 37),
};

/** How far, in ranks, the answers are from the nearest ranks at which they would be exact; the worst of many quantiles. */
function worstError(values: Float64Array, aggregate: MetricAggregate): number {
  const sorted = Float64Array.from(values).sort();
  const last = sorted.length - 1;
  const ranks = [0, 0.001, ...Array.from({ length: 101 }, (_, i) => i / 100), 0.999, 1].sort((a, b) => a - b);
  const answers = aggregate.sketch.quantiles(...ranks);
  expect([answers[0] === sorted[0], answers.at(-1) === sorted[last]]).toEqual([true, true]);
  let worst = 0;
  for (const [i, rank] of ranks.entries()) {
    const at = rank * last;
    const low = firstAt(sorted, (value) => value >= answers[i]!);
    const high = firstAt(sorted, (value) => value > answers[i]!) - 1;
    // A number in between two ranks stands for either.
    const [from, to] = low <= high ? [low, high] : [high, low];
    worst = Math.max(worst, from - at, at - to);
    if (i > 0) expect(answers[i]!).toBeGreaterThanOrEqual(answers[i - 1]!);
  }
  return worst;
}

function firstAt(sorted: Float64Array, is: (value: number) => boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (is(sorted[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function numbers(pattern: Pattern, n: number, seed = 9): Float64Array {
  const next = random(seed);
  return Float64Array.from({ length: n }, (_, i) => pattern(i, n, next));
}

function aggregateOf(values: Float64Array, storeEvery = Number.POSITIVE_INFINITY): MetricAggregate {
  let aggregate = MetricAggregate.empty();
  for (const [i, value] of values.entries()) {
    aggregate.add(value);
    if (i % storeEvery === storeEvery - 1) aggregate = restored(bytesOf(aggregate));
  }
  return aggregate;
}

describe('quantiles are within 1 % of rank and one value', () => {
  test.each(Object.keys(patterns))('10,000 numbers: %s', (name) => {
    const values = numbers(patterns[name]!, 10_000);
    const aggregate = aggregateOf(values);
    expect(worstError(values, aggregate)).toBeLessThanOrEqual(101);
    expect(bytesOf(aggregate).length).toBeLessThan(40_000);
  });

  test.each(['uniform', 'sorted', '97 % zeros', 'organ pipe', 'closing in on the middle, geometrically'])(
    '1,000,000 numbers: %s',
    (name) => {
      const values = numbers(patterns[name]!, 1_000_000);
      const aggregate = aggregateOf(values);
      expect(worstError(values, aggregate)).toBeLessThanOrEqual(10_001);
      expect(bytesOf(aggregate).length).toBeLessThan(80_000);
    },
  );

  test('for parts of any patterns one after the other, of any length, stored and restored anywhere', () => {
    const part = fc.record({
      pattern: fc.constantFrom(...Object.values(patterns)),
      n: fc.oneof(fc.nat(3000), fc.constantFrom(1, FOLD_AT - 1, FOLD_AT, FOLD_AT + 1, 2 * FOLD_AT)),
      seed: fc.nat(),
      scale: fc.constantFrom(1, -1, 1e-9),
    });
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 100, max: 3000 }),
        (parts, storeEvery) => {
          const values = Float64Array.from(
            parts.flatMap(({ pattern, n, seed, scale }) =>
              [...numbers(pattern, n, seed)].map((value) => value * scale),
            ),
          );
          if (values.length === 0) return;
          const straight = aggregateOf(values);
          expect(worstError(values, straight)).toBeLessThanOrEqual(values.length / 100 + 1);
          expect(bytesOf(aggregateOf(values, storeEvery)).equals(bytesOf(straight))).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('metric aggregates', () => {
  test('min ≤ avg ≤ max and p95 ≤ p99 ≤ max for any finite values', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 50 }),
        (values) => {
          const aggregate = MetricAggregate.empty();
          for (const value of values) aggregate.add(value);
          const { min, max, avg, p95, p99, count } = aggregate.summarise(key);
          expect(count).toBe(values.length);
          expect(min <= avg && avg <= max && p95 <= p99 && p99 <= max && p95 >= min).toBe(true);
        },
      ),
    );
  });

  test('one and two values are sane', () => {
    expect(MetricAggregate.empty().add(3).summarise(key)).toMatchObject({
      min: 3,
      max: 3,
      avg: 3,
      p95: 3,
      p99: 3,
      count: 1,
    });
    const two = MetricAggregate.empty().add(1).add(2).summarise(key);
    expect(two.p95).toBeGreaterThanOrEqual(1);
    expect(two.p99).toBeLessThanOrEqual(2);
  });

  test('97 % zeros that end exactly at a fold: the 95th percentile is 0', () => {
    const values = numbers(patterns['97 % zeros, up to the end of each fold']!, FOLD_AT);
    expect(aggregateOf(values).summarise(key)).toMatchObject({ p95: 0, max: 900 + FOLD_AT - 1 });
  });

  test('between two values further apart than the largest double a quantile is a number', () => {
    const sketch = new FoldingSketch();
    sketch.add(-Number.MAX_VALUE);
    sketch.add(Number.MAX_VALUE);
    expect(sketch.quantiles(0, 0.5, 1)).toEqual([-Number.MAX_VALUE, 0, Number.MAX_VALUE]);
  });

  test('quantiles in any order are those in ascending order', () => {
    const { sketch } = aggregateOf(numbers(patterns['skewed']!, 3000));
    expect(sketch.quantiles(0.99, 0, 0.5, 0.5, 1)).toEqual(
      [0.99, 0, 0.5, 0.5, 1].map((rank) => sketch.quantiles(rank)[0]),
    );
  });

  test('the same values give the same bytes and quantiles, wherever they were stored in between', () => {
    const values = numbers(patterns['uniform']!, FOLD_AT * 3 + 77, 5);
    const straight = aggregateOf(values);
    expect(bytesOf(aggregateOf(values, 211)).equals(bytesOf(straight))).toBe(true);
    expect(restored(bytesOf(straight)).summarise(key)).toEqual(straight.summarise(key));
  });

  describe('of version 1, with centroids', () => {
    const versionOne = (centroids: readonly [number, number][], values: readonly number[]): Buffer => {
      const count = centroids.reduce((sum, [, n]) => sum + n, values.length);
      const all = [...centroids.map(([mean]) => mean), ...values];
      const out = new ByteWriter();
      const uint32 = (value: number): void => {
        out.ensure(4);
        out.position = out.buffer.writeUInt32LE(value, out.position);
      };
      out.int8(1);
      uint32(count);
      out
        .doubleLE(Math.min(...all))
        .doubleLE(Math.max(...all))
        .doubleLE(1);
      uint32(centroids.length);
      uint32(values.length);
      for (const [mean, n] of centroids) {
        out.doubleLE(mean);
        uint32(n);
      }
      for (const value of values) out.doubleLE(value);
      return out.copy();
    };

    test('are read: quantiles are those of the centroids, and more values go on in the new form', () => {
      // 1,000 values from 0 to 999 as a digest holds them: more in the middle.
      const centroids: [number, number][] = [];
      for (let from = 0; from < 1000; ) {
        const n = Math.max(1, Math.min(1000 - from, Math.floor(0.04 * from * (1 - from / 1000))));
        centroids.push([from + (n - 1) / 2, n]);
        from += n;
      }
      const aggregate = restored(versionOne(centroids, [1000, 1001]));
      expect(aggregate.sketch.count).toBe(1002);
      for (const [rank, value] of [0, 0.25, 0.5, 0.95, 0.99, 1].map(
        (q) => [q, aggregate.sketch.quantiles(q)[0]!] as const,
      ))
        expect(Math.abs(value - rank * 1001)).toBeLessThanOrEqual(11);
      for (let i = 1002; i < 5000; i++) aggregate.add(i);
      expect(bytesOf(aggregate)[0]).toBe(2);
      const again = restored(bytesOf(aggregate));
      expect(Math.abs(again.sketch.quantiles(0.95)[0]! - 0.95 * 4999)).toBeLessThanOrEqual(60);
    });

    test('a centroid of more than a digest merges is of equal values', () => {
      const aggregate = restored(
        versionOne(
          [
            [-1, 1],
            [0, 993],
            [900, 1],
            [901, 29],
          ],
          [],
        ),
      );
      expect(aggregate.sketch.quantiles(0.5, 0.95, 0.96, 1)).toEqual([0, 0, 0, 901]);
    });
  });

  test('bytes that are none, and values that are none, are typed errors', () => {
    const bytes = bytesOf(aggregateOf(numbers(patterns['uniform']!, 1500)));
    const code = { code: 'MILLRACE_SERDES_DESERIALIZATION' };
    for (let cut = 0; cut < bytes.length; cut += 7)
      expect(() => restored(bytes.subarray(0, cut))).toThrow(expect.objectContaining(code));
    const wrong = Buffer.from(bytes);
    wrong[1]!++;
    expect(() => restored(wrong)).toThrow(expect.objectContaining(code));
    wrong[0] = 3;
    expect(() => restored(wrong)).toThrow(expect.objectContaining(code));
    for (const value of [{}, 'text', null] as never[])
      expect(() => bytesOf(value)).toThrow(expect.objectContaining({ code: 'MILLRACE_SERDES_SERIALIZATION' }));
  });
});
