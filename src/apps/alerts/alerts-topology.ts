/**
 * The alerts' topology: `anomalies` in; `alerts`, calls of a webhook and of the remediation service, and `remediations`
 * out. What cannot be read, and what a service refuses or does not take in time, goes to `anomalies-dlq`.
 *
 *     anomalies ─ critical or high ─ by id ─▶ first of its id ─┬─▶ alerts
 *                                                              ├─ by service ─ webhook
 *                                                              └─ remediation suggested ─ by service ─ AIOps ─▶ remediations
 *
 * Calls for one service come one after the other, in the order of its anomalies; those of others overtake them. So a
 * service whose calls hang takes one of the calls at a time, and holds up its own.
 */
import {
  avro,
  bytes,
  type KStream,
  type RetryPolicy,
  type SchemaRegistry,
  type Serde,
  StreamsBuilder,
  string,
  type Topology,
} from '../../index.ts';
import { alertSchema } from '../../schemas/alert.ts';
import { remediationSchema } from '../../schemas/remediation.ts';
import {
  type Anomaly,
  alertOf,
  idempotencyKey,
  idOf,
  isAlerting,
  type Remediation,
  remediationOf,
  remediationRequest,
  webhookBody,
} from './alert.ts';
import { ALERTED_IDS, FirstOfItsId } from './first-of-its-id.ts';
import type { HttpPost } from './http-post.ts';

export const DEAD_LETTERS = 'anomalies-dlq';

export interface AlertsOptions {
  readonly registry: SchemaRegistry;
  /** What `anomalies` is read with. */
  readonly anomaly: Serde<Anomaly>;
  /** Undefined: alerts go to their topic only. */
  readonly webhook?: HttpPost | undefined;
  /** The remediation service. */
  readonly aiops: HttpPost;
  /** ms that one try of a call may take. */
  readonly timeoutMs: number;
  /** How long, and how often, a call is tried. */
  readonly retry: RetryPolicy;
}

/** Calls at a time, per task and receiver: more services than this must hang before others wait. */
const CONCURRENCY = 64;
/** Calls that wait, per task and receiver, before the task takes no more anomalies. */
const MAX_PENDING = 10_000;

export function alertsTopology(options: AlertsOptions): Topology {
  const { registry, anomaly, webhook, aiops } = options;
  const builder = new StreamsBuilder();
  const anomalies = builder
    .stream('anomalies', {
      // Not used, and written by whomever: no key is a reason not to be told.
      key: bytes(),
      value: anomaly,
      timestamp: eventTime,
      offsetReset: 'latest',
      deadLetterTopic: DEAD_LETTERS,
    })
    .filter((_key, a) => isAlerting(a))
    .selectKey((_key, a) => idOf(a), { name: 'by-id', deadLetterTopic: DEAD_LETTERS })
    .repartition({ name: 'anomalies-by-id', key: string(), value: anomaly })
    .processValues(() => new FirstOfItsId(), { name: 'first-of-its-id', stores: [ALERTED_IDS] });
  anomalies
    .map((_id, a) => [a.service, alertOf(a)])
    .to('alerts', { key: string(), value: avro(registry, alertSchema) });
  const byService = anomalies.selectKey((_id, a) => a.service);
  if (webhook !== undefined) callWebhook(byService, webhook, options);
  remediate(
    byService.filter((_service, a) => a.remediation_suggested),
    aiops,
    options,
  );
  return builder.build();
}

/** What an anomaly says, but no later than when it was written: brokers refuse records from the future. */
function eventTime({ timestamp }: Anomaly, record: { readonly timestamp: number }): number {
  const writtenMs = record.timestamp >= 0 ? record.timestamp : Date.now();
  return timestamp > 0 ? Math.min(timestamp, writtenMs) : writtenMs;
}

function callWebhook(byService: KStream<string, Anomaly>, webhook: HttpPost, options: AlertsOptions): void {
  byService.mapAsync(
    async (service, a, { signal }) => {
      const answer = await webhook(webhookBody(a), { idempotencyKey: idempotencyKey('alert', a), signal });
      return [service, answer.status];
    },
    { ...callOptions(options), name: 'alert-webhook' },
  );
}

function remediate(byService: KStream<string, Anomaly>, aiops: HttpPost, options: AlertsOptions): void {
  byService
    .mapAsync<string, Remediation>(
      async (_service, a, { signal, attempt }) => {
        const answer = await aiops(remediationRequest(a), { idempotencyKey: idempotencyKey('remediation', a), signal });
        return [a.id, remediationOf(a, answer, attempt, Date.now())];
      },
      {
        ...callOptions(options),
        name: 'remediation',
        onFailure: (error, _service, a, { attempts }) => [a.id, remediationOf(a, { error }, attempts, Date.now())],
      },
    )
    .to('remediations', { key: string(), value: avro(options.registry, remediationSchema) });
}

function callOptions({ anomaly, timeoutMs, retry }: AlertsOptions) {
  return {
    key: string(),
    value: anomaly,
    order: 'key',
    concurrency: CONCURRENCY,
    maxPending: MAX_PENDING,
    timeoutMs,
    retry,
    deadLetterTopic: DEAD_LETTERS,
  } as const;
}
