/**
 * The aggregate of one metric in one window, and its bytes in the store:
 *
 *     02 | count uint32 | min double | max double | sum double | runs uint32 | values uint32 |
 *     { value double | ties uint32 | rest uint32 | spread uint32 }* | { value double }*            little-endian
 *
 * A version before had a t-digest's centroids instead of runs, and is read:
 *
 *     01 | … | centroids uint32 | values uint32 | { mean double | count uint32 }* | { value double }*
 */
import { DeserializationError, type Serde, SerializationError, type Windowed } from '../../index.ts';
import { FoldingSketch } from './quantile-sketch.ts';
import { RankSummary } from './rank-summary.ts';

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

const VERSION = 2;
const HEAD_BYTES = 37;
const RUN_BYTES = 20;
/** Of version 1. */
const CENTROID_BYTES = 12;
/** The object with its sketch and arrays, which have room for some values from the first on; measured as heap growth. */
const OBJECT_BYTES = 540;
/** A flat value: arrays that grow by push have a fifth of spare room on average. */
const VALUE_SIZE = 10;
/** A run in memory: four numbers in arrays. */
const RUN_SIZE = 32;

export const metricAggregate: Serde<MetricAggregate> = {
  name: 'metricAggregate',
  primitive: false,
  nullable: false,
  write(aggregate, out) {
    if (!(aggregate instanceof MetricAggregate)) throw new SerializationError('metricAggregate', 'no MetricAggregate');
    const { min, max, sum, sketch } = aggregate;
    const { values, summary, count } = sketch;
    out.ensure(HEAD_BYTES + summary.size * RUN_BYTES + values.length * 8);
    const { buffer } = out;
    let at = out.position;
    buffer[at++] = VERSION;
    at = buffer.writeUInt32LE(count, at);
    for (const number of [min, max, sum]) at = buffer.writeDoubleLE(number, at);
    at = buffer.writeUInt32LE(summary.size, at);
    at = buffer.writeUInt32LE(values.length, at);
    for (let i = 0; i < summary.size; i++) {
      at = buffer.writeDoubleLE(summary.values[i]!, at);
      at = buffer.writeUInt32LE(summary.ties[i]!, at);
      at = buffer.writeUInt32LE(summary.rest[i]!, at);
      at = buffer.writeUInt32LE(summary.spread[i]!, at);
    }
    for (const value of values) at = buffer.writeDoubleLE(value, at);
    out.position = at;
  },
  read(buffer, start, end) {
    const length = end - start;
    const version = buffer[start];
    if (length < HEAD_BYTES || (version !== 1 && version !== VERSION))
      throw new DeserializationError('metricAggregate', 'not of version 1 or 2');
    const parts = buffer.readUInt32LE(start + 29);
    const valueCount = buffer.readUInt32LE(start + 33);
    const partBytes = version === 1 ? CENTROID_BYTES : RUN_BYTES;
    if (length !== HEAD_BYTES + parts * partBytes + valueCount * 8)
      throw new DeserializationError('metricAggregate', `${length} bytes`);
    const at = start + HEAD_BYTES;
    const summary = version === 1 ? readCentroids(buffer, at, parts) : readRuns(buffer, at, parts);
    const values: number[] = [];
    for (let i = end - valueCount * 8; i < end; i += 8) values.push(buffer.readDoubleLE(i));
    if (summary.count + valueCount !== buffer.readUInt32LE(start + 1))
      throw new DeserializationError('metricAggregate', 'its counts contradict each other');
    return MetricAggregate.restore(
      buffer.readDoubleLE(start + 5),
      buffer.readDoubleLE(start + 13),
      buffer.readDoubleLE(start + 21),
      new FoldingSketch(summary, values),
    );
  },
  sizeOf: ({ sketch }) => OBJECT_BYTES + sketch.values.length * VALUE_SIZE + sketch.summary.size * RUN_SIZE,
};

function readRuns(buffer: Buffer, start: number, runs: number): RankSummary {
  const summary = new RankSummary();
  for (let i = 0, at = start; i < runs; i++, at += RUN_BYTES) {
    const ties = buffer.readUInt32LE(at + 8);
    const rest = buffer.readUInt32LE(at + 12);
    summary.push(buffer.readDoubleLE(at), ties, rest, buffer.readUInt32LE(at + 16));
  }
  return summary;
}

/** t-digest's delta in version 1. */
const OLD_DELTA = 0.01;

/**
 * Centroids as runs: half of what one stands for lies on either side of its mean. One of more than a digest merges has equal
 * values only, and so have the first and the last.
 */
function readCentroids(buffer: Buffer, start: number, centroids: number): RankSummary {
  const countOf = (i: number): number => buffer.readUInt32LE(start + i * CENTROID_BYTES + 8);
  let total = 0;
  for (let i = 0; i < centroids; i++) total += countOf(i);
  const summary = new RankSummary();
  let before = 0;
  let behind = 0;
  for (let i = 0; i < centroids; i++) {
    const count = countOf(i);
    const part = (before + count / 2) / total;
    const isEqual = i === 0 || i === centroids - 1 || count > 4 * total * OLD_DELTA * part * (1 - part) + 1;
    const ties = isEqual ? count : 1;
    const rest = Math.floor((count - ties) / 2);
    summary.push(buffer.readDoubleLE(start + i * CENTROID_BYTES), ties, behind + rest, 0);
    behind = count - ties - rest;
    before += count;
  }
  return summary;
}
