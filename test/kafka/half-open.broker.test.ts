/** Connections that die without a word, as behind a firewall or when a machine is gone: nobody waits on them for long. */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { Fetcher, GroupMember, KafkaCluster, Producer } from '../../src/kafka/index.ts';
import { metadataRequest } from '../support/metadata-request.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { newTopics } from '../support/topics.ts';
import { waitFor } from '../support/wait.ts';

const [broker] = inject('brokers');
const closing: (() => Promise<unknown>)[] = [];
let proxy: TcpProxy;
let topic: string;

beforeEach(async () => {
  proxy = await TcpProxy.start(broker!);
  topic = `t-${randomUUID()}`;
  const direct = new KafkaCluster({ kafka: { brokers: [broker!] } });
  await direct.connect();
  await newTopics(direct, [topic], 1);
  await direct.close();
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  proxy.close();
});

/** Its requests go through the proxy, and time out soon. */
function newCluster(): KafkaCluster {
  const { socketFactory } = proxy;
  const cluster = new KafkaCluster({
    kafka: { brokers: [broker!], requestTimeout: 300, connectionTimeout: 300, socketFactory },
  });
  closing.push(() => cluster.close());
  return cluster;
}

function send(producer: Producer, value: string): void {
  const bytes = Buffer.from(value);
  producer.send(topic, 0, Date.now(), bytes, 0, -1, bytes, 0, bytes.length, []);
}

test('producer, fetcher and metadata go on over new connections', async () => {
  const producer = new Producer(newCluster(), { lingerMs: 0, requestTimeoutMs: 500 });
  closing.push(() => producer.close());
  const fetcher = new Fetcher(newCluster(), { maxWaitMs: 100 });
  closing.push(() => fetcher.close());
  const other = newCluster();
  await producer.start();
  await producer.prepare([topic]);
  const buffer = fetcher.add({ topic, partition: 0 }, 0);
  await fetcher.start();
  await other.connect();
  const seen: string[] = [];
  const until = (count: number): Promise<void> =>
    waitFor(async () => {
      for (let cursor = buffer.next(); cursor !== undefined; cursor = buffer.next()) seen.push(String(cursor.value()));
      fetcher.wake();
      if (seen.length >= count) return true;
      await fetcher.waitForData(50);
      return false;
    });
  for (let i = 0; i < 3; i++) {
    send(producer, String(i));
    await producer.flush();
    await until(i + 1);
    proxy.goDark();
    await waitFor(() =>
      other.refresh([topic]).then(
        () => true,
        () => false,
      ),
    );
  }
  send(producer, '3');
  await producer.flush();
  await until(4);
  expect(seen).toEqual(['0', '1', '2', '3']);
});

test('every request that waits on the connection fails with the first that times out', async () => {
  const cluster = newCluster();
  await cluster.connect();
  const nodeId = cluster.connections.nodeIds[0]!;
  await cluster.send(nodeId, metadataRequest());
  proxy.goDark();
  const outcomes = await Promise.allSettled(
    [3_600_000, undefined, 3_600_000].map((timeoutMs) => cluster.send(nodeId, metadataRequest(timeoutMs))),
  );
  const reasons = outcomes.map((o) => (o.status === 'rejected' ? String(o.reason) : 'answered'));
  expect(new Set(reasons).size).toBe(1);
  expect(reasons[0]).toMatch(/No answer from the broker .*Metadata, 300 ms\); the connection is given up/);
  expect(await cluster.send(nodeId, metadataRequest())).toBe('answered');
});

test('an answer that came while user code held the thread up is not late', async () => {
  const cluster = newCluster();
  await cluster.connect();
  const nodeId = cluster.connections.nodeIds[0]!;
  await cluster.send(nodeId, metadataRequest());
  const answer = cluster.send(nodeId, metadataRequest());
  // It goes out before.
  await new Promise((resolve) => setImmediate(resolve));
  for (const until = Date.now() + 1_000; Date.now() < until; );
  expect(await answer).toBe('answered');
});

test('a time-out longer than a timer can be set for is none', async () => {
  const cluster = newCluster();
  await cluster.connect();
  expect(await cluster.send(cluster.connections.nodeIds[0]!, metadataRequest(2 ** 31 + 10_000))).toBe('answered');
});

test('a broker that accepts connections and says nothing is given up as well', async () => {
  const cluster = newCluster();
  proxy.isDark = true;
  await expect(cluster.connect(1_000)).rejects.toMatchObject({ code: 'MILLRACE_KAFKA_CONNECTION', retriable: true });
  proxy.isDark = false;
  await cluster.connect();
});

test('a member whose heartbeats are not answered finds it within its session, and keeps its place', async () => {
  const events: string[] = [];
  const member = new GroupMember(
    newCluster(),
    { groupId: `g-${randomUUID()}`, protocolName: 'test', heartbeatIntervalMs: 100, sessionTimeoutMs: 6_000 },
    {
      subscription: () => Buffer.from('s'),
      assign: async (members) => new Map(members.map(({ memberId }) => [memberId, Buffer.from('all')])),
      onRevoked: async (lost) => void events.push(`revoked ${lost}`),
      onAssigned: async (assignment) => void events.push(String(assignment)),
    },
  );
  closing.push(() => member.close());
  await member.poll();
  const before = proxy.lines.length;
  proxy.goDark();
  const HEARTBEAT = 12;
  const heartbeats = (): number =>
    proxy.lines.slice(before).flatMap(({ apiKeys }) => apiKeys.filter((key) => key === HEARTBEAT)).length;
  await waitFor(() => heartbeats() >= 3);
  expect([member.needsRejoin, events]).toEqual([false, ['all']]);
});
