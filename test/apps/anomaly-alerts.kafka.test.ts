/**
 * The alerts program killed with SIGKILL at every moment that matters. On the embedded broker, which can be stopped at a
 * request; on Apache Kafka by anomaly-alerts.broker.test.ts.
 */
import { afterAll, afterEach, beforeAll, beforeEach, test } from 'vitest';
import { type EmbeddedKafka, startKafka } from '../../src/embedded/index.ts';
import { AT_CALLS, atRequests, crashing } from '../support/alerts-crashes.ts';
import { AlertsJob } from '../support/alerts-job.ts';

let kafka: EmbeddedKafka;
let job: AlertsJob;
beforeAll(async () => {
  kafka = await startKafka({ nodes: 2, groupMinSessionTimeoutMs: 100 });
  job = await AlertsJob.open(kafka.brokers);
});
afterAll(async () => {
  await job?.close();
  await kafka?.close();
});
beforeEach(() => job.begin());
afterEach(() => job.end());

test('killed around each side effect, twice, it loses nothing, and what it repeats has the same idempotency key', async () => {
  const moments = Object.entries({ ...AT_CALLS, ...atRequests(kafka) });
  const twice = [1, 2].flatMap((round) => moments.map(([moment, crash]) => [`${moment} ${round}`, crash] as const));
  await crashing(job, Object.fromEntries(twice), 200);
});
