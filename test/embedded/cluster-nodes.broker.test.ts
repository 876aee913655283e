/** Nodes that stop, start, are cut off, or have not heard yet; skipped on Apache Kafka, which has no such controls. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test as anyTest, expect, inject, vi } from 'vitest';
import type { EmbeddedKafka, EmbeddedKafkaOptions } from '../../src/embedded/index.ts';
import { TestCluster } from '../support/embedded/cluster.ts';
import type { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

let cluster: TestCluster | undefined;
let kafka: EmbeddedKafka;
afterEach(async () => {
  vi.useRealTimers();
  await cluster?.close();
  cluster = undefined;
});

async function start(options: EmbeddedKafkaOptions = {}): Promise<TestCluster> {
  cluster = await TestCluster.start(options);
  kafka = cluster.kafka;
  return cluster;
}

async function metadata(at: RawClient) {
  const answer = await at.call('Metadata', 9, {
    topics: null,
    allowAutoTopicCreation: false,
    includeClusterOperations: false,
    includeTopicOperations: false,
  });
  return {
    controller: answer.controllerId,
    nodes: answer.brokers.map((one: { nodeId: number }) => one.nodeId),
    topics: answer.topics.map((topic: { name: string }) => topic.name),
    leaders: answer.topics[0].partitions.map((one: { leader: number }) => one.leader),
    epochs: answer.topics[0].partitions.map((one: { leaderEpoch: number }) => one.leaderEpoch),
    inSync: answer.topics[0].partitions[0].inSync,
    offline: answer.topics[0].partitions[0].offline,
  };
}

const ids = Array.from({ length: 12 }, (_, i) => `id-${i}`);
const coordinators = (): number[] => ids.map((groupId) => kafka.coordinatorOf({ groupId }));

test('a node that stops hands over what it leads, coordinates and controls; back again, it gets nothing back', async () => {
  const { raw } = await start().then((started) => ({ raw: (node: number) => started.raw(node) }));
  const [a, b] = [await raw(1), await raw(2)];
  const before = coordinators();
  const [{ port }] = (await b.call('Metadata', 1, { topics: null })).brokers;
  await kafka.stopNode(1);
  await waitFor(() => !a.isOpen);
  await expect(raw(1)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  expect(await metadata(b)).toEqual({
    controller: 2,
    nodes: [2, 3],
    topics: ['t'],
    leaders: [2, 2, 3],
    epochs: [1, 0, 0],
    inSync: [2, 3],
    offline: [1],
  });
  expect(coordinators()).toEqual(before.map((node) => (node === 1 ? 2 : node)));
  kafka.createTopics({ topic: 'u', partitions: 3 });
  expect([0, 1, 2].map((partition) => kafka.describePartition('u', partition).leader)).toEqual([2, 3, 2]);
  await kafka.stopNode(1);
  await kafka.startNode(1);
  await kafka.startNode(1);
  expect(await metadata(await raw(1))).toMatchObject({ nodes: [1, 2, 3], leaders: [2, 2, 3], epochs: [1, 0, 0] });
  expect((await b.call('Metadata', 1, { topics: null })).brokers[0].port).toBe(port);
  await kafka.stopNode(2);
  await kafka.stopNode(3);
  expect(await metadata(await raw(1))).toMatchObject({
    controller: 1,
    nodes: [1],
    leaders: [1, 1, 1],
    epochs: [3, 2, 1],
  });
  expect(new Set(coordinators())).toEqual(new Set([1]));
});

test('all nodes stopped: nobody answers; the first that starts has everything', async () => {
  const started = await start();
  await (await started.at(1)).produce(['a']);
  for (const node of [3, 1, 2]) await kafka.stopNode(node);
  for (const node of [1, 2, 3]) await expect(started.raw(node)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await kafka.startNode(3);
  const at = await started.raw(3);
  expect(await metadata(at)).toMatchObject({ controller: 3, nodes: [3], leaders: [3, 3, 3] });
  expect(new Set(coordinators())).toEqual(new Set([3]));
  expect((await (await started.at(3)).fetch(0)).values).toEqual(['a']);
});

/** A group of one member, stable, whose session is 30 s; asks for its heartbeat at the coordinator of then. */
async function joinGroup(started: TestCluster, groupId: string): Promise<() => Promise<number>> {
  const at = await started.raw(kafka.coordinatorOf({ groupId }));
  const join = { groupId, sessionTimeoutMs: 30_000, rebalanceTimeoutMs: 30_000, groupInstanceId: null };
  const rest = { protocolType: 'test', protocols: [{ name: 'p', metadata: Buffer.from('m') }] };
  const { memberId } = await at.call('JoinGroup', 7, { ...join, ...rest, memberId: '' });
  const { generationId } = await at.call('JoinGroup', 7, { ...join, ...rest, memberId });
  const member = { groupId, generationId, memberId, groupInstanceId: null };
  const assignments = [{ memberId, assignment: Buffer.from('all') }];
  await at.call('SyncGroup', 5, { ...member, protocolType: null, protocolName: null, assignments });
  return async () =>
    (await (await started.raw(kafka.coordinatorOf({ groupId }))).call('Heartbeat', 4, member)).errorCode;
}

test('members of a group go on at the node that takes over', async () => {
  const heartbeat = await joinGroup(await start(), 'g');
  const home = kafka.coordinatorOf({ groupId: 'g' });
  await kafka.stopNode(home);
  expect(kafka.coordinatorOf({ groupId: 'g' })).not.toBe(home);
  expect(await heartbeat()).toBe(0);
});

test('nobody’s session runs out while the coordinator is dead and not missed; no marker goes to a dead leader', async () => {
  const started = await start();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const heartbeat = await joinGroup(started, 'g');
  const home = kafka.coordinatorOf({ groupId: 'g' });
  // A transaction of another node with records and positions at the one that dies.
  const transactionalId = ids.find((id) => kafka.coordinatorOf({ transactionalId: id }) !== home)!;
  const coordinator = await started.raw(kafka.coordinatorOf({ transactionalId }));
  const init = { transactionalId, timeoutMs: 60_000, producerId: -1, producerEpoch: -1 };
  const { producerId, producerEpoch } = await coordinator.call('InitProducerId', 4, init);
  const base = { transactionalId, producerId, producerEpoch };
  kafka.moveLeader('t', 0, home);
  await coordinator.call('AddPartitionsToTxn', 3, { ...base, topics: [{ name: 't', partitions: [0] }] });
  await coordinator.call('AddOffsetsToTxn', 3, { ...base, groupId: 'g' });
  const partitions = [{ partition: 0, offset: 7, leaderEpoch: -1, metadata: '' }];
  const anonymous = { generationId: -1, memberId: '', groupInstanceId: null };
  const commit = { ...base, ...anonymous, groupId: 'g', topics: [{ name: 't', partitions }] };
  await (await started.raw(home)).call('TxnOffsetCommit', 3, commit);
  await kafka.stopNode(home, { failoverMs: 40_000 });
  expect((await coordinator.call('EndTxn', 3, { ...base, committed: true })).errorCode).toBe(0);
  expect(kafka.describePartition('t', 0).endOffset).toBe(0);
  vi.advanceTimersByTime(40_000);
  expect(kafka.describePartition('t', 0).endOffset).toBe(1);
  expect(await heartbeat()).toBe(0);
  vi.advanceTimersByTime(31_000);
  expect(await heartbeat()).toBe(25);
  const fetch = { groupId: 'g', topics: [{ name: 't', partitions: [0] }], requireStable: true };
  const answer = await (await started.raw(kafka.coordinatorOf({ groupId: 'g' }))).call('OffsetFetch', 7, fetch);
  expect(answer.topics[0].partitions[0]).toMatchObject({ errorCode: 0, offset: 7 });
});

test('a node that dies is missed after a while only: until then the others name it', async () => {
  const started = await start();
  const at = await started.raw(2);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  await kafka.stopNode(1, { failoverMs: 9_000 });
  expect(await metadata(at)).toMatchObject({ nodes: [1, 2, 3], leaders: [1, 2, 3], offline: [] });
  expect((await (await started.at(2)).fetch(0)).errorCode).toBe(6);
  expect(() => kafka.moveLeader('t', 1, 1)).toThrow('stopped');
  vi.advanceTimersByTime(9_000);
  expect(await metadata(at)).toMatchObject({ nodes: [2, 3], leaders: [2, 2, 3] });
  // One that is back before it is missed has what it had.
  await kafka.stopNode(2, { failoverMs: 9_000 });
  await kafka.startNode(2);
  vi.advanceTimersByTime(9_000);
  expect(await metadata(await started.raw(2))).toMatchObject({ nodes: [2, 3], leaders: [2, 2, 3], epochs: [1, 0, 0] });
});

test('a node is cut off alone; all of them at once; the cluster comes back as it was, with somebody for everything', async () => {
  const started = await start();
  let clients = [await started.raw(1), await started.raw(2), await started.raw(3)];
  kafka.cutNode(2);
  await waitFor(() => !clients[1]!.isOpen);
  expect(clients.map(({ isOpen }) => isOpen)).toEqual([true, false, true]);
  expect(await metadata(await started.raw(2))).toMatchObject({ nodes: [1, 2, 3], leaders: [1, 2, 3] });
  kafka.disconnectClients();
  await waitFor(() => clients.every(({ isOpen }) => !isOpen));
  await kafka.stopNode(3);
  kafka.moveLeader('t', 1, -1);
  kafka.moveCoordinator({ groupId: 'g' }, -1);
  await kafka.stop();
  await expect(started.raw(1)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await kafka.startNode(3);
  await expect(started.raw(3)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await kafka.stopNode(3);
  await kafka.restart();
  await expect(started.raw(3)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  clients = [await started.raw(1)];
  expect(await metadata(clients[0]!)).toMatchObject({ nodes: [1, 2], leaders: [1, 2, 1], epochs: [0, 2, 1] });
  expect(kafka.coordinatorOf({ groupId: 'g' })).toBeGreaterThan(0);
});

test('a node that has not heard names the old leader, coordinator and topics; requests are judged by what is', async () => {
  const started = await start();
  const [stale, fresh] = [await started.raw(3), await started.raw(2)];
  const groupId = 'g';
  const home = kafka.coordinatorOf({ groupId });
  kafka.freezeMetadata(3);
  kafka.moveLeader('t', 0, 2);
  kafka.moveCoordinator({ groupId }, (home % 3) + 1);
  kafka.createTopics('new');
  const coordinatorAt = async (at: RawClient) =>
    (await at.call('FindCoordinator', 2, { key: groupId, keyType: 0 })).nodeId;
  expect(await metadata(stale)).toMatchObject({ topics: ['t'], leaders: [1, 2, 3], epochs: [0, 0, 0] });
  expect(await metadata(fresh)).toMatchObject({ topics: ['t', 'new'], leaders: [2, 2, 3], epochs: [1, 0, 0] });
  expect([await coordinatorAt(stale), await coordinatorAt(fresh)]).toEqual([home, (home % 3) + 1]);
  const ask = { topics: [{ name: 'new' }], allowAutoTopicCreation: true };
  expect((await stale.call('Metadata', 7, ask)).topics[0].errorCode).toBe(3);
  expect((await (await started.at(1)).produce(['a'])).errorCode).toBe(6);
  await fresh.call('DeleteTopics', 5, { names: ['t'], topics: [], timeoutMs: 1000 });
  await kafka.stopNode(1);
  expect(await metadata(stale)).toMatchObject({ nodes: [1, 2, 3], topics: ['t'], controller: 1 });
  const described = await stale.call('DescribeCluster', 1, { includeOperations: false, endpointType: 1 });
  expect([described.controllerId, described.brokers.length]).toEqual([1, 3]);
  kafka.thawMetadata(3);
  expect(await metadata(stale)).toMatchObject({ nodes: [2, 3], topics: ['new'], controller: 2 });
});

test('on files: leaders, epochs and their history outlive a restart; fewer nodes than before have all of it', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-embedded-'));
  let started = await start({ dataDir });
  await (await started.at(1)).produce(['a', 'b']);
  kafka.moveLeader('t', 0, 3);
  await (await started.at(3)).produce(['c']);
  await (await started.at(3)).produce(['lost']);
  kafka.moveLeader('t', 0, 2, { truncateTo: 3 });
  await kafka.stop();
  await kafka.restart();
  const two = await started.at(2);
  expect(await two.metadata()).toMatchObject({ leader: 2, leaderEpoch: 2 });
  expect(await two.endOfEpoch(0)).toMatchObject({ leaderEpoch: 0, endOffset: 2 });
  expect(await two.endOfEpoch(1)).toMatchObject({ leaderEpoch: 1, endOffset: 3 });
  expect(await two.produce(['d'])).toMatchObject({ errorCode: 0, baseOffset: 3 });
  await started.close();
  started = await start({ dataDir, nodes: 1 });
  const one = await started.at(1);
  expect(await one.metadata()).toMatchObject({ leader: 1, leaderEpoch: 3, replicas: [1] });
  expect(await one.fetch(0)).toMatchObject({ values: ['a', 'b', 'c', 'd'], epochs: [0, 1, 2] });
  expect(await one.endOfEpoch(2)).toMatchObject({ leaderEpoch: 2, endOffset: 4 });
});

test('with one node the same controls work on that node', async () => {
  const started = await start({ nodes: 1 });
  const at = await started.at(1);
  await at.produce(['a']);
  kafka.moveLeader('t', 0, -1);
  expect(await at.fetch(0)).toMatchObject({ errorCode: 6 });
  kafka.moveLeader('t', 0, 1, { truncateTo: 0 });
  expect(await at.fetch(0, { epoch: 2 })).toMatchObject({ errorCode: 0, values: [] });
  kafka.moveCoordinator({ groupId: 'g' }, -1);
  const find = { key: 'g', keyType: 0 };
  expect((await at.raw.call('FindCoordinator', 2, find)).errorCode).toBe(15);
  kafka.moveCoordinator({ groupId: 'g' }, 1);
  expect((await at.raw.call('FindCoordinator', 2, find)).nodeId).toBe(1);
});
