import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MetricAggregate, metricAggregate } from '../../src/apps/metric-aggregate.ts';
import { FOLD_AT, FoldingSketch } from '../../src/apps/quantile-sketch.ts';
import { ByteWriter } from '../../src/bytes.ts';
import { random } from '../support/metrics.ts';

const key = { key: 'k', window: { startMs: 0, endMs: 60_000 } };

function bytesOf(aggregate: MetricAggregate): Buffer {
  const out = new ByteWriter();
  metricAggregate.write(aggregate, out, 't', 'value');
  return out.copy();
}

const restored = (bytes: Buffer): MetricAggregate => metricAggregate.read(bytes, 0, bytes.length, 't', 'value');

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

  test('the same values give the same bytes and quantiles, wherever they were stored in between', () => {
    const next = random(5);
    const values = Array.from({ length: FOLD_AT * 3 + 77 }, () => next() * 100);
    const straight = MetricAggregate.empty();
    let interrupted = MetricAggregate.empty();
    for (const [i, value] of values.entries()) {
      straight.add(value);
      interrupted.add(value);
      if (i % 211 === 0) interrupted = restored(bytesOf(interrupted));
    }
    expect(bytesOf(interrupted).equals(bytesOf(straight))).toBe(true);
    expect(restored(bytesOf(straight)).summarise(key)).toEqual(straight.summarise(key));
  });

  test.each(['ascending', 'descending', 'random'])('10,000 %s values: quantiles within 1 %% of rank', (order) => {
    const next = random(9);
    const values = Array.from({ length: 10_000 }, () => next() ** 3 * 1000);
    if (order !== 'random') values.sort((a, b) => (order === 'ascending' ? a - b : b - a));
    const sketch = new FoldingSketch();
    for (const value of values) sketch.add(value);
    const sorted = [...values].sort((a, b) => a - b);
    for (const rank of [0.5, 0.95, 0.99]) {
      const [value] = sketch.quantiles(rank);
      const at = sorted.filter((v) => v <= value!).length;
      expect(Math.abs(at - rank * 10_000)).toBeLessThanOrEqual(101);
    }
    expect(sketch.centroids.length).toBeLessThan(1000);
  });
});
