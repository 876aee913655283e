// Generated from schemas/prediction.avsc by `npm run schemas`; edit that file instead.
export const predictionSchema = {
  type: 'record',
  name: 'Prediction',
  namespace: 'com.iacdharma.v3.predictions',
  fields: [
    {
      name: 'id',
      type: 'string',
    },
    {
      name: 'prediction_type',
      type: {
        type: 'enum',
        name: 'PredictionType',
        symbols: ['FAILURE', 'CAPACITY', 'COST', 'THREAT', 'CHURN'],
      },
    },
    {
      name: 'service',
      type: 'string',
    },
    {
      name: 'probability',
      type: 'double',
    },
    {
      name: 'confidence',
      type: 'double',
    },
    {
      name: 'predicted_time',
      type: ['null', 'long'],
      default: null,
    },
    {
      name: 'timestamp',
      type: 'long',
    },
    {
      name: 'severity',
      type: {
        type: 'enum',
        name: 'Severity',
        symbols: ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'INFO'],
      },
    },
    {
      name: 'affected_components',
      type: {
        type: 'array',
        items: 'string',
      },
    },
    {
      name: 'recommended_actions',
      type: {
        type: 'array',
        items: 'string',
      },
    },
    {
      name: 'details',
      type: {
        type: 'map',
        values: 'string',
      },
    },
  ],
} as const;
