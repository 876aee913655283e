/** Rows, positions and tables for the tests of the sink's storage. */
import type { MetricRow } from '../../../src/apps/sink/metric-rows.ts';
import type { BatchPosition } from '../../../src/index.ts';
import { query } from './postgres.ts';

export const START_MS = Date.UTC(2026, 0, 1);

/** Rows of which `value` is the offset that they come from. */
export function rowsFrom(offset: number, count: number): MetricRow[] {
  return Array.from({ length: count }, (_, i) => row({ value: offset + i }));
}

export function row(fields: Partial<MetricRow> = {}): MetricRow {
  return {
    time: START_MS,
    serviceName: 'shop',
    metricName: 'cpu',
    value: 1,
    labels: { a: 'b' },
    node: null,
    ...fields,
  };
}

/** Of partition 0 of `metrics`, unless told otherwise. */
export function move(expected: number | null, next: number, partition = 0, topic = 'metrics'): BatchPosition {
  return { topic, partition, expected, next };
}

/** In order. */
export async function storedValues(url: string): Promise<number[]> {
  const rows = await query<{ value: number }>(url, 'SELECT value FROM metrics ORDER BY value');
  return rows.map(({ value }) => value);
}

export async function storedPositions(url: string): Promise<Record<string, number>> {
  const rows = await query(url, 'SELECT application_id, topic, partition, position FROM millrace_positions');
  return Object.fromEntries(
    rows.map((r) => [`${r['application_id']}/${r['topic']}-${r['partition']}`, Number(r['position'])]),
  );
}

export async function refuseNothing(_index: number, error: Error): Promise<void> {
  throw error;
}
