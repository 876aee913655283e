/** Anomalies of recorded series, by their labels. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { labelledAnomalies } from '../../../src/apps/alerts/labelled-anomalies.ts';
import { parseSeries } from '../../../src/apps/host/csv-series.ts';

const HOUR = 3_600_000;
const BASE = Date.parse('2014-02-26T00:00:00Z');
/** A value an hour: 0 to 9, then 1000, then 0 again, and so on. */
const series = () =>
  Array.from({ length: 110 }, (_, i) => ({ timestamp: BASE + i * HOUR, value: i === 50 ? 1_000 : i % 10 }));
const options = { series, endMs: undefined, remediationSuggested: true };

test('each label is an anomaly at its time, or at the start of its window', () => {
  const labels = {
    'ec2_cpu_utilization_24ae8d.csv': ['2014-02-28 02:00:00', ['2014-02-26 03:00:00', '2014-02-26 05:00:00']],
  };
  expect(labelledAnomalies(labels, options)).toEqual([
    {
      id: 'ec2_cpu_utilization_24ae8d-2014-02-28T02:00:00.000Z',
      service: 'ec2_cpu_utilization_24ae8d',
      timestamp: BASE + 50 * HOUR,
      isAnomaly: true,
      anomalyScore: 109 / 110,
      affectedMetrics: ['cpu_utilization'],
      severity: 'critical',
      remediationSuggested: true,
    },
    expect.objectContaining({ timestamp: BASE + 3 * HOUR, severity: 'high' }),
  ]);
});

test('series can be moved to end at a time; the ids stay', () => {
  const labels = { 'a/plain.csv': ['2014-02-28 02:00:00'] };
  const [there] = labelledAnomalies(labels, options);
  const [moved] = labelledAnomalies(labels, { ...options, endMs: BASE + 1_000 * HOUR });
  expect(moved).toEqual({ ...there, timestamp: BASE + (1_000 - 109 + 50) * HOUR });
  expect(moved).toMatchObject({ service: 'plain', affectedMetrics: ['plain'] });
});

test.each([[[]], [null], [{ a: 'x' }], [{ a: [7] }], [{ a: ['soon'] }]])(
  'labels that are none are refused: %j',
  (labels) => {
    expect(() => labelledAnomalies(labels, options)).toThrow(/The labels are not what they should be/);
  },
);

const CLOUDWATCH = join(import.meta.dirname, '../../../../shared/data/cloudwatch');

test.skipIf(!existsSync(CLOUDWATCH))('every labelled anomaly of the CloudWatch series', () => {
  const labels: Record<string, string[]> = JSON.parse(readFileSync(join(CLOUDWATCH, 'labels.json'), 'utf8'));
  const anomalies = labelledAnomalies(labels, {
    ...options,
    series: (file) => parseSeries(readFileSync(join(CLOUDWATCH, file), 'utf8')),
  });
  expect(anomalies).toHaveLength(Object.values(labels).flat().length);
  expect(new Set(anomalies.map(({ id }) => id)).size).toBe(anomalies.length);
  for (const { anomalyScore } of anomalies) expect(anomalyScore).toBeGreaterThanOrEqual(0);
});
