/** docs/embedded.md: its example runs, word for word; its table is the broker's. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Kafka } from 'kafkajs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findApi, supportedApis } from '../../src/embedded/broker/apis/index.ts';
import { startKafka, startRegistry } from '../../src/embedded/index.ts';

// Example begin
let kafka: Awaited<ReturnType<typeof startKafka>>;
beforeAll(async () => {
  kafka = await startKafka({ topics: [{ topic: 'orders', partitions: 3 }] });
});
afterAll(() => kafka.close());

test('an order is written once, though the answer is lost', async () => {
  kafka.inject({ api: 'Produce', action: { kind: 'lose-response' } });
  const producer = new Kafka({ brokers: kafka.brokers, logLevel: 0 }).producer({ idempotent: true });
  await producer.connect();
  const [written] = await producer.send({ topic: 'orders', messages: [{ key: '1', value: 'tea' }] });
  expect(written!.baseOffset).toBe('0');
  await producer.disconnect();
});
// Example end

// Cluster example begin
test('what only the old leader had is lost when it dies, and nobody had been told of it', async () => {
  const kafka = await startKafka({ nodes: 3, topics: ['orders'] });
  const client = new Kafka({ brokers: kafka.brokers, logLevel: 0 });
  const producer = client.producer({ retry: { retries: 20, initialRetryTime: 20 } });
  await producer.connect();
  await producer.send({ topic: 'orders', messages: [{ value: 'tea' }] });
  // From here on the others have nothing of it.
  const release = kafka.holdHighWatermark('orders', 0);
  const sending = producer.send({ topic: 'orders', messages: [{ value: 'coffee' }] });
  await expect.poll(() => kafka.describePartition('orders', 0).endOffset).toBe(2);
  const { highWatermark } = kafka.describePartition('orders', 0);
  kafka.moveLeader('orders', 0, 2, { truncateTo: highWatermark });
  release();
  await kafka.stopNode(1);
  // The producer was not answered, so it sends again, to the new leader.
  const [written] = await sending;
  expect(written!.baseOffset).toBe('1');
  expect(kafka.describePartition('orders', 0)).toMatchObject({ leader: 2, leaderEpoch: 1, highWatermark: 2 });
  await producer.disconnect();
  await kafka.close();
});
// Cluster example end

test('a registry starts on it', async () => {
  const registry = await startRegistry({ kafka: { brokers: kafka.brokers } });
  expect(await (await fetch(`${registry.url}/subjects`)).json()).toEqual([]);
  await registry.close();
});

const page = readFileSync(join(import.meta.dirname, '../../docs/embedded.md'), 'utf8');
const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
const strip = (text: string): string => text.replace(/\s+/g, ' ').trim();

test('the examples above are the page’s, the first one the README’s', () => {
  const source = readFileSync(import.meta.filename, 'utf8');
  const own = /\/\/ Example begin\n([\s\S]*?)\/\/ Example end/.exec(source)![1]!;
  const cluster = /\/\/ Cluster example begin\n([\s\S]*?)\/\/ Cluster example end/.exec(source)![1]!;
  expect(strip(page)).toContain(strip(own));
  expect(strip(page)).toContain(strip(cluster));
  expect(strip(readme)).toContain(strip(own));
});

test('the page’s tables have every control and every kind of fault, and no other', () => {
  const cells = [...page.matchAll(/^\| (`.*?) \| /gm)].map(([, cell]) => cell!);
  const names = cells.flatMap((cell) => [...cell.matchAll(/`(\w+)\(/g)].map(([, name]) => name!));
  const controls = Object.entries(Object.getOwnPropertyDescriptors(kafka))
    .filter(([, { value }]) => typeof value === 'function')
    .map(([name]) => name);
  expect([...new Set(names)].sort()).toEqual(controls.sort());
  const kinds = cells.flatMap((cell) => [...cell.matchAll(/kind: '([\w-]+)'/g)].map(([, kind]) => kind!));
  const faults = readFileSync(join(import.meta.dirname, '../../src/embedded/broker/faults.ts'), 'utf8');
  expect(kinds).toEqual([...faults.matchAll(/readonly kind: '([\w-]+)'/g)].map(([, kind]) => kind));
});

test('the page’s table has every API and version, and no other', () => {
  const rows = [...page.matchAll(/^\| (\d+) \| (\w+) \| (\d+)–(\d+) \|$/gm)].map(([, key, name, min, max]) => [
    Number(key),
    name,
    Number(min),
    Number(max),
  ]);
  const apis = supportedApis().map(({ key, minVersion, maxVersion }) => [
    key,
    findApi(key)!.name,
    minVersion,
    maxVersion,
  ]);
  expect(rows).toEqual(apis);
});
