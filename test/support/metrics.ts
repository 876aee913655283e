/** Metric records as other programs write them, and what the aggregation must make of them, computed independently. */
import avsc from 'avsc';
import { expect } from 'vitest';
import { aggregatedMetricSchema } from '../../src/schemas/aggregated-metric.ts';
import { metricSchema } from '../../src/schemas/metric.ts';

export interface Metric {
  timestamp: number;
  service: string;
  metric_name: string;
  value: number;
}

export interface Aggregated {
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

const metricType = avsc.Type.forSchema(metricSchema as unknown as avsc.Schema);
const aggregatedType = avsc.Type.forSchema(aggregatedMetricSchema as unknown as avsc.Schema);

export async function registerSchemas(registryUrl: string): Promise<number> {
  const response = await fetch(`${registryUrl}/subjects/metrics-value/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ schema: JSON.stringify(metricSchema) }),
  });
  return ((await response.json()) as { id: number }).id;
}

export function encodeMetric(schemaId: number, metric: Metric): Buffer {
  const body = metricType.toBuffer({ labels: { host: 'a' }, node: null, unit: 'ms', environment: null, ...metric });
  const prefix = Buffer.alloc(5);
  prefix.writeInt32BE(schemaId, 1);
  return Buffer.concat([prefix, body]);
}

export function decodeAggregated(value: Buffer): Aggregated {
  return aggregatedType.fromBuffer(value.subarray(5)) as Aggregated;
}

export const WINDOW_MS = 60_000;

/** Values by `key@window start`. */
export function groupByWindow(metrics: readonly Metric[]): Map<string, number[]> {
  const windows = new Map<string, number[]>();
  for (const { timestamp, service, metric_name, value } of metrics) {
    const id = `${service}:${metric_name}@${Math.floor(timestamp / WINDOW_MS) * WINDOW_MS}`;
    const values = windows.get(id);
    if (values === undefined) windows.set(id, [value]);
    else values.push(value);
  }
  return windows;
}

/** Compares the last output of each key and window with the input's values. */
export function expectAggregates(outputs: readonly Aggregated[], metrics: readonly Metric[]): void {
  const last = new Map(outputs.map((output) => [`${output.key}@${output.window_start}`, output]));
  const windows = groupByWindow(metrics);
  expect(new Set(last.keys())).toEqual(new Set(windows.keys()));
  for (const [id, values] of windows) {
    const output = last.get(id)!;
    const sorted = [...values].sort((a, b) => a - b);
    expect({ id, count: output.count, min: output.min, max: output.max }).toEqual({
      id,
      count: values.length,
      min: sorted[0],
      max: sorted.at(-1),
    });
    const avg = values.reduce((sum, v) => sum + v, 0) / values.length;
    expect(Math.abs(output.avg - avg)).toBeLessThanOrEqual(1e-9 * Math.max(1, Math.abs(avg)));
    expectRank(output.p95, 0.95, sorted);
    expectRank(output.p99, 0.99, sorted);
  }
}

/** Within 1 % of rank plus one value. */
function expectRank(value: number, rank: number, sorted: readonly number[]): void {
  const slack = 0.01 * sorted.length + 1;
  const at = rank * (sorted.length - 1);
  const low = sorted[Math.max(0, Math.floor(at - slack))]!;
  const high = sorted[Math.min(sorted.length - 1, Math.ceil(at + slack))]!;
  expect(value).toBeGreaterThanOrEqual(low);
  expect(value).toBeLessThanOrEqual(high);
}

/** A seeded generator: the same series in every run. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
