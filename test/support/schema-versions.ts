/** Every version of the platform's schemas, from schemas/versions. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { vi } from 'vitest';
import type { metricSchema } from '../../src/schemas/metric.ts';

export const SCHEMAS = join(import.meta.dirname, '../../schemas');

/** The text of each version of a schema, the oldest first. */
export function versionTexts(name: string): string[] {
  return readdirSync(join(SCHEMAS, 'versions'))
    .flatMap((file) => {
      const [, stem, version] = /^(.+)-(\d+)\.avsc$/.exec(file) ?? [];
      return stem === name ? [[Number(version), file] as const] : [];
    })
    .sort(([a], [b]) => a - b)
    .map(([, file]) => readFileSync(join(SCHEMAS, 'versions', file), 'utf8'));
}

/** What of src/apps reads metrics. */
export interface MetricReaders {
  readonly aggregationTopology: typeof import('../../src/apps/aggregation/aggregation-topology.ts').aggregationTopology;
  readonly sinkTopology: typeof import('../../src/apps/sink/sink-topology.ts').sinkTopology;
}

/** The topologies of src/apps as they were with the first version of Metric, and as they are with this one. */
export async function metricReaders(): Promise<readonly MetricReaders[]> {
  const metric = '../../src/schemas/metric.ts';
  const aggregation = '../../src/apps/aggregation/aggregation-topology.ts';
  const sink = '../../src/apps/sink/sink-topology.ts';
  const [first] = versionTexts('metric');
  vi.doMock(metric, () => ({ metricSchema: JSON.parse(first!) as typeof metricSchema }));
  // Other modules than without the query: these see the first version.
  const before = { ...(await import(`${aggregation}?version=1`)), ...(await import(`${sink}?version=1`)) };
  vi.doUnmock(metric);
  const now = { ...(await import(aggregation)), ...(await import(sink)) };
  return [before, now];
}
