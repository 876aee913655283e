/** Groups: what members, commits and operators are answered, on Apache Kafka and on the embedded broker. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait.ts';

const address = inject('brokers')[0]!;
const SESSION_MS = 6_000;
let clients: RawClient[] = [];
let groupId: string;
let topic: string;

/** Each member has a connection of its own: a parked join holds its connection up. */
async function connection(): Promise<RawClient> {
  const client = await RawClient.connect(address);
  clients.push(client);
  return client;
}

let admin: RawClient;
beforeAll(async () => {
  admin = await RawClient.connect(address);
  topic = `t-${randomUUID()}`;
  await admin.call('CreateTopics', 5, {
    topics: [{ name: topic, partitions: 2, replicationFactor: 1, assignments: [], configs: [] }],
    timeoutMs: 10_000,
    validateOnly: false,
  });
});
afterAll(() => admin.close());
beforeEach(async () => {
  for (const client of clients) client.close();
  clients = [];
  groupId = `g-${randomUUID()}`;
  // The first look makes the broker create what it keeps groups in, and load it.
  await waitFor(async () => (await admin.call('FindCoordinator', 2, { key: groupId, keyType: 0 })).errorCode === 0);
  await waitFor(async () => {
    const request = { groups: [groupId], includeOperations: false };
    return (await admin.call('DescribeGroups', 4, request)).groups[0].errorCode === 0;
  });
});

interface MemberOptions {
  readonly memberId?: string;
  readonly instance?: string | null;
  readonly protocols?: readonly string[];
  readonly metadata?: string;
  readonly sessionTimeoutMs?: number;
  readonly protocolType?: string;
}

function join(
  client: RawClient,
  {
    memberId = '',
    instance = null,
    protocols = ['p'],
    metadata = 'm',
    sessionTimeoutMs = SESSION_MS,
    protocolType = 'test',
  }: MemberOptions = {},
) {
  return client.call('JoinGroup', 7, {
    groupId,
    sessionTimeoutMs,
    rebalanceTimeoutMs: 3000,
    memberId,
    groupInstanceId: instance,
    protocolType,
    protocols: protocols.map((name) => ({ name, metadata: Buffer.from(metadata) })),
  });
}

/** Joins with the id that the broker asks for first. */
async function joinNew(client: RawClient, options: MemberOptions = {}) {
  const first = await join(client, options);
  return first.errorCode === 79 ? join(client, { ...options, memberId: first.memberId }) : first;
}

function sync(
  client: RawClient,
  member: { memberId: string; generationId: number },
  assignments: Record<string, string> = {},
  instance: string | null = null,
) {
  return client.call('SyncGroup', 5, {
    groupId,
    generationId: member.generationId,
    memberId: member.memberId,
    groupInstanceId: instance,
    protocolType: 'test',
    protocolName: 'p',
    assignments: Object.entries(assignments).map(([memberId, text]) => ({ memberId, assignment: Buffer.from(text) })),
  });
}

const heartbeat = async (
  client: RawClient,
  { memberId, generationId }: { memberId: string; generationId: number },
  instance: string | null = null,
): Promise<number> =>
  (await client.call('Heartbeat', 4, { groupId, generationId, memberId, groupInstanceId: instance })).errorCode;

async function commit(
  memberId: string,
  generationId: number,
  metadata = '',
  instance: string | null = null,
  name = topic,
) {
  const answer = await admin.call('OffsetCommit', 8, {
    groupId,
    generationId,
    memberId,
    groupInstanceId: instance,
    retentionTimeMs: -1,
    topics: [{ name, partitions: [{ partition: 0, offset: 5, leaderEpoch: -1, metadata }] }],
  });
  return answer.topics[0].partitions[0].errorCode as number;
}

/** A group of one member, stable. */
async function stable(options: MemberOptions = {}) {
  const client = await connection();
  const member = await joinNew(client, options);
  expect(member).toMatchObject({ errorCode: 0, leader: member.memberId, generationId: 1, protocolName: 'p' });
  const synced = await sync(client, member, { [member.memberId]: 'all' }, options.instance ?? null);
  expect([synced.errorCode, String(synced.assignment)]).toEqual([0, 'all']);
  return { client, member };
}

describe('joining', () => {
  test('a new member is asked to come again with its id; two share a generation; one that leaves is missed', async () => {
    const a = await connection();
    const first = await join(a);
    expect(first).toMatchObject({ errorCode: 79, generationId: -1 });
    expect(first.memberId).toMatch(/^raw-/);
    const one = await join(a, { memberId: first.memberId });
    expect(one).toMatchObject({ errorCode: 0, leader: first.memberId });
    expect(one.members).toHaveLength(1);
    await sync(a, one, { [one.memberId]: 'x' });
    const b = await connection();
    const joining = joinNew(b, { metadata: 'second' });
    await waitFor(async () => (await heartbeat(a, one)) === 27);
    const [again, two] = await Promise.all([join(a, { memberId: one.memberId }), joining]);
    expect([again.generationId, two.generationId]).toEqual([2, 2]);
    expect(again.members.map((m: { metadata: Buffer }) => String(m.metadata)).sort()).toEqual(['m', 'second']);
    expect(two.members).toEqual([]);
    const parked = sync(b, two);
    await sync(a, again, { [again.memberId]: 'for a', [two.memberId]: 'for b' });
    expect(String((await parked).assignment)).toBe('for b');
    const leave = { groupId, members: [{ memberId: two.memberId, groupInstanceId: null, reason: null }] };
    expect((await b.call('LeaveGroup', 5, leave)).members[0].errorCode).toBe(0);
    await waitFor(async () => (await heartbeat(a, again)) === 27);
    expect((await join(a, { memberId: one.memberId })).generationId).toBe(3);
  });

  test('what does not fit is refused', async () => {
    const { member } = await stable();
    const other = await connection();
    expect(await join(other, { protocols: ['q'] })).toMatchObject({ errorCode: 23 });
    expect(await join(other, { protocolType: 'other' })).toMatchObject({ errorCode: 23 });
    expect(await join(other, { memberId: 'nobody' })).toMatchObject({ errorCode: 25 });
    expect(await join(other, { sessionTimeoutMs: 10 })).toMatchObject({ errorCode: 26 });
    const unknown = { memberId: 'nobody', generationId: 1 };
    expect([await heartbeat(other, unknown), (await sync(other, unknown)).errorCode]).toEqual([25, 25]);
    const old = { memberId: member.memberId, generationId: 0 };
    expect([await heartbeat(other, old), (await sync(other, old)).errorCode]).toEqual([22, 22]);
  });

  test('a member that says nothing is dropped after its session', async () => {
    const { client, member } = await stable();
    const second = await connection();
    await joinNew(second);
    // The first did not come back within the rebalance time-out.
    expect(await heartbeat(client, member)).toBe(25);
  }, 20_000);

  test('a static member comes back to its generation; the one it replaces is fenced', async () => {
    const instance = 'i-1';
    const { client, member } = await stable({ instance });
    const again = await connection();
    const back = await join(again, { instance });
    expect(back).toMatchObject({ errorCode: 0, generationId: 1 });
    expect(back.memberId).not.toBe(member.memberId);
    expect(String((await sync(again, back, {}, instance)).assignment)).toBe('all');
    expect(await heartbeat(client, member, instance)).toBe(82);
    expect(await heartbeat(again, back, instance)).toBe(0);
    expect(await commit(member.memberId, 1, '', instance)).toBe(82);
    const leave = { groupId, members: [{ memberId: '', groupInstanceId: instance, reason: null }] };
    expect((await again.call('LeaveGroup', 5, leave)).members[0].errorCode).toBe(0);
  });
});

describe('positions', () => {
  test('members of the generation may commit, others only where nobody is in the group', async () => {
    expect(await commit('', -1)).toBe(0);
    const { member } = await stable();
    expect(await commit(member.memberId, member.generationId)).toBe(0);
    expect(await commit(member.memberId, 9)).toBe(22);
    expect(await commit('nobody', member.generationId)).toBe(25);
    expect(await commit('', -1)).toBe(25);
    expect(await commit(member.memberId, member.generationId, 'x'.repeat(4097))).toBe(12);
  });

  test('are read back, all of them where no topic is named', async () => {
    await commit('', -1, 'meta');
    const request = { groupId, topics: null, requireStable: false };
    const { topics, errorCode } = await admin.call('OffsetFetch', 7, request);
    expect(errorCode).toBe(0);
    expect(topics).toEqual([
      { name: topic, partitions: [{ partition: 0, offset: 5, leaderEpoch: -1, metadata: 'meta', errorCode: 0 }] },
    ]);
    const missing = await admin.call('OffsetFetch', 7, {
      groupId,
      topics: [{ name: topic, partitions: [1] }],
      requireStable: false,
    });
    expect(missing.topics[0].partitions[0]).toMatchObject({ offset: -1, errorCode: 0 });
  });
});

describe('operators', () => {
  test('groups are described and listed', async () => {
    const { member } = await stable();
    const { groups } = await admin.call('DescribeGroups', 5, {
      groups: [groupId, 'no-such-group'],
      includeOperations: false,
    });
    expect(groups[0]).toMatchObject({ errorCode: 0, state: 'Stable', protocolType: 'test', protocolData: 'p' });
    expect(groups[0].members[0]).toMatchObject({ memberId: member.memberId, clientId: 'raw' });
    expect(groups[0].members[0].clientHost).toMatch(/^\//);
    expect([String(groups[0].members[0].metadata), String(groups[0].members[0].assignment)]).toEqual(['m', 'all']);
    expect(groups[1]).toMatchObject({ errorCode: 0, state: 'Dead', members: [] });
    const listed = await admin.call('ListGroups', 4, { states: ['Stable'] });
    expect(listed.groups).toContainEqual({ groupId, protocolType: 'test', state: 'Stable' });
    const empty = await admin.call('ListGroups', 4, { states: ['Empty'] });
    expect(empty.groups.map((g: { groupId: string }) => g.groupId)).not.toContain(groupId);
  });

  test('a group is deleted when nobody is in it', async () => {
    const remove = async () => (await admin.call('DeleteGroups', 2, { groups: [groupId] })).results[0].errorCode;
    expect(await remove()).toBe(69);
    const { client, member } = await stable();
    expect(await remove()).toBe(68);
    const leave = { groupId, members: [{ memberId: member.memberId, groupInstanceId: null, reason: null }] };
    await client.call('LeaveGroup', 5, leave);
    await waitFor(async () => (await remove()) === 0);
    expect(await remove()).toBe(69);
  });

  test('a position is deleted', async () => {
    await commit('', -1);
    const remove = { groupId, topics: [{ name: topic, partitions: [{ partition: 0 }] }] };
    expect((await admin.call('OffsetDelete', 0, remove)).topics[0].partitions[0].errorCode).toBe(0);
    const request = { groupId, topics: [{ name: topic, partitions: [0] }], requireStable: false };
    expect((await admin.call('OffsetFetch', 7, request)).topics[0].partitions[0].offset).toBe(-1);
    const strangers = { groupId: `none-${randomUUID()}`, topics: [] };
    expect((await admin.call('OffsetDelete', 0, strangers)).errorCode).toBe(69);
  });
});
