/** The alerts' topology in memory: who is told, once, and what is noted of what services say. */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Anomaly, idempotencyKey } from '../../../src/apps/alerts/alert.ts';
import { alertsFromEnvironment, anomalySerde } from '../../../src/apps/alerts/alerts.ts';
import { type AlertsOptions, alertsTopology } from '../../../src/apps/alerts/alerts-topology.ts';
import { HttpError, type HttpPost } from '../../../src/apps/alerts/http-post.ts';
import { avro, bytes, json, type RetryPolicy, SchemaRegistry, string } from '../../../src/index.ts';
import { alertSchema } from '../../../src/schemas/alert.ts';
import { anomalySchema } from '../../../src/schemas/anomaly.ts';
import { remediationSchema } from '../../../src/schemas/remediation.ts';
import { TopologyTestDriver, type TopologyTestDriverOptions } from '../../../src/testing/index.ts';
import { anomaly } from '../../support/anomalies.ts';
import { temporaryFolder } from '../../support/programs.ts';
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = 1_770_000_000_000;

let testRegistry: TestRegistry;
let registry: SchemaRegistry;
let driver: TopologyTestDriver;
beforeAll(async () => {
  testRegistry = await startTestRegistry();
  registry = new SchemaRegistry({ url: testRegistry.url });
});
afterAll(() => testRegistry.close());
afterEach(() => driver?.close());

interface Call {
  readonly body: unknown;
  readonly key: string;
}

/** A service that keeps what is posted to it and answers as told, the last answer for good. */
class Service {
  readonly calls: Call[] = [];
  readonly #answers: (number | Error)[];

  constructor(...answers: (number | Error)[]) {
    this.#answers = answers;
  }

  readonly post: HttpPost = async (body, { idempotencyKey: key }) => {
    this.calls.push({ body, key });
    const answer = (this.#answers.length > 1 ? this.#answers.shift() : this.#answers[0]) ?? 200;
    if (typeof answer === 'number') return { status: answer, text: 'said' };
    throw answer;
  };
}

const refusal = (status: number): HttpError =>
  new HttpError('MILLRACE_APPS_HTTP_STATUS', `answered ${status}`, { retriable: status >= 500, status, text: 'no' });
const unreachable = new HttpError('MILLRACE_APPS_HTTP_UNREACHABLE', 'No answer', { retriable: true });

async function start(
  options: Partial<AlertsOptions> = {},
  driverOptions: TopologyTestDriverOptions = {},
): Promise<{ webhook: Service; aiops: Service; send: (anomaly: Anomaly, writtenMs?: number) => Promise<void> }> {
  const webhook = new Service();
  const aiops = new Service();
  const value = anomalySerde(registry);
  const retry: RetryPolicy = { maxAttempts: 3 };
  driver = await TopologyTestDriver.create(
    alertsTopology({
      registry,
      anomaly: value,
      webhook: webhook.post,
      aiops: aiops.post,
      timeoutMs: 1_000,
      retry,
      ...options,
    }),
    { initialWallClockMs: NOW, ...driverOptions },
  );
  await value.prepareWrite?.('anomalies', 'value');
  const input = driver.inputTopic('anomalies', string(), value);
  return { webhook, aiops, send: (a, writtenMs = NOW) => input.pipeInput('any', a, writtenMs) };
}

const alerts = () => driver.outputTopic('alerts', string(), avro(registry, alertSchema)).readRecords();
const alertedIds = () => alerts().map(({ value }) => value?.id);
const remediations = () =>
  driver.outputTopic('remediations', string(), avro(registry, remediationSchema)).readRecords();
const deadLetters = () =>
  driver
    .outputTopic('anomalies-dlq', bytes(), bytes())
    .readRecords()
    .map(({ value, headers }) => ({
      value,
      headers: Object.fromEntries(headers.map(({ key, value: text }) => [key.split('.').at(-1), String(text)])),
    }));

test('an anomaly becomes an alert by its service, a webhook call and a remediation', async () => {
  const { webhook, aiops, send } = await start();
  const a = anomaly({ severity: 'Critical', timestamp: NOW - 5_000, root_cause: 'a "leak"' });
  await send(a);
  const alert = {
    type: 'anomaly',
    severity: 'critical',
    service: 'checkout',
    message: 'Anomaly detected: cpu, latency',
  };
  expect(alerts()).toEqual([
    {
      key: 'checkout',
      value: { id: 'a-1', ...alert, details: JSON.stringify(a), timestamp: NOW - 5_000 },
      timestamp: NOW - 5_000,
      headers: [],
    },
  ]);
  expect(webhook.calls).toEqual([{ key: 'alert-a-1', body: { ...alert, details: a } }]);
  expect(aiops.calls).toEqual([
    {
      key: 'remediation-a-1',
      body: {
        incident_id: 'a-1',
        service_name: 'checkout',
        issue_type: 'anomaly',
        severity: 'critical',
        auto_execute: true,
      },
    },
  ]);
  expect(remediations().map(({ key, value }) => [key, value])).toEqual([
    [
      'a-1',
      {
        incident_id: 'a-1',
        service_name: 'checkout',
        issue_type: 'anomaly',
        severity: 'critical',
        status: 'accepted',
        http_status: 200,
        attempts: 1,
        response: 'said',
        timestamp: expect.any(Number),
      },
    ],
  ]);
  expect(deadLetters()).toEqual([]);
});

test('severity critical and high alert in whatever letter case, others and what is no anomaly do not', async () => {
  const { webhook, aiops, send } = await start();
  const severities = ['critical', 'CRITICAL', 'CriTicaL', 'high', 'HIGH', 'medium', 'LOW', 'info', '', 'critical '];
  for (const severity of severities) await send(anomaly({ id: severity, severity }));
  await send(anomaly({ id: 'none', is_anomaly: false }));
  const alerting = severities.slice(0, 5);
  const sent = alerts();
  expect(sent.map(({ value }) => value?.id)).toEqual(alerting);
  expect(sent.map(({ value }) => value?.severity)).toEqual(['critical', 'critical', 'critical', 'high', 'high']);
  expect([webhook.calls.length, aiops.calls.length]).toEqual([5, 5]);
});

test('without a webhook, and without a suggestion, the alert is written and nobody is called', async () => {
  const { webhook, aiops, send } = await start({ webhook: undefined });
  await send(anomaly({ remediation_suggested: false }));
  expect(alertedIds()).toEqual(['a-1']);
  expect([webhook.calls, aiops.calls, remediations()]).toEqual([[], [], []]);
});

describe('the same id', () => {
  test('within a day alerts and remediates once, whatever else is different', async () => {
    const { webhook, aiops, send } = await start();
    await send(anomaly());
    await send(anomaly());
    await send(anomaly({ timestamp: NOW + DAY - 1, severity: 'high' }));
    await send(anomaly({ timestamp: NOW - DAY + 1, service: 'other' }));
    await send(anomaly({ id: 'a-2' }));
    expect(alertedIds()).toEqual(['a-1', 'a-2']);
    expect([webhook.calls.length, aiops.calls.length, remediations().length]).toEqual([2, 2, 2]);
  });

  test('alerts again a day later, with the same idempotency key', async () => {
    const { webhook, send } = await start();
    await send(anomaly());
    await send(anomaly({ timestamp: NOW + DAY }));
    await send(anomaly({ timestamp: NOW + DAY + HOUR }));
    await send(anomaly({ timestamp: NOW + 2 * DAY }));
    expect(alertedIds()).toHaveLength(3);
    expect(new Set(webhook.calls.map(({ key }) => key)).size).toBe(1);
  });

  test('passes where none that passed is within a day of it, in whatever order they come', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ id: fc.constantFrom('x', 'y'), hour: fc.integer({ min: -100, max: 100 }) }), {
          maxLength: 30,
        }),
        async (seen) => {
          await driver?.close();
          const { send } = await start({ webhook: undefined });
          const passed: { id: string; hour: number }[] = [];
          for (const one of seen) {
            await send(anomaly({ id: one.id, timestamp: NOW + one.hour * HOUR, remediation_suggested: false }));
            if (!passed.some(({ id, hour }) => id === one.id && Math.abs(hour - one.hour) < 24)) passed.push(one);
          }
          expect(alerts().map(({ value }) => [value!.id, value!.timestamp])).toEqual(
            passed.map(({ id, hour }) => [id, NOW + hour * HOUR]),
          );
        },
      ),
      { numRuns: 30 },
    );
  });

  test('is remembered over two days of the wall clock, and then forgotten', async () => {
    const { send } = await start();
    await send(anomaly());
    await driver.advanceWallClockTime(2 * DAY);
    await send(anomaly());
    expect(alertedIds()).toHaveLength(1);
    await driver.advanceWallClockTime(DAY);
    await send(anomaly());
    expect(alertedIds()).toHaveLength(1);
    for (let day = 0; day < 10; day++) {
      await driver.advanceWallClockTime(DAY);
      await send(anomaly({ id: `day-${day}`, timestamp: NOW + day * DAY }));
    }
    const kept: string[] = [];
    for await (const [{ key }] of driver.windowStore<string, unknown>('alerted-ids').all()) kept.push(key);
    expect(kept).not.toContain('a-1');
    expect(kept.length).toBeLessThan(7);
  });

  test('is remembered beside one from the far future, and for anomalies of the past', async () => {
    const { send } = await start();
    await send(anomaly({ id: 'future', timestamp: NOW + 100_000 * DAY }));
    await send(anomaly());
    await send(anomaly());
    await send(anomaly({ id: 'past', timestamp: 1_000 }));
    await send(anomaly({ id: 'past', timestamp: 2_000 }));
    expect(alertedIds()).toEqual(['future', 'a-1', 'past']);
  });

  test('is remembered where the wall clock was set back', async () => {
    const { send } = await start();
    await driver.advanceWallClockTime(DAY);
    await send(anomaly());
    await driver.advanceWallClockTime(-DAY);
    await send(anomaly());
    await send(anomaly({ id: 'a-2' }));
    await send(anomaly({ id: 'a-2' }));
    expect(alertedIds()).toEqual(['a-1', 'a-2']);
  });

  test('is no repetition where a crash left its mark and nothing else: the record is read again', async () => {
    const stateDir = temporaryFolder();
    const before = await start({}, { stateDir });
    await before.send(anomaly());
    await driver.commit();
    await driver.close();
    // The state is that after the record, its position that before: the driver begins at offset 0.
    const { webhook, send } = await start({}, { stateDir });
    await send(anomaly());
    expect(alertedIds()).toEqual(['a-1']);
    await send(anomaly());
    expect(alertedIds()).toEqual([]);
    expect([...before.webhook.calls, ...webhook.calls].map(({ key }) => key)).toEqual(['alert-a-1', 'alert-a-1']);
  });
});

describe('what a service says', () => {
  test.each([
    ['a refusal', [refusal(404)], { status: 'refused', http_status: 404, attempts: 1, response: 'no' }],
    ['a redirect', [refusal(301)], { status: 'refused', http_status: 301, attempts: 1, response: 'no' }],
    ['errors for good', [refusal(503)], { status: 'failed', http_status: 503, attempts: 3, response: 'no' }],
    ['no answer for good', [unreachable], { status: 'failed', http_status: null, attempts: 3, response: null }],
    [
      'an error that passes',
      [refusal(500), unreachable, 202],
      { status: 'accepted', http_status: 202, attempts: 3, response: 'said' },
    ],
  ] as const)('%s is noted in remediations', async (_what, answers, outcome) => {
    const aiops = new Service(...answers);
    const { send } = await start({ aiops: aiops.post });
    await send(anomaly());
    expect(remediations().map(({ value }) => value)).toEqual([expect.objectContaining(outcome)]);
    expect(aiops.calls.map(({ key }) => key)).toEqual(Array(outcome.attempts).fill('remediation-a-1'));
    const dead = deadLetters().map(({ headers }) => headers['attempts']);
    expect(dead).toEqual(outcome.status === 'accepted' ? [] : [String(outcome.attempts)]);
  });

  test('a call that takes too long is tried again, and has failed for good at last', async () => {
    const hangs: HttpPost = (_body, { signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const { send } = await start({ aiops: hangs, timeoutMs: 10 });
    await send(anomaly());
    expect(remediations().map(({ value }) => value)).toMatchObject([
      { status: 'failed', http_status: null, attempts: 3, response: null },
    ]);
  });

  test('a webhook that refuses: the anomaly is a dead letter as it came, and the next one is called for', async () => {
    const webhook = new Service(refusal(410), 200);
    const { send } = await start({ webhook: webhook.post });
    await send(anomaly());
    await send(anomaly({ id: 'a-2' }));
    const dead = deadLetters();
    const [first] = driver.produced.filter(({ topic }) => topic === 'test-anomalies-by-id-repartition');
    expect(dead).toEqual([{ value: first!.value, headers: expect.objectContaining({ attempts: '1' }) }]);
    expect(dead[0]!.headers['message']).toContain('alert-webhook');
    expect(alertedIds()).toEqual(['a-1', 'a-2']);
    expect(remediations().map(({ key }) => key)).toEqual(['a-1', 'a-2']);
    expect(webhook.calls.map(({ key }) => key)).toEqual(['alert-a-1', 'alert-a-2']);
  });
});

describe('anomalies in JSON', () => {
  const pipe = (value: object): Promise<void> =>
    driver.inputTopic('anomalies', string(), json<object>()).pipeInput('any', value, NOW);

  test('alert like those in Avro, and are one with them by the id', async () => {
    const { webhook, send } = await start();
    const a = anomaly({ timestamp: NOW });
    await pipe(a);
    await send(a);
    expect(alerts().map(({ value }) => value?.details)).toEqual([JSON.stringify(a)]);
    expect(webhook.calls).toHaveLength(1);
  });

  test('may lack the time, and what has a default', async () => {
    const { webhook } = await start();
    const { timestamp: _time, root_cause: _cause, remediation_suggested: _suggested, ...rest } = anomaly();
    await pipe(rest);
    const details = { ...rest, timestamp: NOW, root_cause: null, remediation_suggested: false };
    expect(webhook.calls).toMatchObject([{ body: { details } }]);
    expect(remediations()).toEqual([]);
  });

  test('of another shape are dead letters, and so are those that a service refuses: as they came', async () => {
    const webhook = new Service(refusal(400));
    await start({ webhook: webhook.post });
    const shapeless = { ...anomaly(), timestamp: 'yesterday' };
    await pipe(shapeless);
    await pipe(anomaly());
    const dead = deadLetters().map(({ value }) => JSON.parse(String(value)));
    expect(dead).toEqual([shapeless, anomaly()]);
  });
});

describe('what is no anomaly that could be handled', () => {
  test('bytes that cannot be read are a dead letter as they came, and the next anomaly alerts', async () => {
    const { send } = await start();
    const bad = Buffer.from('nothing to be read');
    await driver.inputTopic('anomalies', bytes(), bytes()).pipeInput(null, bad, NOW);
    await send(anomaly());
    expect(deadLetters()).toEqual([{ value: bad, headers: expect.objectContaining({ topic: 'anomalies' }) }]);
    expect(alertedIds()).toEqual(['a-1']);
  });

  test.each([
    ['without an id', { id: '' }, 'without an id'],
    ['too long to be handed on', { affected_metrics: ['x'.repeat(70_000)] }, 'characters'],
  ])('one %s is a dead letter, and the next anomaly alerts', async (_what, fields, message) => {
    const { send } = await start();
    await send(anomaly(fields));
    await send(anomaly());
    const dead = deadLetters();
    expect(dead.map(({ headers }) => headers['message'])).toEqual([expect.stringContaining(message)]);
    expect(alertedIds()).toEqual(['a-1']);
  });

  test('the largest that is handed on stays below what brokers take, whatever its characters', async () => {
    const { send } = await start();
    await send(anomaly({ root_cause: '\u0000'.repeat(60_000) }));
    expect(alertedIds()).toEqual(['a-1']);
    for (const { topic, value } of driver.produced)
      expect([topic, (value?.length ?? 0) < 1_000_000]).toEqual([topic, true]);
  });

  test('a key that is no text, or none, is no reason not to alert', async () => {
    await start();
    const input = driver.inputTopic('anomalies', bytes(), avro(registry, anomalySchema));
    await input.pipeInput(Buffer.from([0xff, 0xfe]), anomaly(), NOW);
    await input.pipeInput(null, anomaly({ id: 'a-2' }), NOW);
    expect(alertedIds()).toEqual(['a-1', 'a-2']);
  });
});

test('an anomaly without a time has its record’s; one of the future is written with its record’s', async () => {
  const { send } = await start();
  await send(anomaly({ timestamp: 0 }), NOW - 7);
  await send(anomaly({ id: 'a-2', timestamp: -1 }), NOW - 6);
  await send(anomaly({ id: 'a-3', timestamp: NOW + DAY }), NOW - 5);
  expect(alerts().map(({ value, timestamp }) => [value?.timestamp, timestamp])).toEqual([
    [NOW - 7, NOW - 7],
    [NOW - 6, NOW - 6],
    [NOW + DAY, NOW - 5],
  ]);
});

test('an idempotency key is what a header can hold, another for each id and errand', () => {
  const ids = ['a', 'A', 'a b', 'ä', 'a\nb', 'x'.repeat(5_000), 'x'.repeat(5_001), ''];
  const keys = ids.flatMap((id) =>
    (['alert', 'remediation'] as const).map((errand) => idempotencyKey(errand, anomaly({ id }))),
  );
  expect(new Set(keys).size).toBe(keys.length);
  for (const key of keys) expect(key).toMatch(/^[\w.:-]{1,120}$/);
});

test.each(['ALERT_WEBHOOK_URL', 'AIOPS_URL'])('%s that is no http address is named, and not quoted', (name) => {
  for (const address of ['secret-host', 'ftp://user:secret@host/'])
    expect(() => alertsFromEnvironment({ [name]: address }, registry)).toThrow(
      `${name} must be an http or https address.`,
    );
  expect(() => alertsFromEnvironment({ [name]: 'HTTPS://user:secret@host/', HTTP_TIMEOUT_MS: '0' }, registry)).toThrow(
    'HTTP_TIMEOUT_MS',
  );
});
