/** Leader epochs (KIP-320) with real brokers: what is committed with a position, and what becomes of one that is not there. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { commitOffsets, Fetcher, fetchCommitted, KafkaCluster, Producer } from '../../src/kafka/index.ts';
import { newTopics } from '../support/topics.ts';
import { waitFor } from '../support/wait.ts';

const brokers = inject('brokers');
let cluster: KafkaCluster;
let topic: string;

beforeAll(async () => {
  cluster = new KafkaCluster({ kafka: { brokers } });
  await cluster.connect();
  topic = `t-${randomUUID()}`;
  await newTopics(cluster, [topic], 1);
  const producer = new Producer(new KafkaCluster({ kafka: { brokers } }));
  await producer.start();
  const value = Buffer.from('v');
  for (let i = 0; i < 5; i++) producer.send(topic, 0, Date.now(), value, 0, -1, value, 0, 1, []);
  await producer.flush();
  await producer.close();
});
afterAll(() => cluster.close());

test('metadata has the topic’s id and its partitions’ leader epochs', async () => {
  await cluster.refresh([topic]);
  expect(cluster.topic(topic)!.topicId).toMatch(/^[0-9a-f]{32}$/);
  expect(cluster.topic(topic)!.topicId).not.toMatch(/^0+$/);
  expect(cluster.leaderEpochOf(topic, 0)).toBe(0);
});

test('a position is committed with its epoch, or without one', async () => {
  const groupId = `g-${randomUUID()}`;
  const member = { groupId, generationId: -1, memberId: '' };
  const committed = async () => {
    const positions = await fetchCommitted(cluster, groupId, [{ topic, partition: 0 }]);
    return positions.get(`${topic}-0`);
  };
  // A coordinator that is coming up is asked again.
  await waitFor(() =>
    committed().then(
      () => true,
      () => false,
    ),
  );
  await commitOffsets(cluster, member, [{ topic, partition: 0, offset: 3, leaderEpoch: 0, metadata: 'm' }]);
  expect(await committed()).toEqual({ offset: 3, leaderEpoch: 0, metadata: 'm' });
  await commitOffsets(cluster, member, [{ topic, partition: 0, offset: 4, metadata: null }]);
  expect(await committed()).toMatchObject({ offset: 4, leaderEpoch: -1 });
});

test('a position with an epoch is validated: a sound one goes on, one beyond the epoch’s end goes back to it', async () => {
  const told: unknown[] = [];
  for (const [offset, expected] of [
    [2, 3],
    [99, 0],
  ] as const) {
    const fetcher = new Fetcher(new KafkaCluster({ kafka: { brokers } }), {
      resetPolicy: () => 'earliest',
      onTruncated: (...what) => void told.push(what),
    });
    const buffer = fetcher.add({ topic, partition: 0 }, offset, 0);
    await fetcher.start();
    let count = 0;
    await waitFor(async () => {
      while (buffer.next() !== undefined) count++;
      fetcher.wake();
      return buffer.highWatermark >= 0 && buffer.position === 5;
    });
    await fetcher.close();
    expect(count).toBe(expected);
  }
  expect(told).toEqual([[{ topic, partition: 0 }, 99, 5]]);
});
