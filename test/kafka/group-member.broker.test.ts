/** What a member keeps over rebalances, and what it has lost: generations, ids, fencings at awkward moments. */
import { randomUUID } from 'node:crypto';
import { test as anyTest, expect, inject } from 'vitest';
import type { EmbeddedKafka } from '../../src/embedded/index.ts';
import { commitOffsets, fetchCommitted, type Generation, GroupMember, KafkaCluster } from '../../src/kafka/index.ts';
import { RawClient } from '../support/raw-client.ts';
import { closeLater, ownCluster, ownKafka } from '../support/streams.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

interface TestMember {
  readonly member: GroupMember;
  readonly generations: Generation[];
}

/** A member that writes down what its hooks were told; `duringRevoke` runs in the hook. */
function join(
  kafka: EmbeddedKafka,
  groupId: string,
  name: string,
  events: string[],
  duringRevoke: () => Promise<void> = async () => {},
  more: { readonly maxPollIntervalMs?: number; readonly sessionTimeoutMs?: number } = {},
): TestMember {
  const generations: Generation[] = [];
  const cluster = new KafkaCluster({ kafka: { brokers: kafka.brokers, clientId: name } });
  const member = new GroupMember(
    cluster,
    { groupId, protocolName: 'test', heartbeatIntervalMs: 30, ...more },
    {
      subscription: () => Buffer.from(name),
      assign: async (members) => new Map(members.map((m) => [m.memberId, m.metadata])),
      async onRevoked(lost) {
        events.push(`${name} ${lost ? 'lost' : 'revoked'}`);
        if (!lost) await duringRevoke();
      },
      async onAssigned(_assignment, generation) {
        generations.push(generation);
        events.push(`${name} assigned`);
      },
    },
    ownCluster(kafka.brokers),
  );
  closeLater(() => member.close());
  return { member, generations };
}

/** Takes a member out of its group behind its back. */
async function kick(kafka: EmbeddedKafka, { groupId, memberId }: Generation): Promise<void> {
  const client = await RawClient.connect(kafka.brokers[0]!);
  await client.call('LeaveGroup', 1, { groupId, memberId });
  client.close();
}

test('a fencing noticed while the revoke hook runs is told before the next join', async () => {
  const kafka = await ownKafka();
  const events: string[] = [];
  const groupId = randomUUID();
  const a = join(kafka, groupId, 'a', events, async () => {
    await kick(kafka, a.generations[0]!);
    await waitFor(() => a.generations[0]!.lost.aborted);
  });
  await a.member.poll();
  a.member.requestRejoin();
  await a.member.poll();
  expect(events).toEqual(['a assigned', 'a revoked', 'a lost', 'a assigned']);
  expect(a.generations[1]!.lost.aborted).toBe(false);
});

test('a commit that is fenced in the revoke hook loses what is held', async () => {
  const kafka = await ownKafka();
  const events: string[] = [];
  const a = join(kafka, randomUUID(), 'a', events, async () => a.member.lose());
  await a.member.poll();
  a.member.requestRejoin();
  await a.member.poll();
  expect(events).toEqual(['a assigned', 'a revoked', 'a lost', 'a assigned']);
});

test('over directly successive generations nothing is lost', async () => {
  const kafka = await ownKafka();
  const events: string[] = [];
  const groupId = randomUUID();
  const a = join(kafka, groupId, 'a', events);
  const b = join(kafka, groupId, 'b', events);
  await a.member.poll();
  const joining = b.member.poll();
  await waitFor(() => a.member.needsRejoin);
  await Promise.all([a.member.poll(), joining]);
  expect(events.sort()).toEqual(['a assigned', 'a assigned', 'a revoked', 'b assigned']);
  expect(a.generations[1]!.generationId).toBe(a.generations[0]!.generationId + 1);
});

test('a generation that began without this member’s assignment loses what it kept', async () => {
  const kafka = await ownKafka();
  const events: string[] = [];
  const groupId = randomUUID();
  const a = join(kafka, groupId, 'a', events);
  const b = join(kafka, groupId, 'b', events);
  await a.member.poll();
  // The second generation begins with a in it, but its assignment never comes, and asking again is kept from it until
  // there is a third.
  const isA = (_request: unknown, clientId: string | null): boolean => clientId === 'a';
  kafka.inject({ api: 'SyncGroup', action: { kind: 'lose-response' }, when: isA });
  const letJoin = kafka.inject({
    api: 'JoinGroup',
    after: 1,
    times: Infinity,
    action: { kind: 'disconnect' },
    when: isA,
  });
  const joining = b.member.poll();
  await waitFor(() => a.member.needsRejoin);
  const rejoining = a.member.poll();
  await joining;
  const c = join(kafka, groupId, 'c', events);
  const third = c.member.poll();
  await waitFor(() => b.member.needsRejoin);
  letJoin();
  await Promise.all([b.member.poll(), third, rejoining]);
  expect(a.generations.map(({ generationId }) => generationId)).toEqual([1, 3]);
  expect(events.filter((event) => event.startsWith('a'))).toEqual(['a assigned', 'a revoked', 'a lost', 'a assigned']);
});

test('positions are committed in the name of the generation: after leaving, a broker refuses them', async () => {
  const kafka = await ownKafka({ topics: ['t'] });
  const events: string[] = [];
  const groupId = randomUUID();
  const cluster = ownCluster(kafka.brokers);
  const at = { topic: 't', partition: 0, metadata: null };
  const stuck = join(kafka, groupId, 'stuck', events, undefined, { maxPollIntervalMs: 150 });
  await stuck.member.poll();
  const generation = stuck.generations[0]!;
  await commitOffsets(cluster, generation, [{ ...at, offset: 3 }]);
  // No progress: it leaves by itself, and the group is empty: what comes from nobody is taken, as positions set by hand.
  const client = await RawClient.connect(kafka.brokers[0]!);
  closeLater(async () => client.close());
  const isEmpty = async (): Promise<boolean> =>
    (await client.call('DescribeGroups', 0, { groups: [groupId] })).groups[0].state === 'Empty';
  await waitFor(isEmpty);
  expect(generation.lost.aborted).toBe(true);
  const late = commitOffsets(cluster, generation, [{ ...at, offset: 2 }]);
  await expect(late).rejects.toMatchObject({ code: 'MILLRACE_KAFKA_MEMBER_FENCED' });
  expect((await fetchCommitted(cluster, groupId, [at])).get('t-0')?.offset).toBe(3);
});

test('a member whose heartbeats are not answered within the session has lost, and comes back', async () => {
  const kafka = await ownKafka();
  const events: string[] = [];
  const a = join(kafka, randomUUID(), 'a', events, undefined, { sessionTimeoutMs: 300 });
  await a.member.poll();
  const stopFault = kafka.inject({ api: 'Heartbeat', times: Infinity, action: { kind: 'disconnect' } });
  await waitFor(() => a.generations[0]!.lost.aborted);
  stopFault();
  await a.member.poll();
  expect(events).toEqual(['a assigned', 'a lost', 'a assigned']);
});

test('close() does not wait for a SyncGroup or a JoinGroup that is parked', async () => {
  const kafka = await ownKafka();
  const events: string[] = [];
  for (const api of ['SyncGroup', 'JoinGroup']) {
    const groupId = randomUUID();
    const a = join(kafka, groupId, 'a', events);
    kafka.inject({ api, times: Infinity, action: { kind: 'delay', ms: 600_000 } });
    const polling = a.member.poll();
    polling.catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    a.member.interrupt();
    await polling;
    await a.member.close();
    kafka.clearFaults();
  }
  expect(events).toEqual([]);
});
