/** The runtime on the newest Kafka, on three brokers that are stopped in turn, and with a wrong password. */
import { readFileSync } from 'node:fs';
import { Kafka, type KafkaConfig, logLevel } from 'kafkajs';
import { afterEach, expect, test } from 'vitest';
import { KafkaStreams, long, StreamsBuilder, string } from '../../src/index.ts';
import { KafkaCluster } from '../../src/kafka/index.ts';
import { type BrokerOptions, NEWEST_KAFKA_VERSION, startKafka, type TestBroker } from '../support/kafka/broker.ts';
import { temporaryFolder } from '../support/programs.ts';
import { newTopics } from '../support/topics.ts';
import { waitFor } from '../support/wait.ts';

let broker: TestBroker | undefined;
let streams: KafkaStreams | undefined;
afterEach(async () => {
  await streams?.close();
  await broker?.close();
});

const KEYS = 20;

/** Counts by a new key, through a repartition topic. */
function counting() {
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: string(), value: string() })
    .groupBy((_key, value) => value, { key: string(), value: string() })
    .count({ name: 'counts' })
    .toStream()
    .to('out', { key: string(), value: long() });
  return builder.build();
}

async function start(options: BrokerOptions, config: (broker: TestBroker) => KafkaConfig, replicationFactor = 1) {
  broker = await startKafka(options);
  const kafkaConfig = { ...config(broker), logLevel: logLevel.NOTHING };
  const kafka = new Kafka(kafkaConfig);
  const admin = new KafkaCluster({ kafka: kafkaConfig });
  await admin.connect();
  await newTopics(admin, ['in', 'out'], 3, replicationFactor);
  await admin.close();
  let failure: Error | undefined;
  streams = new KafkaStreams(counting(), {
    applicationId: 'counting',
    kafka: kafkaConfig,
    stateDir: temporaryFolder(),
    commitIntervalMs: 200,
    replicationFactor,
  });
  streams.setUncaughtErrorHandler((error) => {
    failure = error;
    return 'shutdown-client';
  });
  await streams.start();
  await waitFor(() => streams!.state === 'RUNNING', 60_000, 'RUNNING');
  return { kafka, failure: () => failure };
}

async function send(kafka: Kafka, count: number): Promise<void> {
  const producer = kafka.producer({ retry: { retries: 30 } });
  await producer.connect();
  for (let i = 0; i < count; i += 100) {
    await producer.send({
      topic: 'in',
      acks: -1,
      messages: Array.from({ length: 100 }, (_, j) => ({ key: String(j), value: `v${(i + j) % KEYS}` })),
    });
  }
  await producer.disconnect();
}

/** Reads `out` until the counts add up to at least `expected`. */
async function counted(kafka: Kafka, expected: number): Promise<Map<string, number>> {
  const consumer = kafka.consumer({ groupId: `reader-${Math.random()}` });
  await consumer.connect();
  await consumer.subscribe({ topic: 'out', fromBeginning: true });
  const counts = new Map<string, number>();
  await consumer.run({
    eachMessage: async ({ message }) => void counts.set(String(message.key), Number(message.value!.readBigInt64BE())),
  });
  const sum = (): number => [...counts.values()].reduce((a, b) => a + b, 0);
  await waitFor(() => sum() >= expected, 90_000, `${expected} counted, ${sum()} so far`);
  await consumer.disconnect();
  return counts;
}

test('the newest Kafka', async () => {
  const { kafka } = await start({ version: NEWEST_KAFKA_VERSION }, ({ brokers }) => ({ brokers }));
  await send(kafka, 2000);
  expect([...(await counted(kafka, 2000)).values()]).toEqual(Array(KEYS).fill(100));
});

test('SASL_SSL with SCRAM; a wrong password is said at start', async () => {
  const saslSsl = { user: 'alice', password: 'secret-of-alice' };
  const config =
    (password: string) =>
    (b: TestBroker): KafkaConfig => ({
      brokers: b.brokers,
      ssl: { ca: [readFileSync(b.caFile!, 'utf8')] },
      sasl: { mechanism: 'scram-sha-256', username: saslSsl.user, password },
    });
  const { kafka } = await start({ saslSsl }, config(saslSsl.password));
  await send(kafka, 1000);
  expect([...(await counted(kafka, 1000)).values()]).toEqual(Array(KEYS).fill(50));
  const stranger = new KafkaStreams(counting(), {
    applicationId: 'stranger',
    kafka: config('wrong')(broker!),
    stateDir: temporaryFolder(),
  });
  const error = await stranger.start().catch((e: unknown) => e);
  expect(error).toMatchObject({ code: 'MILLRACE_KAFKA_AUTHENTICATION' });
  expect(String(error)).not.toContain('wrong ');
});

test('three brokers with replication 3, each stopped and started in turn: nothing is lost', async () => {
  const { kafka, failure } = await start(
    { nodes: 3, properties: { 'min.insync.replicas': '2' } },
    ({ brokers }) => ({ brokers }),
    3,
  );
  let sent = 0;
  for (let node = 0; node < 3; node++) {
    await broker!.stopNode(node);
    await send(kafka, 1000);
    sent += 1000;
    await broker!.startNode(node);
    await send(kafka, 500);
    sent += 500;
  }
  const counts = await counted(kafka, sent);
  expect(failure()).toBeUndefined();
  // At least once: a commit that was lost with its broker is repeated.
  for (const count of counts.values()) expect(count).toBeGreaterThanOrEqual(sent / KEYS);
});
