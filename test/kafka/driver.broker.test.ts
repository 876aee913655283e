import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { CompressionType } from '../../src/kafka/index.ts';
import {
  createTopics,
  Fetcher,
  GroupMember,
  KafkaCluster,
  listOffsets,
  type PartitionBuffer,
  Producer,
} from '../../src/kafka/index.ts';
import { waitFor } from '../support/wait.ts';

const brokers = inject('brokers');
const newCluster = (): KafkaCluster => new KafkaCluster({ kafka: { brokers, clientId: 'test' } });

let admin: KafkaCluster;

beforeAll(async () => {
  admin = newCluster();
  await admin.connect();
});
afterAll(() => admin.close());

async function newTopic(partitions: number, configs: Record<string, string> = {}): Promise<string> {
  const topic = `t-${randomUUID()}`;
  await createTopics(admin, [{ topic, partitions, replicationFactor: 1, configs }]);
  return topic;
}

function sendText(
  producer: Producer,
  topic: string,
  partition: number,
  key: string | null,
  value: string | null,
  timestamp = 1,
): void {
  const k = Buffer.from(key ?? '');
  const v = Buffer.from(value ?? '');
  producer.send(
    topic,
    partition,
    timestamp,
    k,
    0,
    key === null ? -1 : k.length,
    v,
    0,
    value === null ? -1 : v.length,
    [],
  );
}

async function readAll(fetcher: Fetcher, buffers: readonly PartitionBuffer[], expected: number): Promise<string[][]> {
  const out: string[][] = buffers.map(() => []);
  let count = 0;
  await waitFor(async () => {
    buffers.forEach((buffer, i) => {
      for (let cursor = buffer.next(); cursor !== undefined; cursor = buffer.next()) {
        out[i]!.push(`${cursor.key()}=${cursor.value()}`);
        count++;
      }
    });
    fetcher.wake();
    if (count >= expected) return true;
    await fetcher.waitForData(100);
    return false;
  });
  return out;
}

describe('producer and fetcher on Apache Kafka', () => {
  test.each<CompressionType>(['none', 'gzip', 'snappy', 'lz4', 'zstd'])(
    'what is produced with %s is fetched in order',
    async (compression) => {
      const topic = await newTopic(3);
      const producer = new Producer(newCluster(), { compression, batchBytes: 4096 });
      await producer.start();
      await producer.prepare([topic]);
      const expected: string[][] = [[], [], []];
      for (let i = 0; i < 3000; i++) {
        sendText(producer, topic, i % 3, `key-${i}`, `value ${i}`, i);
        expected[i % 3]!.push(`key-${i}=value ${i}`);
      }
      await producer.flush();
      await producer.close();
      const fetcher = new Fetcher(newCluster());
      const buffers = [0, 1, 2].map((partition) => fetcher.add({ topic, partition }, 0));
      await fetcher.start();
      expect(await readAll(fetcher, buffers, 3000)).toEqual(expected);
      expect(buffers.map((b) => b.lag)).toEqual([0, 0, 0]);
      await fetcher.close();
      // kafkajs, which has gzip only, reads the same.
      if (compression === 'none' || compression === 'gzip') {
        const seen = await readWithKafkajs(topic, 3000);
        expect(seen.sort()).toEqual(expected.flat().sort());
      }
    },
  );

  test('a topic that appears while records for it wait is written in order', async () => {
    const topic = `late-${randomUUID()}`;
    const producer = new Producer(newCluster());
    await producer.start();
    for (let i = 0; i < 10; i++) sendText(producer, topic, 0, 'k', String(i));
    await createTopics(admin, [{ topic, partitions: 1, replicationFactor: 1, configs: {} }]);
    await producer.flush();
    await producer.close();
    const fetcher = new Fetcher(newCluster());
    const buffer = fetcher.add({ topic, partition: 0 }, 0);
    await fetcher.start();
    expect((await readAll(fetcher, [buffer], 10))[0]).toEqual(Array.from({ length: 10 }, (_, i) => `k=${i}`));
    await fetcher.close();
  });

  test('a batch above the topic’s max.message.bytes is split; a single record above it is refused by name', async () => {
    const topic = await newTopic(1, { 'max.message.bytes': '2000' });
    const producer = new Producer(newCluster());
    await producer.start();
    await producer.prepare([topic]);
    for (let i = 0; i < 100; i++) sendText(producer, topic, 0, `k${i}`, 'v'.repeat(100));
    await producer.flush();
    expect(await listOffsets(admin, [{ topic, partition: 0 }], 'latest')).toEqual(new Map([[`${topic}-0`, 100]]));
    sendText(producer, topic, 0, 'secret-key', 'v'.repeat(3000));
    const error = await producer.flush().catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'MILLRACE_KAFKA_RECORD_REFUSED', topic, partition: 0 });
    expect(JSON.stringify(error)).not.toContain('secret');
    await producer.close();
  });

  test('a position out of range is reset by the policy', async () => {
    const topic = await newTopic(1);
    const producer = new Producer(newCluster());
    await producer.start();
    await producer.prepare([topic]);
    sendText(producer, topic, 0, 'k', 'v');
    await producer.flush();
    await producer.close();
    const fetcher = new Fetcher(newCluster(), { resetPolicy: () => 'earliest' });
    const buffer = fetcher.add({ topic, partition: 0 }, 99);
    await fetcher.start();
    expect((await readAll(fetcher, [buffer], 1))[0]).toEqual(['k=v']);
    await fetcher.close();
    const strict = new Fetcher(newCluster());
    strict.add({ topic, partition: 0 }, 99);
    await strict.start();
    await expect(waitFor(() => strict.waitForData(200).then(() => false))).rejects.toMatchObject({
      code: 'MILLRACE_KAFKA_OFFSET_OUT_OF_RANGE',
    });
    await strict.close();
  });

  test('read_committed hands out committed records only, and steps over the markers', async () => {
    const topic = await newTopic(1);
    const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
    const writer = kafka.producer({ transactionalId: randomUUID(), maxInFlightRequests: 1, idempotent: true });
    await writer.connect();
    for (let i = 0; i < 6; i++) {
      const transaction = await writer.transaction();
      await transaction.send({ topic, messages: [{ key: 'k', value: `${i}` }] });
      await (i % 2 === 0 ? transaction.commit() : transaction.abort());
    }
    await writer.disconnect();
    const fetcher = new Fetcher(newCluster(), { isolationLevel: 'read_committed' });
    const buffer = fetcher.add({ topic, partition: 0 }, 0);
    await fetcher.start();
    expect((await readAll(fetcher, [buffer], 3))[0]).toEqual(['k=0', 'k=2', 'k=4']);
    await waitFor(async () => {
      buffer.next();
      fetcher.wake();
      return buffer.lag === 0;
    });
    expect(buffer.position).toBe(12);
    await fetcher.close();
  });
});

/** Members of one new group; each writes down what its hooks were told. */
function newGroup(): { events: string[]; newMember(name: string, maxPollIntervalMs?: number): GroupMember } {
  const groupId = `g-${randomUUID()}`;
  const events: string[] = [];
  const newMember = (name: string, maxPollIntervalMs = 60_000): GroupMember =>
    new GroupMember(
      newCluster(),
      { groupId, protocolName: 'test', heartbeatIntervalMs: 50, maxPollIntervalMs },
      {
        subscription: () => Buffer.from(name),
        assign: async (members) =>
          new Map(members.map((m) => [m.memberId, Buffer.from(`${m.metadata} of ${members.length}`)])),
        onRevoked: async (lost) => void events.push(`${name} revoked${lost ? ' lost' : ''}`),
        onAssigned: async (assignment) => void events.push(`${name} got ${assignment}`),
      },
    );
  return { events, newMember };
}

test('two members share a group; one that leaves is replaced after awaited hooks', async () => {
  const { events, newMember } = newGroup();
  const a = newMember('a');
  const b = newMember('b');
  await a.poll();
  expect(events).toEqual(['a got a of 1']);
  const joining = b.poll();
  await waitFor(() => a.needsRejoin);
  await Promise.all([a.poll(), joining]);
  expect(events.slice(1).sort()).toEqual(['a got a of 2', 'a revoked', 'b got b of 2']);
  await b.close();
  await waitFor(() => a.needsRejoin);
  await a.poll();
  expect(events.at(-1)).toBe('a got a of 1');
  await a.close();
});

test('a member without progress for maxPollIntervalMs leaves, and comes back having lost what it held', async () => {
  const { events, newMember } = newGroup();
  const stuck = newMember('stuck', 300);
  await stuck.poll();
  // Its heartbeats go on: only the missing progress takes it out.
  await waitFor(() => stuck.needsRejoin);
  const other = newMember('other');
  await other.poll();
  expect(events).toEqual(['stuck got stuck of 1', 'other got other of 1']);
  const returning = stuck.poll();
  await waitFor(() => other.needsRejoin);
  await Promise.all([other.poll(), returning]);
  expect(events.slice(2).sort()).toEqual([
    'other got other of 2',
    'other revoked',
    'stuck got stuck of 2',
    'stuck revoked lost',
  ]);
  await stuck.close();
  await other.close();
});

async function readWithKafkajs(topic: string, count: number): Promise<string[]> {
  const consumer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).consumer({ groupId: randomUUID() });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const seen: string[] = [];
  await consumer.run({ eachMessage: async ({ message }) => void seen.push(`${message.key}=${message.value}`) });
  await waitFor(() => seen.length >= count);
  await consumer.disconnect();
  return seen;
}
