/** Clients on several nodes while leaders and coordinators move: kafkajs, and our own driver. Skipped on Apache Kafka. */
import { Kafka, logLevel } from 'kafkajs';
import { afterEach, test as anyTest, beforeEach, expect, inject } from 'vitest';
import type { EmbeddedKafka } from '../../src/embedded/index.ts';
import { Fetcher, KafkaCluster, listOffset, type PartitionBuffer, Producer } from '../../src/kafka/index.ts';
import { TestCluster } from '../support/embedded/cluster.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

let cluster: TestCluster;
let kafka: EmbeddedKafka;
const closing: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  if (inject('brokerKind') === 'apache') return;
  cluster = await TestCluster.start();
  ({ kafka } = cluster);
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await cluster?.close();
});

const PARTITIONS = [0, 1, 2];
const VALUES = Array.from({ length: 60 }, (_, i) => `value ${i}`);

/** The node that is stopped; 0: none. */
let down = 0;

/** The next node that is there. */
function after(node: number): number {
  const next = (Math.max(node, 0) % 3) + 1;
  return next === down ? after(next) : next;
}

/** One step of what goes on in the cluster, from quiet to rough. */
function disturb(step: number): void {
  const partition = step % 3;
  const { leader } = kafka.describePartition('t', partition);
  if (step % 5 === 4) kafka.cutNode(after(step));
  else kafka.moveLeader('t', partition, step % 7 === 3 ? -1 : after(leader));
  if (step % 4 === 1) kafka.moveCoordinator({ groupId: 'g' }, after(kafka.coordinatorOf({ groupId: 'g' })));
}

function calm(): void {
  for (const partition of PARTITIONS)
    if (kafka.describePartition('t', partition).leader < 0) kafka.moveLeader('t', partition, after(partition));
}

test('kafkajs produces once and consumes all of it while leaders and its coordinator move', async () => {
  const client = new Kafka({
    brokers: kafka.brokers,
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 20, maxRetryTime: 100, retries: 50 },
  });
  const producer = client.producer({ idempotent: true, maxInFlightRequests: 1 });
  const consumer = client.consumer({
    groupId: 'g',
    heartbeatInterval: 200,
    sessionTimeout: 6_000,
    maxWaitTimeInMs: 100,
  });
  closing.push(() => producer.disconnect());
  closing.push(() => consumer.disconnect());
  await producer.connect();
  await consumer.connect();
  await consumer.subscribe({ topic: 't', fromBeginning: true });
  const seen = new Set<string>();
  await consumer.run({ eachMessage: async ({ message }) => void seen.add(String(message.value)) });
  for (const [step, value] of VALUES.entries()) {
    disturb(step);
    const sending = producer.send({ topic: 't', messages: [{ key: value, value, partition: step % 3 }] });
    calm();
    await sending;
  }
  await waitFor(() => seen.size === VALUES.length);
  const ends = PARTITIONS.map((partition) => kafka.describePartition('t', partition).endOffset);
  expect(ends).toEqual([20, 20, 20]);
  expect(kafka.describePartition('t', 0).leaderEpoch).toBeGreaterThan(5);
});

test('our driver writes each record once and in order, and reads all of them, while leaders move and nodes stop', async () => {
  const connect = (): KafkaCluster => {
    const made = new KafkaCluster({ kafka: { brokers: kafka.brokers } });
    closing.push(() => made.close());
    return made;
  };
  const producer = new Producer(connect(), { lingerMs: 0 });
  closing.push(() => producer.close());
  await producer.start();
  await producer.prepare(['t']);
  const fetcher = new Fetcher(connect(), { maxWaitMs: 50 });
  closing.push(() => fetcher.close());
  const positions = connect();
  const buffers: PartitionBuffer[] = [];
  for (const partition of PARTITIONS) {
    const at = { topic: 't', partition };
    buffers.push(fetcher.add(at, await listOffset(positions, at, 'earliest')));
  }
  await fetcher.start();
  for (const [step, text] of VALUES.entries()) {
    disturb(step);
    if (step % 20 === 10) await kafka.stopNode((down = after(step)));
    const value = Buffer.from(text);
    producer.send('t', step % 3, Date.now(), value, 0, value.length, value, 0, value.length, []);
    const sent = producer.flush();
    if (step % 20 === 12) {
      await kafka.startNode(down);
      down = 0;
    }
    calm();
    await sent;
  }
  const seen: string[][] = PARTITIONS.map(() => []);
  await waitFor(async () => {
    for (const [partition, buffer] of buffers.entries())
      for (let record = buffer.next(); record !== undefined; record = buffer.next())
        seen[partition]!.push(String(record.value()));
    fetcher.wake();
    if (seen.flat().length >= VALUES.length) return true;
    await fetcher.waitForData(20);
    return false;
  });
  expect(seen).toEqual(PARTITIONS.map((partition) => VALUES.filter((_, i) => i % 3 === partition)));
});
