/** Restoring is a step of the turn: what is ready runs, members join, close() ends it, whatever the changelog does. */
import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { test as anyTest, describe, expect, inject } from 'vitest';
import type { EmbeddedKafka } from '../../src/embedded/index.ts';
import { StreamsBuilder, string, type Topology } from '../../src/index.ts';
import { temporaryFolder } from '../support/programs.ts';
import { newStreams, ownKafka, produce, runStreams } from '../support/streams.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

/** Counts `in`, and hands `other` on to an action: two sub-topologies. */
function counting(onOther: (value: string) => void = () => {}): Topology {
  const builder = new StreamsBuilder();
  builder.stream('in', { key: string(), value: string() }).groupByKey().count({ name: 'counts' });
  builder.stream('other', { key: string(), value: string() }).forEach((_key, value) => void onOther(value));
  return builder.build();
}

const isChangelogFetch = (request: unknown): boolean => JSON.stringify(request).includes('-changelog');

/** A group whose changelog holds counts, and which nobody is in. */
async function prepared(applicationId: string): Promise<EmbeddedKafka> {
  const kafka = await ownKafka({ topics: [{ topic: 'in', partitions: 2 }, 'other'] });
  const first = await runStreams(kafka.brokers, counting(), { applicationId });
  await produce(kafka.brokers, 'in', [
    { key: 'a', value: '1', partition: 0 },
    { key: 'b', value: '1', partition: 1 },
    { key: 'b', value: '2', partition: 1 },
  ]);
  await waitFor(() => first.metrics().processTotal === 3);
  await first.close();
  return kafka;
}

const counts = (streams: ReturnType<typeof newStreams>, key: string): number | undefined =>
  streams
    .keyValueStores<string, number>('counts')
    .map((store) => store.get(key))
    .find((count) => count !== null) ?? undefined;

test('close() ends a restore that gets no further', async () => {
  const id = `app-${randomUUID()}`;
  const kafka = await prepared(id);
  kafka.inject({ api: 'Fetch', times: Infinity, when: isChangelogFetch, action: { kind: 'half-open' } });
  const streams = newStreams(kafka.brokers, counting(), { applicationId: id });
  await streams.start();
  await waitFor(async () => (await groupState(kafka, id)) === 'Stable');
  await streams.close();
  expect(streams.state).toBe('NOT_RUNNING');
});

test('tasks that are ready run while others restore', async () => {
  const id = `app-${randomUUID()}`;
  const kafka = await prepared(id);
  const stop = kafka.inject({ api: 'Fetch', times: Infinity, when: isChangelogFetch, action: { kind: 'disconnect' } });
  const seen: string[] = [];
  const streams = newStreams(
    kafka.brokers,
    counting((value) => void seen.push(value)),
    { applicationId: id },
  );
  await streams.start();
  await produce(kafka.brokers, 'other', [{ value: 'through' }]);
  await waitFor(() => seen.includes('through'));
  expect(streams.state).toBe('REBALANCING');
  stop();
  await waitFor(() => streams.state === 'RUNNING');
  expect([counts(streams, 'a'), counts(streams, 'b')]).toEqual([1, 2]);
});

test('a member that joins while another restores is not held up, and what it restored so far is kept', async () => {
  const id = `app-${randomUUID()}`;
  const kafka = await prepared(id);
  const fault = { api: 'Fetch', times: Infinity, action: { kind: 'disconnect' } } as const;
  const stop = kafka.inject({
    ...fault,
    when: (request, clientId) => clientId === 'one' && isChangelogFetch(request),
  });
  const one = newStreams(kafka.brokers, counting(), {
    applicationId: id,
    kafka: { brokers: kafka.brokers, clientId: 'one' },
  });
  await one.start();
  await waitFor(async () => (await groupState(kafka, id)) === 'Stable');
  const two = newStreams(kafka.brokers, counting(), {
    applicationId: id,
    kafka: { brokers: kafka.brokers, clientId: 'two' },
  });
  await two.start();
  await waitFor(() => two.state === 'RUNNING', 20_000, 'the second member to run');
  expect(one.state).toBe('REBALANCING');
  stop();
  await waitFor(() => one.state === 'RUNNING');
  expect([counts(one, 'a') ?? counts(two, 'a'), counts(one, 'b') ?? counts(two, 'b')]).toEqual([1, 2]);
});

describe('a changelog that ends before the end it had when the task came', () => {
  /** An application whose restore has begun and waits; `stop` lets it go on. */
  async function waiting() {
    const id = `app-${randomUUID()}`;
    const kafka = await prepared(id);
    const stop = kafka.inject({
      api: 'Fetch',
      times: Infinity,
      when: isChangelogFetch,
      action: { kind: 'disconnect' },
    });
    const streams = newStreams(kafka.brokers, counting(), { applicationId: id, stateDir: temporaryFolder() });
    await streams.start();
    await waitFor(async () => (await groupState(kafka, id)) === 'Stable');
    return { kafka, streams, stop, changelog: `${id}-counts-changelog` };
  }

  test('because its leader lost records: what is left is restored', async () => {
    const { kafka, streams, stop, changelog } = await waiting();
    kafka.moveLeader(changelog, 1, 1, { truncateTo: 0 });
    stop();
    await waitFor(() => streams.state === 'RUNNING', 30_000, 'RUNNING');
    expect([counts(streams, 'a'), counts(streams, 'b')]).toEqual([1, undefined]);
  });

  test('because it was deleted and made anew: nothing is', async () => {
    const { kafka, streams, stop, changelog } = await waiting();
    const admin = new Kafka({ brokers: kafka.brokers, logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    await admin.deleteTopics({ topics: [changelog] });
    await admin.createTopics({ topics: [{ topic: changelog, numPartitions: 2, replicationFactor: 1 }] });
    await admin.disconnect();
    stop();
    await waitFor(() => streams.state === 'RUNNING', 30_000, 'RUNNING');
    expect([counts(streams, 'a'), counts(streams, 'b')]).toEqual([undefined, undefined]);
  });
});

async function groupState(kafka: EmbeddedKafka, groupId: string): Promise<string | undefined> {
  const admin = new Kafka({ brokers: kafka.brokers, logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  const { groups } = await admin.describeGroups([groupId]);
  await admin.disconnect();
  return groups[0]?.state;
}
