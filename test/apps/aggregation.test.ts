/** The main job on the embedded broker, as processes. */
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { type EmbeddedKafka, startKafka } from '../../src/embedded/index.ts';
import { AggregationJob } from '../support/aggregation-job.ts';
import { aggregationSuite } from '../support/aggregation-suite.ts';

const SESSION_MS = 1_500;

let kafka: EmbeddedKafka;
let job: AggregationJob;
beforeAll(async () => {
  kafka = await startKafka({ groupMinSessionTimeoutMs: 1_000 });
  job = await AggregationJob.open({ kafka: { brokers: kafka.brokers } });
});
afterAll(async () => {
  await job?.close();
  await kafka?.close();
});
beforeEach((context) => job.reset(`metrics-aggregation-${context.task.id}`));
afterEach(() => job.killPrograms());

aggregationSuite(() => job, SESSION_MS);
