/** What a user reads when something is wrong at the start, and what happens to records that cannot be read. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import { startKafka as startEmbedded } from '../../src/embedded/index.ts';
import { freePort } from '../support/free-port.ts';
import { startKafka } from '../support/kafka/broker.ts';
import { encodeMetric, registerSchemas } from '../support/metrics.ts';
import { type Program, startProgram, temporaryFolder } from '../support/programs.ts';
import { startTestRegistry, type TestRegistry } from '../support/registry.ts';
import { waitFor } from '../support/wait.ts';

let broker: { readonly brokers: string[]; close(): Promise<void> };
let registry: TestRegistry;
let programs: Program[] = [];

beforeAll(async () => {
  // One of its own: some of the topics must be missing at first.
  broker = inject('brokerKind') === 'apache' ? await startKafka() : await startEmbedded();
  registry = await startTestRegistry();
});
afterAll(async () => {
  await registry?.close();
  await broker?.close();
});
afterEach(async () => {
  for (const program of programs) await program.kill('SIGKILL');
  programs = [];
});

function run(app: string, env: Record<string, string> = {}, args: string[] = []): Program {
  const program = startProgram(
    app,
    {
      KAFKA_BROKERS: broker.brokers.join(','),
      SCHEMA_REGISTRY_URL: registry.url,
      STATE_DIR: temporaryFolder(),
      COMMIT_INTERVAL_MS: '200',
      ...env,
    },
    args,
  );
  programs.push(program);
  return program;
}

test.each(['aggregation', 'host-metrics'])(
  '%s with no broker at the address: names it and the variable, within 15 s, without a stack trace',
  async (app) => {
    const address = `127.0.0.1:${await freePort()}`;
    const started = Date.now();
    const program = run(app, { KAFKA_BROKERS: address });
    expect(await program.exited).toBe(1);
    // The default suite runs files side by side: time is told only where the machine is this test's alone.
    if (inject('brokerKind') === 'apache') expect(Date.now() - started).toBeLessThan(15_000);
    const last = program.output().trim().split('\n').at(-1)!;
    expect(last).toContain(address);
    expect(last).toContain('KAFKA_BROKERS');
    expect(program.output()).not.toMatch(/\n\s+at /);
  },
);

test('a topic that is missing is named', async () => {
  const program = run('aggregation');
  expect(await program.exited).toBe(1);
  expect(program.output()).toContain('Topic metrics');
  expect(program.output()).toContain('does not exist');
});

test('what cannot be read goes to metrics-dlq untouched; a state directory in use is named; host-metrics and a CSV come through', async () => {
  const kafka = new Kafka({ brokers: broker.brokers, logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({
    waitForLeaders: true,
    topics: ['metrics', 'metrics-aggregated', 'metrics-dlq'].map((topic) => ({ topic, numPartitions: 2 })),
  });
  await admin.disconnect();
  const schemaId = await registerSchemas(registry.url);
  const stateDir = temporaryFolder();
  const aggregation = run('aggregation', { STATE_DIR: stateDir });
  await waitFor(() => /"RUNNING"/.test(aggregation.output()), 30_000, 'RUNNING');
  const second = run('aggregation', { STATE_DIR: stateDir });
  expect(await second.exited).toBe(1);
  expect(second.output()).toContain('STATE_DIR');

  const producer = kafka.producer();
  await producer.connect();
  const good = encodeMetric(schemaId, { timestamp: Date.now(), service: 's', metric_name: 'm', value: 1 });
  const infinite = encodeMetric(schemaId, {
    timestamp: Date.now(),
    service: 's',
    metric_name: 'm',
    value: Number.POSITIVE_INFINITY,
  });
  const bad = [
    Buffer.from([0, 0, 0, 0x30, 0x39, 1, 2]),
    good.subarray(0, good.length - 4),
    Buffer.from('{"not":"avro"}'),
  ];
  await producer.send({
    topic: 'metrics',
    messages: [
      ...bad.map((value) => ({ key: 'k', value })),
      { key: 'k', value: null },
      { key: 'k', value: infinite },
      { key: null, value: good },
    ],
  });
  await producer.disconnect();

  const csv = join(temporaryFolder(), 'series.csv');
  writeFileSync(csv, 'timestamp,value\n2014-02-14 14:30:00,1.5\n2014-02-14 14:30:05,2.5\n2014-02-14 14:30:10,3.5\n');
  const replay = run('host-metrics', {}, ['--csv', csv, '--service', 'csv', '--metric', 'm', '--as-fast-as-possible']);
  expect(await replay.exited).toBe(0);
  const host = run('host-metrics');
  const seen = new Map<string, { topic: string; value: Buffer; headers: Record<string, unknown> }[]>();
  const consumer = kafka.consumer({ groupId: 'reader' });
  await consumer.connect();
  await consumer.subscribe({ topics: ['metrics-aggregated', 'metrics-dlq'], fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ topic, message }) => {
      const key = topic === 'metrics-dlq' ? topic : String(message.key);
      seen.set(key, [...(seen.get(key) ?? []), { topic, value: message.value!, headers: message.headers ?? {} }]);
    },
  });
  await waitFor(
    () =>
      seen.has('host:cpu') &&
      seen.has('host:memory') &&
      seen.has('csv:m') &&
      seen.has('s:m') &&
      (seen.get('metrics-dlq')?.length ?? 0) >= 3,
    60_000,
    `outputs, so far ${[...seen.keys()]}`,
  );
  expect(await host.kill('SIGTERM')).toBe(0);
  const dead = seen.get('metrics-dlq')!;
  expect(dead.map(({ value }) => value.toString('hex')).sort()).toEqual(
    bad.map((value) => value.toString('hex')).sort(),
  );
  for (const { headers } of dead) {
    expect(Object.keys(headers).sort()).toEqual(
      [
        '__millrace.errors.attempts',
        ...['exception', 'message', 'offset', 'partition', 'stacktrace', 'topic'].map(
          (name) => `__streams.errors.${name}`,
        ),
      ].sort(),
    );
    expect(String(headers['__streams.errors.topic'])).toBe('metrics');
  }
  await consumer.disconnect();
  expect(await aggregation.kill('SIGTERM')).toBe(0);
  const summary = aggregation
    .output()
    .split('\n')
    .filter((line) => line.includes('"stopped"'))
    .at(-1)!;
  expect(JSON.parse(summary)).toMatchObject({ droppedByReason: { deserialization: 3, 'null-value': 1 } });
});
