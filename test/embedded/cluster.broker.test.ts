/**
 * Several nodes over one log: leaders and their epochs, elections that lose records, records that are not replicated. The
 * answers are those of three nodes of Apache Kafka 3.6.2 to the same moves, which its controls cannot make at a call; there
 * these tests are skipped.
 */
import { afterEach, test as anyTest, beforeEach, describe, expect, inject } from 'vitest';
import type { EmbeddedKafka } from '../../src/embedded/index.ts';
import { TestCluster } from '../support/embedded/cluster.ts';
import { batchOf, type PartitionClient } from '../support/partition-client.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

let cluster: TestCluster;
let kafka: EmbeddedKafka;
let one: PartitionClient;
let two: PartitionClient;
let three: PartitionClient;
beforeEach(async () => {
  if (inject('brokerKind') === 'apache') return;
  cluster = await TestCluster.start();
  ({ kafka } = cluster);
  [one, two, three] = [await cluster.at(1), await cluster.at(2), await cluster.at(3)];
});
afterEach(() => cluster?.close());

/** "epoch@end offset" as the leader answers. */
async function ends(at: PartitionClient, ...epochs: readonly number[]): Promise<string[]> {
  const answers: string[] = [];
  for (const epoch of epochs) {
    const { errorCode, leaderEpoch, endOffset } = await at.endOfEpoch(epoch);
    answers.push(errorCode === 0 ? `${leaderEpoch}@${endOffset}` : `error ${errorCode}`);
  }
  return answers;
}

describe('leaders', () => {
  test('every node is in the metadata with a port of its own; they lead in turn, and all have everything', async () => {
    expect(new Set(kafka.brokers).size).toBe(3);
    const metadata = await one.raw.call('Metadata', 9, {
      topics: null,
      allowAutoTopicCreation: false,
      includeClusterOperations: false,
      includeTopicOperations: false,
    });
    expect(metadata.controllerId).toBe(1);
    const addresses = metadata.brokers.map((b: { nodeId: number; host: string; port: number }) => [
      b.nodeId,
      `${b.host}:${b.port}`,
    ]);
    expect(addresses).toEqual(kafka.brokers.map((address, i) => [i + 1, address]));
    const cluster = await two.raw.call('DescribeCluster', 1, { includeOperations: false, endpointType: 1 });
    expect(cluster.brokers).toEqual(metadata.brokers);
    const [topic] = metadata.topics;
    expect(topic.partitions.map((p: { leader: number; leaderEpoch: number }) => [p.leader, p.leaderEpoch])).toEqual([
      [1, 0],
      [2, 0],
      [3, 0],
    ]);
    expect(topic.partitions[0]).toMatchObject({ replicas: [1, 2, 3], inSync: [1, 2, 3], offline: [] });
  });

  test('a topic is created at any node; replicas that the client chooses name the leader; more than there are is refused', async () => {
    const create = async (topic: object) => {
      const common = { partitions: -1, replicationFactor: -1, assignments: [], configs: [] };
      const request = { topics: [{ ...common, ...topic }], timeoutMs: 1000, validateOnly: false };
      return (await three.raw.call('CreateTopics', 7, request)).topics[0];
    };
    const assignments = [
      { partition: 1, brokers: [2] },
      { partition: 0, brokers: [3, 1] },
    ];
    expect(await create({ name: 'a', assignments })).toMatchObject({ errorCode: 0, replicationFactor: 3 });
    expect([kafka.describePartition('a', 0).leader, kafka.describePartition('a', 1).leader]).toEqual([3, 2]);
    expect(await create({ name: 'b', partitions: 1, replicationFactor: 3 })).toMatchObject({ errorCode: 0 });
    expect(await create({ name: 'c', partitions: 1, replicationFactor: 4 })).toMatchObject({ errorCode: 38 });
    for (const brokers of [[4], [1, 1], []])
      expect(await create({ name: 'd', assignments: [{ partition: 0, brokers }] })).toMatchObject({ errorCode: 39 });
    expect(await create({ name: 'd', assignments: [{ partition: 1, brokers: [1] }] })).toMatchObject({ errorCode: 39 });
    const grow = async (assignments: object[] | null) => {
      const request = { topics: [{ name: 'a', count: 4, assignments }], timeoutMs: 1000, validateOnly: false };
      return (await three.raw.call('CreatePartitions', 3, request)).results[0].errorCode;
    };
    expect([await grow([{ brokers: [1] }]), await grow([{ brokers: [1] }, { brokers: [9] }])]).toEqual([39, 39]);
    expect(await grow([{ brokers: [1] }, { brokers: [3] }])).toBe(0);
    expect([kafka.describePartition('a', 2).leader, kafka.describePartition('a', 3).leader]).toEqual([1, 3]);
  });

  test('only the leader answers for a partition, whatever the version', async () => {
    await one.produce(['a']);
    for (const version of [3, 9])
      expect(await two.produce(['b'], { version })).toMatchObject({ errorCode: 6, baseOffset: -1 });
    for (const version of [4, 12]) expect(await two.fetch(0, { version })).toMatchObject({ errorCode: 6, values: [] });
    for (const version of [1, 7])
      expect(await two.listOffset(-1, { version })).toMatchObject({ errorCode: 6, offset: -1 });
    for (const version of [2, 4]) expect(await two.endOfEpoch(0, { version })).toMatchObject({ errorCode: 6 });
    expect(await two.deleteRecords(0)).toMatchObject({ errorCode: 6, lowWatermark: -1 });
    expect((await one.fetch(0)).values).toEqual(['a']);
    expect(kafka.moveLeader('t', 0, 2)).toMatchObject({ leader: 2, leaderEpoch: 1, endOffset: 1 });
    expect(await one.fetch(0)).toMatchObject({ errorCode: 6 });
    expect((await two.fetch(0)).values).toEqual(['a']);
    expect((await two.metadata()).leader).toBe(2);
  });

  test('a client with an older or newer epoch than the leader’s is told so, at any node, before it is told who leads', async () => {
    kafka.moveLeader('t', 0, 2);
    kafka.moveLeader('t', 0, 2);
    for (const [at, rest] of [
      [two, 0],
      [one, 6],
    ] as const) {
      for (const [epoch, errorCode] of [
        [0, 74],
        [1, 74],
        [2, rest],
        [3, 75],
        [-1, rest],
      ] as const) {
        expect(await at.fetch(0, { epoch })).toMatchObject({ errorCode });
        expect(await at.listOffset(-1, { epoch })).toMatchObject({ errorCode });
        expect(await at.endOfEpoch(2, { epoch })).toMatchObject({ errorCode });
      }
    }
  });

  test('the history of epochs: what each wrote, where it ended, and what is left when records are deleted', async () => {
    for (let i = 0; i < 10; i++) await one.produce([String(i)]);
    kafka.moveLeader('t', 0, 2);
    expect(await ends(two, 0, 1, 2, -1)).toEqual(['0@10', '1@10', '-1@-1', '-1@-1']);
    await two.produce(['10', '11']);
    kafka.moveLeader('t', 0, 3);
    kafka.moveLeader('t', 0, 1);
    expect(await ends(one, 0, 1, 2, 3, 4)).toEqual(['0@10', '1@12', '1@12', '3@12', '-1@-1']);
    await one.produce(['12']);
    expect(await ends(one, 2, 3)).toEqual(['1@12', '3@13']);
    expect((await one.fetch(9)).epochs).toEqual([0, 1, 3]);
    expect(await one.listOffset(-1)).toMatchObject({ offset: 13, leaderEpoch: 3 });
    expect(await one.listOffset(-2)).toMatchObject({ offset: 0, leaderEpoch: 0 });
    expect(await one.listOffset(0)).toMatchObject({ offset: 0, leaderEpoch: 0 });
    await one.deleteRecords(5);
    expect(await ends(one, 0, 1)).toEqual(['0@10', '1@12']);
    expect(await one.listOffset(-2)).toMatchObject({ offset: 5, leaderEpoch: 0 });
    await one.deleteRecords(-1);
    expect(await ends(one, 0, 1, 2, 3, 4)).toEqual(['0@13', '1@13', '2@13', '3@13', '-1@-1']);
    expect(await one.listOffset(-2)).toMatchObject({ offset: 13, leaderEpoch: 3 });
  });

  test('nobody leads for a while: a new epoch, LEADER_NOT_AVAILABLE in the metadata, refusals at every node', async () => {
    await one.produce(['a']);
    expect(kafka.moveLeader('t', 0, -1)).toMatchObject({ leader: -1, leaderEpoch: 1 });
    expect(await two.metadata()).toMatchObject({ errorCode: 5, leader: -1, leaderEpoch: 1 });
    for (const at of [one, two, three]) {
      expect(await at.produce(['b'])).toMatchObject({ errorCode: 6 });
      expect(await at.listOffset(-1)).toMatchObject({ errorCode: 6 });
    }
    expect(kafka.moveLeader('t', 0, 3)).toMatchObject({ leader: 3, leaderEpoch: 2 });
    expect(await three.metadata()).toMatchObject({ errorCode: 0, leader: 3, leaderEpoch: 2 });
    await three.produce(['b']);
    expect((await three.fetch(0)).epochs).toEqual([0, 2]);
    // The epoch without a leader has left nothing.
    expect(await ends(three, 1)).toEqual(['0@1']);
  });

  test('who waits at the old leader is answered when it moves', async () => {
    const waiting = one.fetch(0, { maxWaitMs: 60_000 });
    const known = (await cluster.at(1)).fetch(0, { maxWaitMs: 60_000, epoch: 0 });
    kafka.inject({ api: 'Fetch', action: { kind: 'run', run: () => void kafka.moveLeader('t', 0, 2) } });
    await (await cluster.at(3)).fetch(0);
    expect(await waiting).toMatchObject({ errorCode: 6 });
    expect(await known).toMatchObject({ errorCode: 74 });
  });

  test('what is no node, topic or partition is refused, and so is a leader that is stopped', async () => {
    const refused = expect.objectContaining({ code: 'MILLRACE_EMBEDDED_INVALID_ARGUMENT' });
    for (const call of [
      () => kafka.moveLeader('t', 0, 4),
      () => kafka.moveLeader('t', 3, 1),
      () => kafka.moveLeader('none', 0, 1),
      () => kafka.moveLeader('t', 0, 1, { truncateTo: -1 }),
      () => kafka.holdHighWatermark('t', 9),
      () => kafka.describePartition('none', 0),
      () => kafka.moveCoordinator({ groupId: 'g' }, 0),
      () => kafka.freezeMetadata(7),
      () => kafka.cutNode(7),
      () => kafka.addressOf(7),
    ])
      expect(call).toThrow(refused);
    await expect(kafka.stopNode(9)).rejects.toEqual(refused);
    await kafka.stopNode(2);
    expect(() => kafka.moveLeader('t', 0, 2)).toThrow(refused);
    for (const nodes of [0, 1.5, 101]) await expect(TestCluster.start({ nodes })).rejects.toEqual(refused);
  });
});

describe('an unclean election', () => {
  const producer = (producerId: number, baseSequence: number, values = ['x'], transactional = false) =>
    batchOf(values, { producerId, producerEpoch: 0, baseSequence, transactional });

  test('the log loses its end; readers learn where it diverges', async () => {
    for (const value of ['a', 'b', 'c']) await one.produce([value]);
    expect(kafka.moveLeader('t', 0, 2, { truncateTo: 1 })).toMatchObject({ endOffset: 1, highWatermark: 1 });
    await two.produce(['B', 'C', 'D']);
    expect(await two.fetch(0)).toMatchObject({ values: ['a', 'B', 'C', 'D'], epochs: [0, 1] });
    expect(await ends(two, 0, 1)).toEqual(['0@1', '1@4']);
    // One that has read to 3 under epoch 0, and one that has not.
    expect(await two.fetch(3, { lastFetchedEpoch: 0 })).toMatchObject({
      errorCode: 0,
      values: [],
      divergingEpoch: { epoch: 0, endOffset: 1 },
    });
    expect((await two.fetch(1, { lastFetchedEpoch: 0 })).values).toEqual(['B', 'C', 'D']);
    expect((await two.fetch(2, { lastFetchedEpoch: 1 })).divergingEpoch).toBeNull();
    kafka.moveLeader('t', 0, 1, { truncateTo: 0 });
    expect(await one.fetch(0)).toMatchObject({ errorCode: 0, highWatermark: 0, values: [] });
    expect(await one.fetch(1)).toMatchObject({ errorCode: 1 });
    expect(await one.fetch(4, { lastFetchedEpoch: 1 })).toMatchObject({
      errorCode: 0,
      divergingEpoch: { epoch: 1, endOffset: 0 },
    });
  });

  test('batches are lost whole, and nothing before the start of the log', async () => {
    await one.produce(['a', 'b', 'c']);
    await one.produce(['d', 'e', 'f']);
    expect(kafka.moveLeader('t', 0, 1, { truncateTo: 5 })).toMatchObject({ endOffset: 5 });
    expect((await one.fetch(0)).values).toEqual(['a', 'b', 'c']);
    expect(kafka.moveLeader('t', 0, 1, { truncateTo: 99 })).toMatchObject({ endOffset: 5 });
    expect(await one.produce(['D'])).toMatchObject({ baseOffset: 5 });
    expect((await one.fetch(3)).values).toEqual(['D']);
    await one.deleteRecords(2);
    expect(kafka.moveLeader('t', 0, 1, { truncateTo: 0 })).toMatchObject({ startOffset: 2, endOffset: 2 });
    expect(await one.produce(['g'])).toMatchObject({ baseOffset: 2 });
    expect((await one.fetch(2)).values).toEqual(['g']);
  });

  test('producers are known as far as the log goes: what was lost may be written again, what was not is a repetition', async () => {
    for (let sequence = 0; sequence < 8; sequence++) await one.produce(producer(5, sequence));
    await one.produce(producer(6, 0));
    kafka.moveLeader('t', 0, 1, { truncateTo: 3 });
    expect(await one.produce(producer(5, 8))).toMatchObject({ errorCode: 45 });
    expect(await one.produce(producer(5, 2))).toMatchObject({ errorCode: 0, baseOffset: 2 });
    expect(await one.produce(producer(5, 3))).toMatchObject({ errorCode: 0, baseOffset: 3 });
    // Of this one nothing is left: any sequence may follow.
    expect(await one.produce(producer(6, 7))).toMatchObject({ errorCode: 0, baseOffset: 4 });
  });

  test('a producer whose batches are deleted at the start stays known', async () => {
    for (let sequence = 0; sequence < 3; sequence++) await one.produce(producer(5, sequence));
    await one.deleteRecords(3);
    await one.produce(['lost']);
    kafka.moveLeader('t', 0, 1, { truncateTo: 3 });
    expect(await one.produce(producer(5, 9))).toMatchObject({ errorCode: 45 });
    expect(await one.produce(producer(5, 3))).toMatchObject({ errorCode: 0, baseOffset: 3 });
  });

  test('an open transaction goes on without what it lost; one whose marker is lost is open again', async () => {
    const transactionalId = 'x';
    const coordinator = await cluster.raw(kafka.coordinatorOf({ transactionalId }));
    const init = { transactionalId, timeoutMs: 60_000, producerId: -1, producerEpoch: -1 };
    const { producerId, producerEpoch } = await coordinator.call('InitProducerId', 4, init);
    const base = { transactionalId, producerId, producerEpoch };
    const begin = () =>
      coordinator.call('AddPartitionsToTxn', 3, { ...base, topics: [{ name: 't', partitions: [0] }] });
    const end = async (committed: boolean) => (await coordinator.call('EndTxn', 3, { ...base, committed })).errorCode;
    const write = (sequence: number) => one.produce(producer(producerId, sequence, ['t'], true), { transactionalId });
    await begin();
    await write(0);
    await write(1);
    kafka.moveLeader('t', 0, 1, { truncateTo: 1 });
    expect(await one.fetch(0, { committed: true })).toMatchObject({ lastStableOffset: 0, highWatermark: 1 });
    expect(await write(1)).toMatchObject({ errorCode: 0, baseOffset: 1 });
    expect(await end(false)).toBe(0);
    expect(await one.fetch(0, { committed: true })).toMatchObject({
      lastStableOffset: 3,
      aborted: [{ producerId, firstOffset: 0 }],
    });
    kafka.moveLeader('t', 0, 1, { truncateTo: 2 });
    expect(await one.fetch(0, { committed: true })).toMatchObject({ lastStableOffset: 0, aborted: [] });
    await begin();
    await write(2);
    expect(await end(true)).toBe(0);
    expect(await one.fetch(0, { committed: true })).toMatchObject({ lastStableOffset: 4, aborted: [] });
  });
});

describe('records that are not replicated', () => {
  test('readers do not see them, acks 1 does not wait for them, acks −1 does; released, all is as if they had been', async () => {
    await one.produce(['a', 'b', 'c']);
    const release = kafka.holdHighWatermark('t', 0);
    expect(await one.produce(['d'], { timeoutMs: 50 })).toMatchObject({ errorCode: 7, baseOffset: 3 });
    expect(await one.produce(['e'], { acks: 1 })).toMatchObject({ errorCode: 0, baseOffset: 4 });
    expect(kafka.describePartition('t', 0)).toMatchObject({ highWatermark: 3, lastStableOffset: 3, endOffset: 5 });
    expect(await one.fetch(0)).toMatchObject({ highWatermark: 3, lastStableOffset: 3, values: ['a', 'b', 'c'] });
    for (const offset of [3, 4, 5]) expect(await one.fetch(offset)).toMatchObject({ errorCode: 0, values: [] });
    expect(await one.fetch(6)).toMatchObject({ errorCode: 1 });
    expect(await one.listOffset(-1)).toMatchObject({ offset: 3, leaderEpoch: 0 });
    expect(await one.listOffset(-1, { committed: true })).toMatchObject({ offset: 3 });
    expect(await one.listOffset(-3)).toMatchObject({ errorCode: 0, offset: -1 });
    expect(await ends(one, 0)).toEqual(['0@5']);
    expect([await one.deleteRecords(4), await one.deleteRecords(2)]).toMatchObject([
      { errorCode: 1, lowWatermark: -1 },
      { errorCode: 0, lowWatermark: 2 },
    ]);
    const waiting = (await cluster.at(1)).fetch(3, { maxWaitMs: 60_000 });
    const writing = (await cluster.at(1)).produce(['f']);
    await waitFor(() => kafka.describePartition('t', 0).endOffset === 6);
    release();
    expect(await writing).toMatchObject({ errorCode: 0, baseOffset: 5 });
    expect((await waiting).values).toEqual(['d', 'e', 'f']);
    expect(await one.produce(['g'])).toMatchObject({ errorCode: 0, baseOffset: 6 });
  });

  test('an unclean election loses exactly what nobody was told of; its producer is told to look for the leader', async () => {
    await one.produce(['a']);
    kafka.holdHighWatermark('t', 0);
    const writing = one.produce(['b']);
    await waitFor(() => kafka.describePartition('t', 0).endOffset === 2);
    const { highWatermark } = kafka.describePartition('t', 0);
    kafka.moveLeader('t', 0, 2, { truncateTo: highWatermark });
    expect(await writing).toMatchObject({ errorCode: 6 });
    expect(await two.fetch(0)).toMatchObject({ values: ['a'], highWatermark: 1 });
  });

  test('a repetition waits as the first did, and a leader that takes over knows of what it has', async () => {
    const records = batchOf(['a'], { producerId: 7, producerEpoch: 0, baseSequence: 0, transactional: false });
    const release = kafka.holdHighWatermark('t', 0);
    expect(await one.produce(records, { timeoutMs: 20 })).toMatchObject({ errorCode: 7, baseOffset: 0 });
    expect(await one.produce(records, { timeoutMs: 20 })).toMatchObject({ errorCode: 7, baseOffset: 0 });
    kafka.moveLeader('t', 0, 2);
    // It leads, and cannot say yet what is replicated (KIP-207).
    expect(await two.listOffset(-1)).toMatchObject({ errorCode: 78, offset: -1 });
    expect(await two.listOffset(-1, { version: 4 })).toMatchObject({ errorCode: 5 });
    expect(await two.listOffset(-2)).toMatchObject({ errorCode: 0, offset: 0 });
    release();
    expect(await two.listOffset(-1)).toMatchObject({ errorCode: 0, offset: 1 });
    expect(await two.produce(records)).toMatchObject({ errorCode: 0, baseOffset: 0 });
    expect((await two.fetch(0)).values).toEqual(['a']);
  });

  test('a transaction whose marker is not replicated is open still for committed readers', async () => {
    const transactionalId = 'x';
    const coordinator = await cluster.raw(kafka.coordinatorOf({ transactionalId }));
    const init = { transactionalId, timeoutMs: 60_000, producerId: -1, producerEpoch: -1 };
    const { producerId, producerEpoch } = await coordinator.call('InitProducerId', 4, init);
    const base = { transactionalId, producerId, producerEpoch };
    await coordinator.call('AddPartitionsToTxn', 3, { ...base, topics: [{ name: 't', partitions: [0] }] });
    await one.produce(batchOf(['a'], { producerId, producerEpoch, baseSequence: 0, transactional: true }), {
      transactionalId,
    });
    const release = kafka.holdHighWatermark('t', 0);
    expect((await coordinator.call('EndTxn', 3, { ...base, committed: true })).errorCode).toBe(0);
    expect(await one.fetch(0, { committed: true })).toMatchObject({
      lastStableOffset: 0,
      highWatermark: 1,
      values: [],
    });
    release();
    expect(await one.fetch(0, { committed: true })).toMatchObject({ lastStableOffset: 2, values: ['a'] });
  });
});
