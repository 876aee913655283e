/**
 * Coordinators of groups and transactions that move between nodes. The answers are those of three nodes of Apache Kafka
 * 3.6.2 while a partition of `__consumer_offsets` is moved; there these tests are skipped.
 */
import { afterEach, test as anyTest, beforeEach, describe, expect, inject, vi } from 'vitest';
import type { EmbeddedKafka } from '../../src/embedded/index.ts';
import { TestCluster } from '../support/embedded/cluster.ts';
import { batchOf } from '../support/partition-client.ts';
import type { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

let cluster: TestCluster;
let kafka: EmbeddedKafka;
let home: number;
let other: number;
beforeEach(async () => {
  if (inject('brokerKind') === 'apache') return;
  cluster = await TestCluster.start();
  ({ kafka } = cluster);
});
afterEach(async () => {
  vi.useRealTimers();
  await cluster?.close();
});

/** The broker's waits end when the test says so; connections do not need them. */
const fakeTimers = () => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });

const find = async (at: RawClient, key: string, keyType: number) => {
  const { errorCode, nodeId, port } = await at.call('FindCoordinator', 2, { key, keyType });
  return { errorCode, nodeId, port };
};

describe('of groups', () => {
  const groupId = 'g';
  beforeEach(() => {
    if (kafka === undefined) return;
    home = kafka.coordinatorOf({ groupId });
    other = (home % 3) + 1;
  });

  interface Member {
    readonly memberId: string;
    readonly generationId: number;
  }

  const join = (at: RawClient, memberId = '', sessionTimeoutMs = 30_000) =>
    at.call('JoinGroup', 7, {
      groupId,
      sessionTimeoutMs,
      rebalanceTimeoutMs: 60_000,
      memberId,
      groupInstanceId: null,
      protocolType: 'test',
      protocols: [{ name: 'p', metadata: Buffer.from('m') }],
    });
  const joinNew = async (at: RawClient, sessionTimeoutMs = 30_000) =>
    join(at, (await join(at, '', sessionTimeoutMs)).memberId, sessionTimeoutMs);
  const sync = (at: RawClient, { memberId, generationId }: Member, assignments: Record<string, string> = {}) =>
    at.call('SyncGroup', 5, {
      groupId,
      generationId,
      memberId,
      groupInstanceId: null,
      protocolType: 'test',
      protocolName: 'p',
      assignments: Object.entries(assignments).map(([id, text]) => ({ memberId: id, assignment: Buffer.from(text) })),
    });
  const heartbeat = async (at: RawClient, { memberId, generationId }: Member): Promise<number> =>
    (await at.call('Heartbeat', 4, { groupId, generationId, memberId, groupInstanceId: null })).errorCode;
  const commit = async (at: RawClient, { memberId, generationId }: Member): Promise<number> => {
    const partitions = [{ partition: 0, offset: 5, leaderEpoch: 3, metadata: 'x' }];
    const topics = [{ name: 't', partitions }];
    const answer = await at.call('OffsetCommit', 8, { groupId, generationId, memberId, groupInstanceId: null, topics });
    return answer.topics[0].partitions[0].errorCode;
  };
  const committed = (at: RawClient, version = 7) =>
    at.call('OffsetFetch', version, { groupId, topics: [{ name: 't', partitions: [0] }], requireStable: false });
  const describeGroup = async (at: RawClient) =>
    (await at.call('DescribeGroups', 5, { groups: [groupId], includeOperations: false })).groups[0];
  const listed = async (at: RawClient) => {
    const { errorCode, groups } = await at.call('ListGroups', 4, { states: [] });
    return [errorCode, groups.map((group: { groupId: string }) => group.groupId)];
  };
  const stable = async (at: RawClient, sessionTimeoutMs = 30_000): Promise<Member> => {
    const member = await joinNew(at, sessionTimeoutMs);
    await sync(at, member, { [member.memberId]: 'all' });
    return member;
  };

  test('any node names the coordinator; groups spread over the nodes', async () => {
    const found = await find(await cluster.raw(other), groupId, 0);
    expect([found.nodeId, `127.0.0.1:${found.port}`]).toEqual([home, kafka.addressOf(home)]);
    const ids = Array.from({ length: 30 }, (_, i) => `group-${i}`);
    const { coordinators } = await (await cluster.raw(1)).call('FindCoordinator', 4, { keyType: 0, keys: ids });
    const nodes = coordinators.map((one: { nodeId: number }) => one.nodeId);
    expect(new Set(nodes)).toEqual(new Set([1, 2, 3]));
    expect(nodes).toEqual(ids.map((id) => kafka.coordinatorOf({ groupId: id })));
  });

  test('a node that is not the coordinator says so, in the place that each answer has for it', async () => {
    const member = await stable(await cluster.raw(home));
    const at = await cluster.raw(other);
    expect(await join(at, member.memberId)).toMatchObject({ errorCode: 16, memberId: member.memberId });
    expect((await sync(at, member)).errorCode).toBe(16);
    expect([await heartbeat(at, member), await commit(at, member)]).toEqual([16, 16]);
    expect(await committed(at)).toMatchObject({ errorCode: 16, topics: [] });
    expect(await committed(at, 1)).toMatchObject({ topics: [{ partitions: [{ errorCode: 16, offset: -1 }] }] });
    const leave = { groupId, members: [{ memberId: member.memberId, groupInstanceId: null, reason: null }] };
    expect(await at.call('LeaveGroup', 5, leave)).toMatchObject({ errorCode: 16, members: [] });
    const { memberId } = member;
    expect(await at.call('LeaveGroup', 2, { groupId, memberId })).toMatchObject({ errorCode: 16 });
    expect(await describeGroup(at)).toMatchObject({ errorCode: 16, state: '', members: [] });
    expect([await listed(at), await listed(await cluster.raw(home))]).toEqual([
      [0, []],
      [0, [groupId]],
    ]);
    expect((await at.call('DeleteGroups', 2, { groups: [groupId] })).results).toEqual([{ groupId, errorCode: 16 }]);
    const remove = { groupId, topics: [{ name: 't', partitions: [{ partition: 0 }] }] };
    expect(await at.call('OffsetDelete', 0, remove)).toMatchObject({ errorCode: 16, topics: [] });
    const inTransaction = { transactionalId: 'x', groupId, producerId: 1, producerEpoch: 0, generationId: -1 };
    const partitions = [{ partition: 0, offset: 1, leaderEpoch: -1, metadata: null }];
    const request = { ...inTransaction, memberId: '', groupInstanceId: null, topics: [{ name: 't', partitions }] };
    expect((await at.call('TxnOffsetCommit', 3, request)).topics[0].partitions[0].errorCode).toBe(16);
    expect(await heartbeat(await cluster.raw(home), member)).toBe(0);
  });

  test('a group moves with its members and positions; a member that joins meanwhile is sent to look for it', async () => {
    const [a, b] = [await cluster.raw(home), await cluster.raw(home)];
    const member = await stable(a);
    expect(await commit(a, member)).toBe(0);
    const { memberId } = await join(b);
    const joining = join(b, memberId);
    await expect.poll(() => heartbeat(a, member)).toBe(27);
    kafka.moveCoordinator({ groupId }, other);
    expect(await joining).toMatchObject({ errorCode: 16, memberId });
    expect(await heartbeat(a, member)).toBe(16);
    expect(await find(a, groupId, 0)).toMatchObject({ errorCode: 0, nodeId: other });
    const at = await cluster.raw(other);
    expect(await heartbeat(at, member)).toBe(0);
    expect(await describeGroup(at)).toMatchObject({
      errorCode: 0,
      state: 'Stable',
      members: [{ memberId: member.memberId }],
    });
    expect((await committed(at)).topics[0].partitions[0]).toMatchObject({ offset: 5, leaderEpoch: 3, metadata: 'x' });
    expect((await join(at, memberId)).errorCode).toBe(25);
    expect(String((await sync(at, member)).assignment)).toBe('all');
  });

  test('a rebalance that is not complete is lost with its coordinator: the generation before it stands', async () => {
    const [a, b] = [await cluster.raw(home), await cluster.raw(home)];
    const first = await stable(a);
    const { memberId } = await join(b);
    const joining = join(b, memberId);
    await expect.poll(() => heartbeat(a, first)).toBe(27);
    const second = await join(a, first.memberId);
    const joined = await joining;
    expect([second.generationId, joined.generationId]).toEqual([2, 2]);
    let hasArrived = false;
    const when = (): boolean => !(hasArrived = true);
    kafka.inject({ api: 'SyncGroup', when, action: { kind: 'half-open' } });
    const syncing = sync(b, joined);
    await waitFor(() => hasArrived);
    kafka.moveCoordinator({ groupId }, other);
    expect((await syncing).errorCode).toBe(16);
    const at = await cluster.raw(other);
    expect(await describeGroup(at)).toMatchObject({ state: 'Stable', members: [{ memberId: first.memberId }] });
    expect([await heartbeat(at, first), await heartbeat(at, second), await heartbeat(at, joined)]).toEqual([0, 22, 25]);
  });

  test('while it loads, heartbeats pass, a sync begins anew, all else is asked to wait', async () => {
    fakeTimers();
    const member = await stable(await cluster.raw(home));
    kafka.moveCoordinator({ groupId }, other, { loadMs: 200 });
    const at = await cluster.raw(other);
    expect(await find(at, groupId, 0)).toMatchObject({ errorCode: 0, nodeId: other });
    expect([await heartbeat(at, member), (await sync(at, member)).errorCode]).toEqual([0, 27]);
    expect([(await join(at)).errorCode, await commit(at, member)]).toEqual([14, 14]);
    expect(await committed(at)).toMatchObject({ errorCode: 14, topics: [] });
    expect(await describeGroup(at)).toMatchObject({ errorCode: 14 });
    expect([await listed(at), await listed(await cluster.raw(home))]).toEqual([
      [14, []],
      [0, []],
    ]);
    vi.advanceTimersByTime(199);
    expect(await commit(at, member)).toBe(14);
    vi.advanceTimersByTime(1);
    expect(await commit(at, member)).toBe(0);
    expect(await listed(at)).toEqual([0, [groupId]]);
  });

  test('without a coordinator nobody answers, and sessions rest; loaded again, members have a whole one', async () => {
    const silent = await cluster.raw(home);
    fakeTimers();
    const member = await stable(silent, 30_000);
    kafka.moveCoordinator({ groupId }, -1);
    expect(await find(silent, groupId, 0)).toMatchObject({ errorCode: 15, nodeId: -1 });
    const { coordinators } = await silent.call('FindCoordinator', 4, { keyType: 0, keys: [groupId] });
    expect(coordinators).toMatchObject([{ key: groupId, errorCode: 15, nodeId: -1 }]);
    for (const node of [1, 2, 3]) expect(await heartbeat(await cluster.raw(node), member)).toBe(16);
    vi.advanceTimersByTime(60_000);
    kafka.moveCoordinator({ groupId }, home, { loadMs: 10_000 });
    vi.advanceTimersByTime(39_000);
    expect(await heartbeat(silent, member)).toBe(0);
    vi.advanceTimersByTime(31_000);
    expect(await heartbeat(silent, member)).toBe(25);
  });

  test('a group that only has positions moves with them', async () => {
    const at = await cluster.raw(home);
    expect(await commit(at, { memberId: '', generationId: -1 })).toBe(0);
    kafka.moveCoordinator({ groupId }, other);
    const next = await cluster.raw(other);
    expect(await describeGroup(next)).toMatchObject({ state: 'Empty' });
    expect((await committed(next)).topics[0].partitions[0]).toMatchObject({ offset: 5 });
    expect((await next.call('DeleteGroups', 2, { groups: [groupId] })).results).toEqual([{ groupId, errorCode: 0 }]);
  });
});

describe('of transactions', () => {
  const transactionalId = 'x';
  beforeEach(() => {
    if (kafka === undefined) return;
    home = kafka.coordinatorOf({ transactionalId });
    other = (home % 3) + 1;
  });

  interface Producer {
    readonly producerId: number;
    readonly producerEpoch: number;
  }
  const init = (at: RawClient, named: Producer = { producerId: -1, producerEpoch: -1 }) =>
    at.call('InitProducerId', 4, { transactionalId, timeoutMs: 60_000, ...named });
  const base = ({ producerId, producerEpoch }: Producer) => ({ transactionalId, producerId, producerEpoch });
  const add = async (at: RawClient, producer: Producer, partition = 0): Promise<number> => {
    const request = { ...base(producer), topics: [{ name: 't', partitions: [partition] }] };
    return (await at.call('AddPartitionsToTxn', 3, request)).topics[0].partitions[0].errorCode;
  };
  const addGroup = async (at: RawClient, producer: Producer): Promise<number> =>
    (await at.call('AddOffsetsToTxn', 3, { ...base(producer), groupId: 'g' })).errorCode;
  const end = async (at: RawClient, producer: Producer, committed = true): Promise<number> =>
    (await at.call('EndTxn', 3, { ...base(producer), committed })).errorCode;
  const write = async (producer: Producer, baseSequence: number, partition = 0) => {
    const { leader } = kafka.describePartition('t', partition);
    const { producerId, producerEpoch } = producer;
    const records = batchOf(['v'], { producerId, producerEpoch, baseSequence, transactional: true });
    return (await cluster.at(leader, 't', partition)).produce(records, { transactionalId });
  };

  test('any node gives out producer ids; with a transactional id only its coordinator answers', async () => {
    const [here, there] = [await cluster.raw(home), await cluster.raw(other)];
    const plain = { transactionalId: null, timeoutMs: 1000, producerId: -1, producerEpoch: -1 };
    expect((await there.call('InitProducerId', 4, plain)).errorCode).toBe(0);
    expect(await init(there)).toMatchObject({ errorCode: 16, producerId: -1 });
    const producer = await init(here);
    expect(await find(there, transactionalId, 1)).toMatchObject({ errorCode: 0, nodeId: home });
    expect([await add(there, producer), await addGroup(there, producer), await end(there, producer)]).toEqual([
      16, 16, 16,
    ]);
    expect([await add(here, producer), await addGroup(here, producer), await end(here, producer)]).toEqual([0, 0, 0]);
  });

  test('a transaction goes on at the coordinator that it moves to, once that has loaded it', async () => {
    const here = await cluster.raw(home);
    const producer = await init(here);
    await add(here, producer);
    await write(producer, 0);
    const there = await cluster.raw(other);
    fakeTimers();
    kafka.moveCoordinator({ transactionalId }, other, { loadMs: 100 });
    expect([await end(here, producer), await end(there, producer)]).toEqual([16, 14]);
    vi.advanceTimersByTime(100);
    expect(await end(there, producer)).toBe(0);
    const { highWatermark, lastStableOffset } = kafka.describePartition('t', 0);
    expect([highWatermark, lastStableOffset]).toEqual([2, 2]);
  });

  test('without a coordinator an open transaction stays open, however old; with one it is aborted', async () => {
    const here = await cluster.raw(home);
    const producer = await init(here);
    await add(here, producer);
    await write(producer, 0);
    kafka.moveCoordinator({ transactionalId }, -1);
    kafka.advanceTime(120_000);
    expect(kafka.describePartition('t', 0).lastStableOffset).toBe(0);
    kafka.moveCoordinator({ transactionalId }, other);
    kafka.advanceTime(1);
    expect(kafka.describePartition('t', 0).lastStableOffset).toBe(2);
  });

  test('an end waits for the leader of each partition: until all markers are written, the next transaction has to wait', async () => {
    const here = await cluster.raw(home);
    let producer = await init(here);
    expect([await add(here, producer, 0), await add(here, producer, 1)]).toEqual([0, 0]);
    await write(producer, 0, 0);
    await write(producer, 0, 1);
    kafka.moveLeader('t', 1, -1);
    expect(await end(here, producer)).toBe(0);
    expect([kafka.describePartition('t', 0).endOffset, kafka.describePartition('t', 1).endOffset]).toEqual([2, 1]);
    expect([await end(here, producer), await end(here, producer, false)]).toEqual([51, 48]);
    expect([await add(here, producer), await addGroup(here, producer)]).toEqual([51, 51]);
    expect((await init(here)).errorCode).toBe(51);
    expect((await write(producer, 1, 0)).errorCode).toBe(19);
    expect(kafka.moveLeader('t', 1, 3)).toMatchObject({ endOffset: 2, lastStableOffset: 2 });
    expect(await end(here, producer)).toBe(0);
    // The same for one that a second producer puts an end to.
    await add(here, producer, 1);
    await write(producer, 1, 1);
    kafka.moveLeader('t', 1, -1);
    expect((await init(here)).errorCode).toBe(51);
    kafka.moveLeader('t', 1, 2);
    producer = await init(here);
    expect(producer).toMatchObject({ errorCode: 0, producerEpoch: 2 });
    const reader = await cluster.at(2, 't', 1);
    expect((await reader.fetch(0, { committed: true })).aborted).toMatchObject([{ firstOffset: 2 }]);
    // One whose topic goes away waits for nobody.
    await add(here, producer, 2);
    await write(producer, 0, 2);
    kafka.moveLeader('t', 2, -1);
    expect([await end(here, producer), await add(here, producer)]).toEqual([0, 51]);
    await here.call('DeleteTopics', 5, { names: ['t'], topics: [], timeoutMs: 1000 });
    expect(await addGroup(here, producer)).toBe(0);
  });

  test('an end that waits for a leader is finished after a restart', async () => {
    const here = await cluster.raw(home);
    const producer = await init(here);
    await add(here, producer);
    await write(producer, 0);
    kafka.moveLeader('t', 0, -1);
    expect(await end(here, producer)).toBe(0);
    await kafka.stop();
    await kafka.restart();
    expect(kafka.describePartition('t', 0)).toMatchObject({
      leader: 1,
      leaderEpoch: 2,
      endOffset: 2,
      lastStableOffset: 2,
    });
  });
});
