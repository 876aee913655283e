/** What an assignment follows: topics that come, grow and go, and members of other topologies in the group. */
import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { test as anyTest, expect, inject } from 'vitest';
import type { EmbeddedKafka } from '../../src/embedded/index.ts';
import { avro, SchemaRegistry, StreamsBuilder, string, TimeWindows, type Topology } from '../../src/index.ts';
import { startTestRegistry } from '../support/registry.ts';
import { closeLater, ownKafka, produce, runStreams, warnings, watch } from '../support/streams.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

function collecting(topics: string | readonly string[] | RegExp, seen: string[]): Topology {
  const builder = new StreamsBuilder();
  builder.stream(topics, { key: string(), value: string() }).forEach((_key, value) => void seen.push(value));
  return builder.build();
}

async function withAdmin<T>(kafka: EmbeddedKafka, work: (admin: ReturnType<Kafka['admin']>) => Promise<T>): Promise<T> {
  const admin = new Kafka({ brokers: kafka.brokers, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

const options = () => ({ applicationId: `app-${randomUUID()}`, metadataMaxAgeMs: 200 });

test('a topic that is new under a pattern is read without a restart', async () => {
  const kafka = await ownKafka({ topics: ['p-1'] });
  const seen: string[] = [];
  await runStreams(kafka.brokers, collecting(/^p-\d$/, seen), options());
  kafka.createTopics('p-2');
  await produce(kafka.brokers, 'p-2', [{ value: 'new' }]);
  await waitFor(() => seen.includes('new'));
});

test('a topic that grows beside a larger one is read without a restart', async () => {
  const kafka = await ownKafka({
    topics: [
      { topic: 'large', partitions: 4 },
      { topic: 'small', partitions: 2 },
    ],
  });
  const seen: string[] = [];
  await runStreams(kafka.brokers, collecting(['large', 'small'], seen), options());
  await withAdmin(kafka, (admin) => admin.createPartitions({ topicPartitions: [{ topic: 'small', count: 3 }] }));
  await produce(kafka.brokers, 'small', [{ value: 'third', partition: 2 }]);
  await waitFor(() => seen.includes('third'));
});

test('a topic of a pattern that is deleted does not stop the others', async () => {
  const kafka = await ownKafka({ topics: ['p-1', 'p-2'] });
  const seen: string[] = [];
  const streams = await runStreams(kafka.brokers, collecting(/^p-\d$/, seen), options());
  await produce(kafka.brokers, 'p-1', [{ value: 'before' }]);
  await produce(kafka.brokers, 'p-2', [{ value: 'before' }]);
  await waitFor(() => seen.length === 2);
  await withAdmin(kafka, (admin) => admin.deleteTopics({ topics: ['p-1'] }));
  const commits = streams.metrics().commitTotal;
  await produce(kafka.brokers, 'p-2', [{ value: 'after' }]);
  await waitFor(() => seen.includes('after') && streams.metrics().commitTotal > commits + 1);
  await waitFor(() => streams.state === 'RUNNING', 10_000, 'RUNNING');
});

test('a topic that was read by name and is deleted is told to the handler', async () => {
  const kafka = await ownKafka({ topics: ['in', 'other'] });
  const seen: string[] = [];
  const streams = await runStreams(kafka.brokers, collecting(['in', 'other'], seen), {
    ...options(),
    taskTimeoutMs: 1_000,
  });
  const errors: Error[] = [];
  streams.setUncaughtErrorHandler((error) => {
    errors.push(error);
    return 'shutdown-client';
  });
  await withAdmin(kafka, (admin) => admin.deleteTopics({ topics: ['in'] }));
  await waitFor(() => streams.state === 'ERROR');
  expect(errors).toMatchObject([{ code: 'MILLRACE_RUNTIME_TOPIC_MISSING', topic: 'in' }]);
});

/** Counts per window; another grace makes another store. */
function windows(grace: number): Topology {
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: string(), value: string() })
    .groupByKey()
    .windowedBy(TimeWindows.of(1_000, { grace }))
    .count({ name: 'counts' });
  return builder.build();
}

test('a rolling upgrade: nobody gets a task that its topology does not know, and the last of the old hands over', async () => {
  const kafka = await ownKafka({ topics: [{ topic: 'in', partitions: 4 }] });
  const { applicationId } = options();
  const tasks = (streams: { windowStores(name: string): unknown[] }): number => streams.windowStores('counts').length;
  const old = await runStreams(kafka.brokers, windows(0), { applicationId });
  const alsoOld = await runStreams(kafka.brokers, windows(0), { applicationId });
  await waitFor(() => tasks(old) === 2 && tasks(alsoOld) === 2);
  const next = await runStreams(kafka.brokers, windows(60_000), { applicationId });
  await waitFor(() => tasks(old) + tasks(alsoOld) === 4 && old.state === 'RUNNING' && alsoOld.state === 'RUNNING');
  expect(tasks(next)).toBe(0);
  await old.close();
  await alsoOld.close();
  await waitFor(() => tasks(next) === 4);
});

test('a member whose records wait for a registry that is away takes part in rebalances', async () => {
  const kafka = await ownKafka({ topics: [{ topic: 'in', partitions: 2 }] });
  const registry = await startTestRegistry();
  closeLater(() => registry.close());
  const { applicationId } = options();
  const seen: number[] = [];
  const topology = (): Topology => {
    const builder = new StreamsBuilder();
    const value = avro(new SchemaRegistry({ url: registry.url }), 'int');
    builder.stream('in', { key: string(), value }).forEach((_key, n) => void seen.push(n));
    return builder.build();
  };
  const id = await new SchemaRegistry({ url: registry.url }).idOf('in-value', '"int"');
  const record = Buffer.from([0, 0, 0, 0, id, 14]).toString('latin1');
  registry.fail(503);
  const one = await runStreams(kafka.brokers, topology(), { applicationId });
  await produce(kafka.brokers, 'in', [{ value: record, partition: 0 }]);
  await waitFor(() => registry.requests.some((request) => request.startsWith('GET /schemas')));
  const two = await runStreams(kafka.brokers, topology(), { applicationId });
  await waitFor(() => one.state === 'RUNNING' && two.state === 'RUNNING');
  expect(seen).toEqual([]);
  registry.fail(undefined);
  await waitFor(() => seen.length === 1);
  expect(seen).toEqual([7]);
});

/** The counts that a changelog holds, in the order in which they were written. */
async function changelogOf(kafka: EmbeddedKafka, topic: string): Promise<() => number[]> {
  const seen = await watch(kafka.brokers, topic);
  return () => seen.map(([, value]) => Buffer.from(value, 'latin1').readUInt32BE(4));
}

test('a member that lost its partitions does not deliver its old changelog records once it can', async () => {
  const kafka = await ownKafka({ topics: ['in'] });
  const { applicationId } = options();
  const builder = new StreamsBuilder();
  builder.stream('in', { key: string(), value: string() }).groupByKey().count({ name: 'counts' });
  const topology = builder.build();
  const member = (clientId: string) =>
    runStreams(kafka.brokers, topology, {
      applicationId,
      kafka: { brokers: kafka.brokers, clientId },
      sessionTimeoutMs: 600,
    });
  const send = (count: number): Promise<void> =>
    produce(
      kafka.brokers,
      'in',
      Array.from({ length: count }, () => ({ key: 'k', value: 'v' })),
    );
  const a = await member('a');
  await send(10);
  await waitFor(() => a.metrics().processTotal === 10);
  const written = await changelogOf(kafka, `${applicationId}-counts-changelog`);
  await waitFor(() => written().includes(10));
  // What a writes from now on waits in it, and the group goes on without it.
  const isA = (_request: unknown, clientId: string | null): boolean => clientId === 'a';
  const faults = [
    kafka.inject({ api: 'Produce', times: Infinity, when: isA, action: { kind: 'error', code: 6 } }),
    kafka.inject({ api: 'Heartbeat', times: Infinity, when: isA, action: { kind: 'disconnect' } }),
    kafka.inject({ api: 'JoinGroup', times: Infinity, when: isA, action: { kind: 'disconnect' } }),
  ];
  await send(1);
  await waitFor(() => a.metrics().processTotal === 11);
  const b = await member('b');
  await send(5);
  await waitFor(() => written().includes(16));
  for (const stop of faults) stop();
  await waitFor(() => a.state === 'RUNNING' && b.state === 'RUNNING');
  await send(4);
  await waitFor(() => written().includes(20));
  expect(written()).toEqual([...written()].sort((x, y) => x - y));
});

test('a partition without a leader stands back: its task, and the others, go on without it', async () => {
  const kafka = await ownKafka({ topics: ['one', 'two'] });
  const seen: string[] = [];
  const logger = warnings();
  await produce(kafka.brokers, 'one', [{ value: 'late' }]);
  await produce(kafka.brokers, 'two', [{ value: 'early' }]);
  kafka.moveLeader('one', 0, -1);
  await runStreams(kafka.brokers, collecting(['one', 'two'], seen), { ...options(), logger });
  await waitFor(() => seen.includes('early'));
  expect(seen).toEqual(['early']);
  expect(logger.lines.join('\n')).toContain('partition cannot be fetched, what waits for it goes on without it');
  kafka.moveLeader('one', 0, 1);
  await waitFor(() => seen.includes('late'));
});

test('a sink topic that is gone is told to the handler after the delivery time-out', async () => {
  const kafka = await ownKafka({ topics: ['in', 'out'] });
  const builder = new StreamsBuilder();
  builder.stream('in', { key: string(), value: string() }).to('out', { key: string(), value: string() });
  const streams = await runStreams(kafka.brokers, builder.build(), { ...options(), deliveryTimeoutMs: 1_500 });
  const errors: Error[] = [];
  streams.setUncaughtErrorHandler((error) => {
    errors.push(error);
    return 'shutdown-client';
  });
  await withAdmin(kafka, (admin) => admin.deleteTopics({ topics: ['out'] }));
  await produce(kafka.brokers, 'in', [{ value: 'lost?' }]);
  await waitFor(() => streams.state === 'ERROR');
  expect(errors).toMatchObject([{ code: 'MILLRACE_KAFKA_DELIVERY_TIMEOUT', topic: 'out' }]);
});
