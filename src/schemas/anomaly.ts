// Generated from schemas/anomaly.avsc by `npm run schemas`; edit that file instead.
export const anomalySchema = {
  type: 'record',
  name: 'Anomaly',
  namespace: 'com.iacdharma.v3.anomalies',
  fields: [
    {
      name: 'id',
      type: 'string',
    },
    {
      name: 'service',
      type: 'string',
    },
    {
      name: 'timestamp',
      type: 'long',
    },
    {
      name: 'is_anomaly',
      type: 'boolean',
    },
    {
      name: 'anomaly_score',
      type: 'double',
    },
    {
      name: 'affected_metrics',
      type: {
        type: 'array',
        items: 'string',
      },
    },
    {
      name: 'severity',
      type: 'string',
    },
    {
      name: 'root_cause',
      type: ['null', 'string'],
      default: null,
    },
    {
      name: 'remediation_suggested',
      type: 'boolean',
      default: false,
    },
  ],
} as const;
