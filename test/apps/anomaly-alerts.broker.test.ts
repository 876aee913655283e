/** The alerts on a broker: end to end with exact counts, a service that hangs, and the program killed in between. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import type { Anomaly } from '../../src/apps/alert.ts';
import { type EmbeddedKafka, startKafka as startEmbedded } from '../../src/embedded/index.ts';
import { AT_CALLS, atRequests, crashing } from '../support/alerts-crashes.ts';
import { AlertsJob } from '../support/alerts-job.ts';
import { anomaly } from '../support/anomalies.ts';
import { startKafka } from '../support/kafka/broker.ts';
import { waitFor } from '../support/wait.ts';

const isApache = inject('brokerKind') === 'apache';

let broker: { readonly brokers: string[]; close(): Promise<void> };
let job: AlertsJob;
beforeAll(async () => {
  // One of its own: the programs' topics have fixed names.
  broker = isApache ? await startKafka() : await startEmbedded({ nodes: 2, groupMinSessionTimeoutMs: 100 });
  job = await AlertsJob.open(broker.brokers);
});
afterAll(async () => {
  await job?.close();
  await broker?.close();
});
beforeEach(() => job.begin());
afterEach(() => job.end());

test('each anomaly that asks for it is an alert, a webhook call and a remediation, once; what is refused or bad is a dead letter', async () => {
  await job.send([anomaly({ id: 'before' })]);
  await job.run('end-to-end');
  const busy = new Set<string>();
  job.receiver.answer = ({ path, body: { service_name: service } }, response) => {
    if (path === '/aiops' && service === 'refuses') response.writeHead(422).end('é'.repeat(5_000));
    else if (path === '/aiops' && !busy.has(service)) {
      busy.add(service);
      response.writeHead(429, { 'retry-after': '0' }).end();
    } else response.writeHead(201).end('done');
  };
  const sent = Array.from({ length: 60 }, (_, i) =>
    anomaly({
      id: `e2e-${i}`,
      service: ['accepts', 'refuses', 'other'][i % 3]!,
      severity: ['critical', 'HIGH', 'Medium', 'High', 'low'][i % 5]!,
      is_anomaly: i % 7 !== 0,
      remediation_suggested: i % 2 === 0,
    }),
  );
  const bad = Buffer.from('bad');
  await job.send([...sent.slice(0, 30), bad, ...sent.slice(0, 40), ...sent]);

  const alerting = sent.filter(({ is_anomaly, severity }) => is_anomaly && /critical|high/i.test(severity));
  const suggested = alerting.filter(({ remediation_suggested }) => remediation_suggested);
  const refused = suggested.filter(({ service }) => service === 'refuses');
  await waitFor(() => job.remediations.length >= suggested.length && job.webhookIds().length >= alerting.length);
  await waitFor(() => job.deadLetters.length > refused.length && job.alerts.length >= alerting.length);
  const of = (anomalies: readonly Anomaly[]): string[] => anomalies.map(({ id, service }) => `${id} ${service}`).sort();
  expect(job.alerts.map(({ key, value: { id } }) => `${id} ${key}`).sort()).toEqual(of(alerting));
  expect(job.webhookIds().sort()).toEqual(alerting.map(({ id }) => id).sort());
  expect(job.remediations.map(({ key, value }) => `${key} ${value.service_name}`).sort()).toEqual(of(suggested));
  for (const { value } of job.remediations)
    expect(value).toMatchObject(
      value.service_name === 'refuses'
        ? { status: 'refused', http_status: 422, attempts: 1, response: 'é'.repeat(2_048) }
        : { status: 'accepted', http_status: 201, response: 'done' },
    );
  expect(job.remediations.filter(({ value }) => value.attempts === 2)).toHaveLength(2);
  expect(job.deadLetters).toHaveLength(refused.length + 1);
  expect(job.deadLetters).toContainEqual(bad);
});

test('a service whose calls hang holds up its own: one call at a time and task, while those of others go on', async () => {
  const streams = await job.run('hanging');
  job.receiver.answer = ({ body }, response) => {
    if (body.service !== 'stuck') response.end();
  };
  const of = (service: string, count: number) =>
    Array.from({ length: count }, (_, i) => anomaly({ id: `${service}-${i}`, service, remediation_suggested: false }));
  await job.send(of('stuck', 200));
  await waitFor(() => job.alerts.filter(({ key }) => key === 'stuck').length === 200);
  await job.send(['a', 'b', 'c'].flatMap((service) => of(service, 10)));
  const others = () => job.webhookIds().filter((id) => !id.startsWith('stuck'));
  await waitFor(() => others().length >= 30);
  expect(new Set(others()).size).toBe(30);
  expect(job.webhookIds().length - others().length).toBeLessThanOrEqual(job.partitions);
  expect(streams.state).toBe('RUNNING');
});

// On the embedded broker the moment that takes most to get right; the others are in anomaly-alerts.kafka.test.ts.
test('killed around its side effects the program loses nothing, and repeats with the same idempotency key', async () => {
  const { marked } = atRequests(broker as EmbeddedKafka);
  await (isApache ? crashing(job, AT_CALLS, 6_000) : crashing(job, { marked }, 200));
});
