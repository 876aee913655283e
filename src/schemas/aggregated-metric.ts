// Generated from schemas/aggregated-metric.avsc by `npm run schemas`; edit that file instead.
export const aggregatedMetricSchema = {
  type: 'record',
  name: 'AggregatedMetric',
  namespace: 'com.iacdharma.v3.metrics',
  fields: [
    {
      name: 'key',
      type: 'string',
    },
    {
      name: 'min',
      type: 'double',
    },
    {
      name: 'max',
      type: 'double',
    },
    {
      name: 'avg',
      type: 'double',
    },
    {
      name: 'p95',
      type: 'double',
    },
    {
      name: 'p99',
      type: 'double',
    },
    {
      name: 'window_start',
      type: 'long',
    },
    {
      name: 'window_end',
      type: 'long',
    },
    {
      name: 'count',
      type: 'long',
    },
  ],
} as const;
