/** The main job on real Kafka, as processes: equal to an independent computation, and never less after SIGKILL. */
import { Kafka, logLevel, type Producer } from 'kafkajs';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { startKafka, type TestBroker } from '../support/kafka/broker.ts';
import {
  type Aggregated,
  decodeAggregated,
  encodeMetric,
  expectAggregates,
  groupByWindow,
  type Metric,
  random,
  registerSchemas,
} from '../support/metrics.ts';
import { type Program, startProgram, temporaryFolder } from '../support/programs.ts';
import { startTestRegistry, type TestRegistry } from '../support/registry.ts';
import { waitFor } from '../support/wait.ts';

const PARTITIONS = 4;
const BASE = Math.floor(Date.now() / 60_000) * 60_000 - 3_600_000;

let broker: TestBroker;
let registry: TestRegistry;
let kafka: Kafka;
let producer: Producer;
let schemaId: number;
let group = '';
let programs: Program[] = [];

beforeAll(async () => {
  broker = await startKafka();
  registry = await startTestRegistry();
  schemaId = await registerSchemas(registry.url);
  kafka = new Kafka({ brokers: broker.brokers, logLevel: logLevel.NOTHING });
  producer = kafka.producer();
  await producer.connect();
});
afterAll(async () => {
  await producer?.disconnect();
  await registry?.close();
  await broker?.close();
});
beforeEach(async (context) => {
  group = `metrics-aggregation-${context.task.id}`;
  const admin = kafka.admin();
  await admin.connect();
  const topics = ['metrics', 'metrics-aggregated', 'metrics-dlq'];
  const existing = (await admin.listTopics()).filter((topic) => topics.includes(topic));
  if (existing.length > 0) await admin.deleteTopics({ topics: existing });
  await waitFor(async () => (await admin.listTopics()).every((topic) => !topics.includes(topic)));
  await admin.createTopics({
    waitForLeaders: true,
    topics: topics.map((topic) => ({ topic, numPartitions: PARTITIONS, replicationFactor: 1 })),
  });
  await admin.disconnect();
});
afterEach(async () => {
  for (const program of programs) await program.kill('SIGKILL');
  programs = [];
});

function startAggregation(env: Record<string, string> = {}): Program {
  const program = startProgram('aggregation', {
    KAFKA_BROKERS: broker.brokers.join(','),
    SCHEMA_REGISTRY_URL: registry.url,
    APPLICATION_ID: group,
    STATE_DIR: temporaryFolder(),
    COMMIT_INTERVAL_MS: '300',
    ...env,
  });
  programs.push(program);
  return program;
}

/** Out of order within four minutes of event time, over eight minutes: less than the grace. */
function series(count: number, seed: number): Metric[] {
  const next = random(seed);
  return Array.from({ length: count }, (_, i) => ({
    timestamp: BASE + Math.floor(((i / count) * 4 + next() * 4) * 60_000),
    service: `service-${Math.floor(next() * 5)}`,
    metric_name: `metric-${Math.floor(next() * 4)}`,
    value: next() * 1000 - 200,
  }));
}

async function send(metrics: readonly Metric[]): Promise<void> {
  for (let i = 0; i < metrics.length; i += 2000) {
    await producer.send({
      topic: 'metrics',
      messages: metrics.slice(i, i + 2000).map((metric, j) => ({
        // Any partition: the job groups by the value's fields.
        partition: (i + j) % PARTITIONS,
        key: `${metric.service}:${metric.metric_name}`,
        value: encodeMetric(schemaId, metric),
      })),
    });
  }
}

async function waitForLagZero(topics: readonly string[]): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    await waitFor(
      async () => {
        // The repartition topic is not there until the first member has joined.
        const committed = await admin.fetchOffsets({ groupId: group, topics: [...topics] }).catch(() => undefined);
        if (committed === undefined) return false;
        for (const { topic, partitions } of committed) {
          const ends = await admin.fetchTopicOffsets(topic).catch(() => []);
          if (ends.length === 0) return false;
          for (const { partition, high } of ends) {
            const offset = Number(partitions.find((p) => p.partition === partition)?.offset ?? -1);
            if (offset < Number(high) && Number(high) > 0) return false;
          }
        }
        return true;
      },
      90_000,
      'lag 0',
    );
  } finally {
    await admin.disconnect();
  }
}

const repartitionTopic = (): string => `${group}-metric-aggregates-repartition`;

async function readOutputs(): Promise<Aggregated[]> {
  const ends = new Map<number, number>();
  const admin = kafka.admin();
  await admin.connect();
  for (const { partition, high } of await admin.fetchTopicOffsets('metrics-aggregated'))
    ends.set(partition, Number(high));
  await admin.disconnect();
  const total = [...ends.values()].reduce((sum, end) => sum + end, 0);
  const consumer = kafka.consumer({ groupId: `reader-${Math.random()}` });
  await consumer.connect();
  await consumer.subscribe({ topic: 'metrics-aggregated', fromBeginning: true });
  const outputs: Aggregated[] = [];
  await consumer.run({
    eachMessage: async ({ message }) => {
      const output = decodeAggregated(message.value!);
      expect(message.key!.toString()).toBe(output.key);
      outputs.push(output);
    },
  });
  await waitFor(() => outputs.length >= total, 60_000, `${total} outputs`);
  await consumer.disconnect();
  return outputs;
}

test('two processes: the last output of each key and window equals an independent computation', async () => {
  const first = startAggregation();
  const second = startAggregation();
  const metrics = series(20_000, 1);
  await send(metrics);
  await waitForLagZero(['metrics', repartitionTopic()]);
  // Later than any interleaving allows: dropped.
  const late = series(200, 2).map((metric) => ({ ...metric, timestamp: metric.timestamp - 1_800_000 }));
  await send(late);
  await waitForLagZero(['metrics', repartitionTopic()]);
  expectAggregates(await readOutputs(), metrics);
  expect(await first.kill('SIGTERM')).toBe(0);
  expect(await second.kill('SIGTERM')).toBe(0);
  const dropped = [first, second].map((program) =>
    Number(/"droppedRecordsTotal":(\d+)[^\n]*"stopped"/.exec(program.output())?.[1]),
  );
  expect(dropped[0]! + dropped[1]!).toBe(200);
});

test('one of two processes killed with SIGKILL midway, several times: no count is lower', async () => {
  const metrics = series(60_000, 3);
  startAggregation();
  const stateDir = temporaryFolder();
  let victim = startAggregation({ STATE_DIR: stateDir, SESSION_TIMEOUT_MS: '6000' });
  for (let round = 0; round < 3; round++) {
    await send(metrics.slice(round * 20_000, (round + 1) * 20_000));
    await waitFor(() => /"tasks assigned"/.test(victim.output()), 60_000, 'the second process to have tasks');
    await victim.kill('SIGKILL');
    victim = startAggregation({ STATE_DIR: stateDir, SESSION_TIMEOUT_MS: '6000' });
  }
  await waitForLagZero(['metrics', repartitionTopic()]);
  const last = new Map((await readOutputs()).map((output) => [`${output.key}@${output.window_start}`, output]));
  const windows = groupByWindow(metrics);
  expect(new Set(last.keys())).toEqual(new Set(windows.keys()));
  for (const [id, values] of windows) {
    expect(last.get(id)!.count, id).toBeGreaterThanOrEqual(values.length);
    expect(last.get(id)!.min).toBe(Math.min(...values));
    expect(last.get(id)!.max).toBe(Math.max(...values));
  }
});
