/** What src/kafka/connections.ts relies on inside kafkajs 2.2.4. A new version needs this list checked by hand. */
import { createRequire } from 'node:module';
import { Kafka } from 'kafkajs';
import { expect, test } from 'vitest';

const require = createRequire(import.meta.url);

interface Internals {
  connectionPoolBuilder: {
    build(destination: object): Promise<{ pool: Record<string, unknown>[] } & Record<string, unknown>>;
  };
  brokerPool: { createBroker(options: object): Record<string, unknown> };
  rootLogger: object;
}

test('kafkajs is pinned to the version whose inside is known', () => {
  expect(require('kafkajs/package.json').version).toBe('2.2.4');
  expect(require('../../package.json').dependencies.kafkajs).toBe('2.2.4');
});

test('a client makes clusters, pools of two connections, and brokers, with the methods that are called', async () => {
  const kafka = new Kafka({ brokers: ['127.0.0.1:1'] });
  const symbol = Object.getOwnPropertySymbols(kafka).find((s) => s.description === 'private:Kafka:createCluster')!;
  const cluster = Reflect.get(kafka, symbol)({ metadataMaxAge: 1, allowAutoTopicCreation: false }) as Internals;
  const pool = await cluster.connectionPoolBuilder.build({ host: '127.0.0.1', port: 1, rack: null });
  expect(pool.pool).toHaveLength(2);
  for (const method of [
    'isConnected',
    'connect',
    'authenticate',
    'failIfNotConnected',
    'nextCorrelationId',
    'rejectRequests',
    'processData',
  ])
    expect(pool.pool[0]![method]).toBeInstanceOf(Function);
  expect(pool.pool[0]!['chunks']).toEqual([]);
  expect(pool['destroy']).toBeInstanceOf(Function);
  const queue = pool.pool[0]!['requestQueue'] as Record<string, unknown>;
  for (const method of ['push', 'maybeThrottle']) expect(queue[method]).toBeInstanceOf(Function);
  const broker = cluster.brokerPool.createBroker({ connectionPool: pool, logger: cluster.rootLogger, nodeId: 1 });
  for (const method of ['isConnected', 'connect']) expect(broker[method]).toBeInstanceOf(Function);
});
