/** Every program at once, as users have them, on Apache Kafka, PostgreSQL and a real registry. */
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import { KafkaProducerService } from '../../src/index.ts';
import { KafkaCluster } from '../../src/kafka/index.ts';
import { type Receiver, startReceiver } from '../support/anomalies.ts';
import { type RealRegistry, startApicurio } from '../support/apicurio.ts';
import { decode, readTopic } from '../support/kafkajs-reader.ts';
import { createDatabase, hasPostgres, query } from '../support/postgres/postgres.ts';
import { type Program, startProgram, temporaryFolder } from '../support/programs.ts';
import { newTopics } from '../support/topics.ts';
import { waitFor } from '../support/wait.ts';

const TOPICS = ['metrics', 'metrics-aggregated', 'metrics-dlq', 'anomalies', 'anomalies-dlq', 'alerts', 'remediations'];
const SERVICES = 3;
const METRICS = 300;
const MINUTE = Math.floor(Date.now() / 60_000) * 60_000 - 600_000;

const brokers = inject('brokers');
const programs: Program[] = [];
let registry: RealRegistry;
let receiver: Receiver;
let env: Record<string, string>;

beforeAll(async () => {
  registry = await startApicurio();
  receiver = await startReceiver();
  env = { KAFKA_BROKERS: brokers.join(), SCHEMA_REGISTRY_URL: registry.url, LOG_LEVEL: 'info' };
});
afterEach(async () => {
  for (const program of programs.splice(0)) await program.kill('SIGKILL');
});
afterAll(async () => {
  await receiver?.close();
  await registry?.close();
});

function run(app: string, more: Readonly<Record<string, string>> = {}, args: readonly string[] = []): Program {
  const program = startProgram(app, { ...env, STATE_DIR: temporaryFolder(), ...more }, args);
  programs.push(program);
  return program;
}

async function remakeTopics(): Promise<void> {
  const cluster = new KafkaCluster({ kafka: { brokers } });
  await cluster.connect();
  await cluster.refresh(TOPICS);
  const missing = TOPICS.filter((topic) => cluster.partitionCount(topic) === 0);
  await newTopics(cluster, missing, 3);
  await cluster.close();
}

test.skipIf(!hasPostgres)(
  'metrics are aggregated and stored, an anomaly is an alert, a webhook call and a remediation',
  async () => {
    await remakeTopics();
    const database = await createDatabase();
    const id = `platform-${Date.now()}`;
    const { url, calls } = receiver;
    const register = run('../ops/register-schemas');
    expect(await register.exited, register.output()).toBe(0);
    const running = [
      run('aggregation', { APPLICATION_ID: `${id}-aggregation`, COMMIT_INTERVAL_MS: '300' }),
      run('metrics-sink', { APPLICATION_ID: `${id}-sink`, DATABASE_URL: database, BATCH_MAX_WAIT_MS: '300' }),
      run('anomaly-alerts', {
        APPLICATION_ID: `${id}-alerts`,
        ALERT_WEBHOOK_URL: `${url}/hook`,
        AIOPS_URL: `${url}/aiops`,
      }),
    ];
    for (const program of running)
      await waitFor(() => /"RUNNING"/.test(program.output()), 60_000, 'RUNNING').catch((error: unknown) => {
        throw new Error(`${error}: ${program.output()}`);
      });

    const producer = new KafkaProducerService({ kafka: { brokers }, registry: { url: registry.url } });
    await producer.connect();
    const service = (i: number): string => `${id}-${i % SERVICES}`;
    await producer.sendBatch(
      Array.from({ length: METRICS }, (_, i) => ({
        metric: { service: service(i), metricName: 'latency', value: i, timestamp: MINUTE + i, environment: 'test' },
      })),
    );
    await producer.disconnect();
    const sent = run('send-anomaly', {}, ['--service', service(0), '--id', id, '--metric', 'latency', '--remediate']);
    expect(await sent.exited, sent.output()).toBe(0);

    const stored = async (): Promise<number> =>
      Number((await query(database, 'SELECT count(DISTINCT value) FROM metrics'))[0]!['count']);
    await waitFor(async () => (await stored()) === METRICS, 60_000, 'the rows');
    expect((await query(database, 'SELECT count(*) FROM metrics'))[0]!['count']).toBe(String(METRICS));

    await waitFor(async () => {
      const read = await readTopic(brokers, 'metrics-aggregated', 1);
      const rows = (await Promise.all(read.map(({ value }) => decode(registry.url, value)))) as Record<
        string,
        unknown
      >[];
      const mine = rows.filter(({ key }) => String(key).startsWith(id) && String(key).endsWith(':latency'));
      const last = new Map(mine.map((row) => [row['key'], row]));
      return last.size === SERVICES && [...last.values()].every(({ count }) => count === METRICS / SERVICES);
    });

    await waitFor(() => calls.length >= 2, 30_000, 'the calls');
    const read = async (topic: string) => {
      const messages = await readTopic(brokers, topic, 1);
      const values = await Promise.all(messages.map(({ value }) => decode(registry.url, value)));
      return values as Record<string, unknown>[];
    };
    expect((await read('alerts')).filter((alert) => alert['id'] === id)).toMatchObject([
      { type: 'anomaly', severity: 'critical', service: service(0), message: 'Anomaly detected: latency' },
    ]);
    expect((await read('remediations')).filter(({ incident_id }) => incident_id === id)).toMatchObject([
      { status: 'accepted', http_status: 200, attempts: 1, response: 'done' },
    ]);
    expect(calls.map(({ path, body }) => [path, body.incident_id ?? body.details?.id]).sort()).toEqual([
      ['/aiops', id],
      ['/hook', id],
    ]);
    for (const program of running) expect(await program.kill('SIGTERM'), program.output()).toBe(0);
  },
);
