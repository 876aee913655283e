// Generated from schemas/metric.avsc by `npm run schemas`; edit that file instead.
export const metricSchema = {
  type: 'record',
  name: 'Metric',
  namespace: 'com.iacdharma.v3.metrics',
  fields: [
    {
      name: 'timestamp',
      type: 'long',
    },
    {
      name: 'service',
      type: 'string',
    },
    {
      name: 'metric_name',
      type: 'string',
    },
    {
      name: 'value',
      type: 'double',
    },
    {
      name: 'labels',
      type: {
        type: 'map',
        values: 'string',
      },
    },
    {
      name: 'node',
      type: ['null', 'string'],
      default: null,
    },
    {
      name: 'unit',
      type: ['null', 'string'],
      default: null,
    },
    {
      name: 'environment',
      type: ['null', 'string'],
      default: null,
    },
  ],
} as const;
