/** Clients that have nothing to do, do nothing; those that are closed leave nothing. */
import { randomUUID } from 'node:crypto';
import { afterEach, expect, inject, test, vi } from 'vitest';
import { createTopics, Fetcher, KafkaCluster, Producer } from '../../src/kafka/index.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { waitFor } from '../support/wait.ts';

const brokers = inject('brokers');

afterEach(() => {
  vi.useRealTimers();
});

test('a connection without requests has no timer', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
  const cluster = new KafkaCluster({ kafka: { brokers } });
  await cluster.connect();
  await cluster.refresh([]);
  const timers = vi.getTimerCount();
  await cluster.close();
  expect(timers).toBe(0);
});

test('closed clients leave no socket and no timer', async () => {
  const held = (): string[] =>
    process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Timeout|Connect|Shutdown/.test(name));
  const before = held();
  const admin = new KafkaCluster({ kafka: { brokers } });
  await admin.connect();
  const topic = `t-${randomUUID()}`;
  await createTopics(admin, [{ topic, partitions: 3, replicationFactor: 1, configs: {} }]);
  const producer = new Producer(new KafkaCluster({ kafka: { brokers } }));
  await producer.start();
  await producer.prepare([topic]);
  const fetcher = new Fetcher(new KafkaCluster({ kafka: { brokers } }));
  for (let partition = 0; partition < 3; partition++) fetcher.add({ topic, partition }, 0);
  await fetcher.start();
  const value = Buffer.from('v');
  for (const name of [topic, 'unknown', topic]) producer.send(name, 0, 1, value, 0, -1, value, 0, 1, []);
  producer.discard();
  producer.send(topic, 1, 1, value, 0, -1, value, 0, 1, []);
  await producer.flush();
  // What is still on its way is given up.
  for (const name of [topic, 'unknown']) producer.send(name, 0, 1, value, 0, -1, value, 0, 1, []);
  await Promise.all([fetcher.close(), producer.close(), admin.close()]);
  await waitFor(() => held().length <= before.length, 10_000, `nothing left of ${held()}`);
});

test('an answer that comes slowly is waited for as long as bytes come', async () => {
  const proxy = await TcpProxy.start(brokers[0]!);
  const { socketFactory } = proxy;
  const cluster = new KafkaCluster({
    kafka: { brokers, requestTimeout: 250, connectionTimeout: 1_000, socketFactory },
  });
  try {
    await cluster.connect();
    const topic = `t-${randomUUID()}`;
    await createTopics(cluster, [{ topic, partitions: 5, replicationFactor: 1, configs: {} }]);
    const { length } = proxy.lines;
    // Some two hundred bytes: several times its time-out.
    proxy.trickle = { bytes: 20, everyMs: 100 };
    await cluster.refresh([topic]);
    expect(proxy.lines).toHaveLength(length);
  } finally {
    await cluster.close();
    proxy.close();
  }
});
