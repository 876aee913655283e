/** KafkaStreams on Apache Kafka: positions, patterns, errors of user code, restarts and restores. */
import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import {
  KafkaStreams,
  minutes,
  StreamsBuilder,
  type StreamsOptions,
  string,
  TimeWindows,
  type Topology,
} from '../../src/index.ts';
import { fetchCommitted, KafkaCluster } from '../../src/kafka/index.ts';
import { temporaryFolder } from '../support/programs.ts';
import { newTopics } from '../support/topics.ts';
import { waitFor } from '../support/wait.ts';

const brokers = inject('brokers');
const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
const producer = kafka.producer();
let admin: KafkaCluster;
let running: KafkaStreams[] = [];

beforeAll(async () => {
  admin = new KafkaCluster({ kafka: { brokers } });
  await admin.connect();
  await producer.connect();
});
afterAll(async () => {
  await producer.disconnect();
  await admin.close();
});
afterEach(async () => {
  for (const streams of running) await streams.close();
  running = [];
});

async function newTopic(name = `t-${randomUUID()}`): Promise<string> {
  await newTopics(admin, [name], 2);
  return name;
}

const send = (topic: string, values: readonly string[]): Promise<unknown> =>
  producer.send({ topic, messages: values.map((value, i) => ({ partition: i % 2, key: value, value })) });

async function run(
  topology: Topology,
  options: Partial<StreamsOptions> & { applicationId: string },
): Promise<KafkaStreams> {
  const streams = new KafkaStreams(topology, {
    kafka: { brokers },
    stateDir: temporaryFolder(),
    commitIntervalMs: 100,
    ...options,
  });
  running.push(streams);
  await streams.start();
  await waitFor(() => streams.state === 'RUNNING', 30_000, 'RUNNING');
  return streams;
}

function collecting(topics: string | RegExp, seen: string[]): Topology {
  const builder = new StreamsBuilder();
  builder.stream(topics, { key: string(), value: string() }).forEach((_key, value) => void seen.push(value));
  return builder.build();
}

test('a position resolved by latest is committed at once: what comes while the application is away is not skipped', async () => {
  const topic = await newTopic();
  const applicationId = `app-${randomUUID()}`;
  await send(topic, ['before', 'before']);
  const seen: string[] = [];
  const first = await run(collecting(topic, seen), { applicationId, offsetReset: 'latest', commitIntervalMs: 60_000 });
  const partitions = [0, 1].map((partition) => ({ topic, partition }));
  await waitFor(async () => (await fetchCommitted(admin, applicationId, partitions)).size === 2, 10_000, 'positions');
  await first.close();
  await send(topic, ['between', 'between']);
  await run(collecting(topic, seen), { applicationId, offsetReset: 'latest' });
  await waitFor(() => seen.length >= 2);
  expect(seen).toEqual(['between', 'between']);
});

test('a pattern reads every topic that matches', async () => {
  const id = randomUUID();
  for (const name of ['a', 'b']) await newTopic(`p-${id}-${name}`);
  await send(`p-${id}-a`, ['1']);
  await send(`p-${id}-b`, ['2']);
  const seen: string[] = [];
  await run(collecting(new RegExp(`^p-${id}-.$`), seen), { applicationId: `app-${id}` });
  await waitFor(() => seen.length >= 2);
  expect(seen.sort()).toEqual(['1', '2']);
});

test('an error of user code stops the application, or a new thread goes on at the same record', async () => {
  const topic = await newTopic();
  let failures = 0;
  const seen: string[] = [];
  const builder = new StreamsBuilder();
  builder.stream(topic, { key: string(), value: string() }).forEach((_key, value) => {
    if (value === 'bad' && ++failures <= 2) throw new Error('boom');
    seen.push(value);
  });
  const streams = new KafkaStreams(builder.build(), {
    applicationId: `app-${randomUUID()}`,
    kafka: { brokers },
    stateDir: temporaryFolder(),
    commitIntervalMs: 100,
  });
  running.push(streams);
  const errors: Error[] = [];
  streams.setUncaughtErrorHandler((error) => {
    errors.push(error);
    return 'replace-thread';
  });
  await streams.start();
  await producer.send({
    topic,
    messages: [
      { partition: 0, value: 'good' },
      { partition: 0, value: 'bad' },
      { partition: 0, value: 'after' },
    ],
  });
  await waitFor(() => seen.includes('after'));
  expect(failures).toBe(3);
  expect(errors[0]).toMatchObject({ code: 'MILLRACE_RUNTIME_PROCESSING', topic, partition: 0, offset: 1 });
  await streams.close();

  const stopping = new KafkaStreams(collectingError(topic), {
    applicationId: `app-${randomUUID()}`,
    kafka: { brokers },
    stateDir: temporaryFolder(),
  });
  running.push(stopping);
  await stopping.start();
  await waitFor(() => stopping.state === 'ERROR');
});

function collectingError(topic: string): Topology {
  const builder = new StreamsBuilder();
  builder.stream(topic, { key: string(), value: string() }).forEach(() => {
    throw new Error('boom');
  });
  return builder.build();
}

test('state is restored into an empty directory, and cleanUp() empties one; lateness is judged as before', async () => {
  const topic = await newTopic();
  const applicationId = `app-${randomUUID()}`;
  const builder = new StreamsBuilder();
  const stream = builder.stream(topic, {
    key: string(),
    value: string(),
    timestamp: (value) => Number(value.split('@')[1]),
  });
  stream.groupByKey().count({ name: 'counts' });
  stream
    .groupByKey()
    .windowedBy(TimeWindows.of(minutes(1)))
    .count({ name: 'windows' });
  const topology = builder.build();
  const put = (key: string, minute: number): Promise<unknown> =>
    producer.send({ topic, messages: [{ partition: 0, key, value: `${key}@${minutes(minute)}` }] });
  const count = (streams: KafkaStreams, key: string): number | null =>
    streams
      .keyValueStores<string, number>('counts')
      .map((store) => store.get(key))
      .find((n) => n !== null) ?? null;

  const first = await run(topology, { applicationId });
  await put('a', 1);
  await put('a', 10);
  await put('b', 10);
  await waitFor(() => count(first, 'a') === 2 && count(first, 'b') === 1);
  await first.close();
  const elsewhere = temporaryFolder();
  const second = await run(topology, { applicationId, stateDir: elsewhere });
  expect(second.metrics().restoreTotal).toBeGreaterThan(0);
  expect([count(second, 'a'), count(second, 'b')]).toEqual([2, 1]);
  await put('a', 5); // late for the window, as the operator's time was kept with the positions
  await waitFor(() => count(second, 'a') === 3);
  expect(second.metrics().droppedByReason).toEqual({ late: 1 });
  await expect(second.cleanUp()).rejects.toMatchObject({ code: 'MILLRACE_RUNTIME_NOT_STOPPED' });
  await second.close();
  await second.cleanUp();
  const third = await run(topology, { applicationId, stateDir: elsewhere });
  expect(third.metrics().restoreTotal).toBeGreaterThan(0);
  expect(count(third, 'a')).toBe(3);
});
