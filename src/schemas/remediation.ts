// Generated from schemas/remediation.avsc by `npm run schemas`; edit that file instead.
export const remediationSchema = {
  type: 'record',
  name: 'Remediation',
  namespace: 'com.iacdharma.v3.remediations',
  fields: [
    {
      name: 'incident_id',
      type: 'string',
    },
    {
      name: 'service_name',
      type: 'string',
    },
    {
      name: 'issue_type',
      type: 'string',
    },
    {
      name: 'severity',
      type: 'string',
    },
    {
      name: 'status',
      type: 'string',
    },
    {
      name: 'http_status',
      type: ['null', 'int'],
      default: null,
    },
    {
      name: 'attempts',
      type: 'int',
    },
    {
      name: 'response',
      type: ['null', 'string'],
      default: null,
    },
    {
      name: 'timestamp',
      type: 'long',
    },
  ],
} as const;
