/**
 * Anomalies of recorded series, by the labels that people gave them: a JSON object of each series' file, beside it, and the
 * times or windows of its anomalies, as the Numenta Anomaly Benchmark has them:
 *
 *     { "ec2_cpu_utilization_24ae8d.csv": ["2014-02-26 22:05:00", ["2014-02-27 17:15:00", "2014-02-27 18:00:00"]] }
 */
import { basename } from 'node:path';
import type { AnomalyInput } from '../../index.ts';
import { ConfigurationError } from '../environment.ts';
import { parseTime, type Sample } from '../host/csv-series.ts';

/** Of a series' values this share is nearer to its mean than one that is critical; others are high. */
const CRITICAL = 0.99;

export interface LabelledOptions {
  /** The series of a file. @throws ConfigurationError */
  series(file: string): readonly Sample[];
  /** Series are moved so that they end then, ms since the epoch; undefined: they stay where they are. */
  readonly endMs: number | undefined;
  readonly remediationSuggested: boolean;
}

/**
 * One for each label, at its time or its window's start. The id is made of file and time, so that sent again it is the same
 * anomaly. The score is the share of the series' values that are nearer to its mean.
 * @param labels what JSON.parse gave
 * @throws ConfigurationError
 */
export function labelledAnomalies(labels: unknown, options: LabelledOptions): AnomalyInput[] {
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) throw notLabels('an object of files');
  return Object.entries(labels).flatMap(([file, times]) => {
    if (!Array.isArray(times)) throw notLabels(`a list of times for ${file}`);
    return times.length === 0 ? [] : ofSeries(file, times, options);
  });
}

function ofSeries(file: string, times: readonly unknown[], options: LabelledOptions): AnomalyInput[] {
  const { endMs, remediationSuggested } = options;
  const samples = options.series(file);
  const shiftMs = endMs === undefined ? 0 : endMs - Math.max(...samples.map(({ timestamp }) => timestamp));
  const service = basename(file, '.csv');
  return times.map((label) => {
    const start: unknown = Array.isArray(label) ? label[0] : label;
    const atMs = typeof start === 'string' ? parseTime(start) : Number.NaN;
    if (Number.isNaN(atMs)) throw notLabels(`times like 2014-02-26 22:05:00 for ${file}`);
    const anomalyScore = scoreAt(samples, atMs);
    return {
      id: `${service}-${new Date(atMs).toISOString()}`,
      service,
      timestamp: atMs + shiftMs,
      isAnomaly: true,
      anomalyScore,
      affectedMetrics: [metricOf(service)],
      severity: anomalyScore >= CRITICAL ? 'critical' : 'high',
      remediationSuggested,
    };
  });
}

/** `ec2_cpu_utilization_24ae8d` is the cpu_utilization of an instance; other names stand for themselves. */
function metricOf(name: string): string {
  return /^[a-z0-9]+_(.+)_[0-9a-f]{6}$/.exec(name)?.[1] ?? name;
}

/** Of the last sample up to then. */
function scoreAt(samples: readonly Sample[], atMs: number): number {
  const mean = samples.reduce((sum, { value }) => sum + value, 0) / samples.length;
  const value = samples.findLast(({ timestamp }) => timestamp <= atMs)?.value ?? mean;
  const nearer = samples.filter((sample) => Math.abs(sample.value - mean) < Math.abs(value - mean));
  return nearer.length / samples.length;
}

function notLabels(missing: string): ConfigurationError {
  return new ConfigurationError(`The labels are not what they should be: ${missing} is missing.`);
}
