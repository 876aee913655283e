/** What broker-connection.ts and connections.ts rely on inside kafkajs 2.2.4. A new version needs this list checked by hand. */
import { createRequire } from 'node:module';
import { type AddressInfo, createServer } from 'node:net';
import { Kafka } from 'kafkajs';
import { afterEach, expect, test } from 'vitest';
import { KafkaConnections } from '../../src/kafka/connections.ts';
import { KafkaCluster } from '../../src/kafka/index.ts';
import { metadataRequest } from '../support/metadata-request.ts';

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

test('a client makes clusters, pools of connections, and brokers, with the members that are used', async () => {
  const kafka = new Kafka({ brokers: ['127.0.0.1:1'], enforceRequestTimeout: false });
  const symbol = Object.getOwnPropertySymbols(kafka).find((s) => s.description === 'private:Kafka:createCluster')!;
  const cluster = Reflect.get(kafka, symbol)({ metadataMaxAge: 1, allowAutoTopicCreation: false }) as Internals;
  const pool = await cluster.connectionPoolBuilder.build({ host: '127.0.0.1', port: 1, rack: null });
  expect(pool.pool).toHaveLength(2);
  const connection = pool.pool[0]!;
  for (const method of [
    'connect',
    'authenticate',
    'isAuthenticated',
    'nextCorrelationId',
    'rejectRequests',
    'processData',
  ])
    expect(connection[method]).toBeInstanceOf(Function);
  expect([connection['chunks'], connection['authHandlers'], connection['sasl'] ?? null]).toEqual([[], null, null]);
  const queue = connection['requestQueue'] as Record<string, unknown>;
  for (const method of ['push', 'maybeThrottle', 'scheduleCheckPendingRequests', 'destroy'])
    expect(queue[method]).toBeInstanceOf(Function);
  expect([queue['pending'], queue['throttledUntil'], queue['enforceRequestTimeout']]).toEqual([[], -1, false]);
  const broker = cluster.brokerPool.createBroker({ connectionPool: pool, logger: cluster.rootLogger, nodeId: null });
  expect([broker['connect'], broker['versions']]).toEqual([expect.any(Function), null]);
});

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A server that answers ApiVersions with these, by API key, and of the other requests those that are picked. */
async function broker(
  versions: readonly (readonly [key: number, min: number, max: number])[],
  answersNext: () => boolean = () => false,
): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (frame) => {
      if (frame.readInt16BE(4) !== 18) {
        // Requests that went out together may come together.
        for (let at = 0; at < frame.length; at += 4 + frame.readInt32BE(at)) {
          if (answersNext()) socket.write(Buffer.from([0, 0, 0, 4, ...frame.subarray(at + 8, at + 12)]));
        }
        return;
      }
      const answer = Buffer.alloc(4 + 4 + 2 + 4 + versions.length * 6 + 4);
      answer.writeInt32BE(answer.length - 4, 0);
      answer.writeInt32BE(frame.readInt32BE(8), 4);
      answer.writeInt32BE(versions.length, 10);
      versions.forEach((version, i) => {
        version.forEach((value, j) => {
          answer.writeInt16BE(value, 14 + i * 6 + j * 2);
        });
      });
      socket.write(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

test('a broker that is too old for a request: an error that says so, at once', async () => {
  const port = await broker([
    [3, 0, 7],
    [18, 0, 2],
  ]);
  const cluster = new KafkaCluster({ kafka: { brokers: [`127.0.0.1:${port}`] } });
  closing.push(() => cluster.close());
  await expect(cluster.connect()).rejects.toMatchObject({
    code: 'MILLRACE_KAFKA_PROTOCOL',
    retriable: false,
    message: expect.stringMatching(
      /Metadata version 12 .* UNSUPPORTED_VERSION\. .* versions 0 to 7: use Kafka 3\.6 or later/,
    ),
  });
});

test('an answer that was passed over is not waited for: the connection is given up at once', async () => {
  const answered = [true, false, true, true];
  const port = await broker(
    [
      [3, 0, 12],
      [18, 0, 2],
    ],
    () => answered.shift()!,
  );
  const connections = new KafkaConnections({ brokers: [`127.0.0.1:${port}`], requestTimeout: 3_600_000 });
  closing.push(() => connections.close());
  const send = (): Promise<string> => connections.sendToAny(metadataRequest());
  expect(await send()).toBe('answered');
  const [passedOver, next] = [send(), send()];
  await expect(passedOver).rejects.toMatchObject({
    code: 'MILLRACE_KAFKA_CONNECTION',
    message: expect.stringContaining('an answer came before that of an earlier request'),
  });
  expect(await next).toBe('answered');
  expect(await send()).toBe('answered');
});

test('options of kafkajs that are undefined count as absent', async () => {
  const port = await broker([[18, 0, 2]]);
  const cluster = new KafkaCluster({
    kafka: { brokers: [`127.0.0.1:${port}`], socketFactory: undefined, logLevel: undefined } as never,
  });
  closing.push(() => cluster.close());
  // Of our sockets, not kafkajs' own, which would read the answer as well: the version is looked at, so it was read.
  await expect(cluster.connect()).rejects.toMatchObject({ code: 'MILLRACE_KAFKA_PROTOCOL' });
});

test('close() while it connects ends the tries', async () => {
  const cluster = new KafkaCluster({ kafka: { brokers: ['127.0.0.1:1'] } });
  const connecting = cluster.connect(3_600_000);
  await cluster.close();
  await expect(connecting).rejects.toMatchObject({ code: 'MILLRACE_KAFKA_CONNECTION' });
});
