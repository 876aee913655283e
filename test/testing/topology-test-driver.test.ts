/** The test driver wires tasks as the runtime does. */
import { afterEach, expect, test } from 'vitest';
import { avro, SchemaRegistry, StreamsBuilder, string } from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';
import { startTestRegistry, type TestRegistry } from '../support/registry.ts';

let registry: TestRegistry | undefined;
let driver: TopologyTestDriver | undefined;
afterEach(async () => {
  await driver?.close();
  await registry?.close();
});

test('a store whose serde writes with a schema is prepared', async () => {
  registry = await startTestRegistry();
  const total = avro(new SchemaRegistry({ url: registry.url }), {
    type: 'record',
    name: 'Total',
    fields: [{ name: 'text', type: 'string' }],
  } as const);
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: string(), value: string() })
    .groupByKey()
    .aggregate(
      () => ({ text: '' }),
      (_key, value, { text }) => ({ text: text + value }),
      { name: 'totals', value: total },
    );
  driver = await TopologyTestDriver.create(builder.build());
  const input = driver.inputTopic('in', string(), string());
  await input.pipeInput('k', 'a');
  await input.pipeInput('k', 'b');
  expect(driver.keyValueStore<string, { text: string }>('totals').get('k')).toEqual({ text: 'ab' });
});

test('a sink that computes its topic is prepared', async () => {
  registry = await startTestRegistry();
  const serde = avro(new SchemaRegistry({ url: registry.url }), {
    type: 'record',
    name: 'Text',
    fields: [{ name: 'text', type: 'string' }],
  } as const);
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: string(), value: string() })
    .mapValues((text) => ({ text }))
    .to((_key, { text }) => `out-${text}`, { key: string(), value: serde });
  driver = await TopologyTestDriver.create(builder.build());
  await driver.inputTopic('in', string(), string()).pipeInput('k', 'a');
  expect(driver.outputTopic('out-a', string(), serde).readKeyValues()).toEqual([['k', { text: 'a' }]]);
});
