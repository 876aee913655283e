/** The alerts on a broker: end to end with exact counts, a service that hangs, and the program killed in between. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import type { Anomaly } from '../../src/apps/alerts/alert.ts';
import { type EmbeddedKafka, startKafka as startEmbedded } from '../../src/embedded/index.ts';
import { AT_CALLS, atRequests, crashing } from '../support/alerts-crashes.ts';
import { AlertsJob } from '../support/alerts-job.ts';
import { anomaly } from '../support/anomalies.ts';
import { startKafka } from '../support/kafka/broker.ts';
import { temporaryFolder } from '../support/programs.ts';
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
  job.receiver.answer = ({ path, body: { service_name: service = '' } }, response) => {
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

test('anomalies sent by the command alert and are remediated; a line that is none is named, and nothing of its file is sent', async () => {
  await job.run('command');
  const folder = temporaryFolder();
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  file('ec2_cpu_utilization_24ae8d.csv', 'timestamp,value\n2014-02-26 22:00:00,1\n2014-02-26 22:05:00,99\n');
  const labels = file('labels.json', '{"ec2_cpu_utilization_24ae8d.csv": ["2014-02-26 22:05:00"]}');
  const lines = file(
    'good',
    '{"service":"file","id":"sent-2","affected_metrics":["m"]}\n\n{"service":"file","severity":"low"}',
  );
  const bad = file('bad', '{"service":"bad"}\n{"service":"bad","anomaly_score":"high"}');
  const single = '--service cli --id sent-1 --severity High --metric cpu --metric io --root-cause leak --remediate';
  const [one, some, labelled, refused] = [
    single.split(' '),
    ['--file', lines],
    ['--from-csv', labels, '--remediate'],
    ['--file', bad],
  ].map((args) => job.start('send-anomaly', {}, args));
  for (const program of [one, some, labelled]) expect(await program!.exited, program!.output()).toBe(0);
  expect(await refused!.exited).toBe(1);
  expect(refused!.output()).toMatch(/bad, line 2: .*anomaly_score/);
  expect(refused!.output()).not.toMatch(/\n\s+at /);

  const sentIds = ['sent-1', 'sent-2', 'ec2_cpu_utilization_24ae8d-2014-02-26T22:05:00.000Z'];
  const sent = () => job.alerts.filter(({ value }) => sentIds.includes(value.id));
  await waitFor(() => sent().length >= 3 && job.remediationIds().length >= 2 && job.webhookIds().length >= 3);
  expect(new Set(job.webhookIds())).toEqual(new Set(sentIds));
  expect(job.remediationIds().sort()).toEqual([sentIds[2], 'sent-1']);
  expect(sent().find(({ key }) => key === 'cli')?.value).toMatchObject({
    severity: 'high',
    message: 'Anomaly detected: cpu, io',
    details: expect.stringContaining('"root_cause":"leak"'),
  });
});

// On the embedded broker the moment that takes most to get right; the others are in anomaly-alerts.kafka.test.ts.
test('killed around its side effects the program loses nothing, and repeats with the same idempotency key', async () => {
  const { marked } = atRequests(broker as EmbeddedKafka);
  await (isApache ? crashing(job, AT_CALLS, 6_000) : crashing(job, { marked }, 200));
});
