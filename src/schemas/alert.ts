// Generated from schemas/alert.avsc by `npm run schemas`; edit that file instead.
export const alertSchema = {
  type: 'record',
  name: 'Alert',
  namespace: 'com.iacdharma.v3.alerts',
  fields: [
    {
      name: 'id',
      type: 'string',
    },
    {
      name: 'type',
      type: 'string',
    },
    {
      name: 'severity',
      type: 'string',
    },
    {
      name: 'service',
      type: 'string',
    },
    {
      name: 'message',
      type: 'string',
    },
    {
      name: 'details',
      type: 'string',
    },
    {
      name: 'timestamp',
      type: 'long',
    },
  ],
} as const;
