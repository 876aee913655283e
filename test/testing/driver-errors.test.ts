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

test('the test driver names a topic that nobody reads, and a store that nobody has', async () => {
  const b = new StreamsBuilder();
  b.stream('in', IO);
  driver = await TopologyTestDriver.create(b.build());
  await expect(driver.inputTopic('other', s, s).pipeInput('k', 'v')).rejects.toMatchObject({
    code: 'MILLRACE_TESTING_UNKNOWN_TOPIC',
    topic: 'other',
  });
  expect(() => driver!.keyValueStore('none')).toThrow(
    expect.objectContaining({ code: 'MILLRACE_TESTING_UNKNOWN_STORE', store: 'none' }),
  );
});
