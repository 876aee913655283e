/**
 * The aggregate of one metric in one window, and its bytes in the store:
 *
 *     01 | count uint32 | min double | max double | sum double | centroids uint32 | values uint32 |
 *     { mean double | count uint32 }* | { value double }*            little-endian
 */
import { DeserializationError, type Serde, type Windowed } from '../index.ts';
import { type Centroid, FoldingSketch } from './quantile-sketch.ts';

/** What goes to `metrics-aggregated`; the fields of schemas/aggregated-metric.avsc. */
export interface AggregatedMetric {
  key: string;
  min: number;
  max: number;
  avg: number;
  p95: number;
  p99: number;
  window_start: number;
  window_end: number;
  count: number;
}

export class MetricAggregate {
  min: number;
  max: number;
  sum: number;
  readonly sketch: FoldingSketch;

  private constructor(min: number, max: number, sum: number, sketch: FoldingSketch) {
    this.min = min;
    this.max = max;
    this.sum = sum;
    this.sketch = sketch;
  }

  static empty(): MetricAggregate {
    return new MetricAggregate(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, new FoldingSketch());
  }

  static restore(min: number, max: number, sum: number, sketch: FoldingSketch): MetricAggregate {
    return new MetricAggregate(min, max, sum, sketch);
  }

  /** Hot. Values that are not finite must not come here: they would poison the window. */
  add(value: number): this {
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
    this.sum += value;
    this.sketch.add(value);
    return this;
  }

  /** min ≤ avg ≤ max and p95 ≤ p99 ≤ max, whatever rounding does. */
  summarise({ key, window }: Windowed<string>): AggregatedMetric {
    const { min, max, sketch } = this;
    const within = (value: number, low: number): number => Math.min(max, Math.max(low, value));
    const [p95, p99] = sketch.quantiles(0.95, 0.99) as [number, number];
    const low = within(p95, min);
    // Sums beyond the largest double are finite values all the same.
    const avg = Number.isFinite(this.sum) ? this.sum / sketch.count : min / 2 + max / 2;
    return {
      key,
      min,
      max,
      avg: within(avg, min),
      p95: low,
      p99: within(p99, low),
      window_start: window.startMs,
      window_end: window.endMs,
      count: sketch.count,
    };
  }
}

const VERSION = 1;
const HEAD_BYTES = 37;
const CENTROID_BYTES = 12;
/** The object with its sketch and arrays, empty. */
const OBJECT_BYTES = 200;

export const metricAggregate: Serde<MetricAggregate> = {
  name: 'metricAggregate',
  primitive: false,
  nullable: false,
  write({ min, max, sum, sketch }, out) {
    const { values, centroids, count } = sketch;
    out.ensure(HEAD_BYTES + centroids.length * CENTROID_BYTES + values.length * 8);
    const { buffer } = out;
    let at = out.position;
    buffer[at++] = VERSION;
    at = buffer.writeUInt32LE(count, at);
    for (const number of [min, max, sum]) at = buffer.writeDoubleLE(number, at);
    at = buffer.writeUInt32LE(centroids.length, at);
    at = buffer.writeUInt32LE(values.length, at);
    for (const [mean, n] of centroids) at = buffer.writeUInt32LE(n, buffer.writeDoubleLE(mean, at));
    for (const value of values) at = buffer.writeDoubleLE(value, at);
    out.position = at;
  },
  read(buffer, start, end) {
    const length = end - start;
    if (length < HEAD_BYTES || buffer[start] !== VERSION)
      throw new DeserializationError('metricAggregate', 'not of version 1');
    const centroidCount = buffer.readUInt32LE(start + 29);
    const valueCount = buffer.readUInt32LE(start + 33);
    if (length !== HEAD_BYTES + centroidCount * CENTROID_BYTES + valueCount * 8)
      throw new DeserializationError('metricAggregate', `${length} bytes`);
    let at = start + HEAD_BYTES;
    const centroids: Centroid[] = [];
    for (let i = 0; i < centroidCount; i++, at += CENTROID_BYTES)
      centroids.push([buffer.readDoubleLE(at), buffer.readUInt32LE(at + 8)]);
    const values: number[] = [];
    for (let i = 0; i < valueCount; i++, at += 8) values.push(buffer.readDoubleLE(at));
    const sketch = new FoldingSketch(buffer.readUInt32LE(start + 1), centroids, values);
    return MetricAggregate.restore(
      buffer.readDoubleLE(start + 5),
      buffer.readDoubleLE(start + 13),
      buffer.readDoubleLE(start + 21),
      sketch,
    );
  },
  sizeOf: ({ sketch }) => OBJECT_BYTES + sketch.values.length * 8 + sketch.centroids.length * 48,
};
