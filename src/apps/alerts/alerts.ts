/** The alerts' topology as the programs run it, configured by environment, see README. */
import { avroOrJson, type SchemaRegistry, type Serde, type StreamsOptions, type Topology } from '../../index.ts';
import { anomalySchema } from '../../schemas/anomaly.ts';
import { address, milliseconds } from '../environment.ts';
import type { Anomaly } from './alert.ts';
import { alertsTopology, DEAD_LETTERS } from './alerts-topology.ts';
import { httpPost } from './http-post.ts';

const AIOPS_URL = 'http://aiops-engine:8100/api/v3/aiops/remediate/auto';
const TIMEOUT_MS = 10_000;
/** An outage of minutes is ridden out. */
const RETRY_MS = 600_000;

/** What KafkaStreams is to be told besides where Kafka and local state are. */
export const ALERTS = {
  applicationId: 'anomaly-alerts',
  // What a crash repeats is what was not committed: somebody's telephone rings again.
  commitIntervalMs: 1_000,
  deserializationExceptionHandler: 'continue',
  deadLetterTopic: DEAD_LETTERS,
  compression: 'gzip',
} as const satisfies Partial<StreamsOptions>;

/** Anomalies as services write them: Avro or JSON, and in JSON not all of them the time. */
export function anomalySerde(registry: SchemaRegistry): Serde<Anomaly> {
  return avroOrJson(registry, anomalySchema, { defaults: { timestamp: 0 } });
}

/**
 * The topology with ALERT_WEBHOOK_URL, AIOPS_URL, HTTP_TIMEOUT_MS and HTTP_RETRY_MS.
 * @throws ConfigurationError
 */
export function alertsFromEnvironment(env: NodeJS.ProcessEnv, registry: SchemaRegistry): Topology {
  const webhook = address(env, 'ALERT_WEBHOOK_URL', undefined);
  return alertsTopology({
    registry,
    anomaly: anomalySerde(registry),
    webhook: webhook === undefined ? undefined : httpPost(webhook),
    aiops: httpPost(address(env, 'AIOPS_URL', AIOPS_URL)),
    timeoutMs: milliseconds(env, 'HTTP_TIMEOUT_MS', TIMEOUT_MS, 1),
    retry: { initialMs: 500, maxMs: 30_000, maxElapsedMs: milliseconds(env, 'HTTP_RETRY_MS', RETRY_MS) },
  });
}
