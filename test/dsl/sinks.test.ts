import { afterEach, expect, test } from 'vitest';
import { StreamsBuilder, string } from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

let driver: TopologyTestDriver | undefined;
afterEach(async () => {
  await driver?.close();
  driver = undefined;
});

const s = string();
const IO = { key: s, value: s };

test.each([
  ['a partitioner', { partitioner: fail }],
  ['a computed topic', {}],
])('%s that throws is told by its sink’s name', async (what, options) => {
  const b = new StreamsBuilder();
  b.stream('in', IO).to(what === 'a partitioner' ? 'out' : fail, { ...IO, ...options, name: 'sink' });
  driver = await TopologyTestDriver.create(b.build());
  await expect(driver.inputTopic('in', s, s).pipeInput('k', 'v', 1)).rejects.toMatchObject({
    code: 'MILLRACE_RUNTIME_PROCESSING',
    node: 'sink',
    topic: 'in',
    offset: 0,
  });
});

function fail(): never {
  throw new Error('boom');
}
