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

test('a registry starts on it', async () => {
  const registry = await startRegistry({ kafka: { brokers: kafka.brokers } });
  expect(await (await fetch(`${registry.url}/subjects`)).json()).toEqual([]);
  await registry.close();
});

const page = readFileSync(join(import.meta.dirname, '../../docs/embedded.md'), 'utf8');
const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
const strip = (text: string): string => text.replace(/\s+/g, ' ').trim();

test('the example above is the page’s, and the README’s', () => {
  const own = /\/\/ Example begin\n([\s\S]*?)\/\/ Example end/.exec(readFileSync(import.meta.filename, 'utf8'))![1]!;
  expect(strip(page)).toContain(strip(own));
  expect(strip(readme)).toContain(strip(own));
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
