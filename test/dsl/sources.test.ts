import { afterEach, describe, expect, test } from 'vitest';
import { keyValueStore, long, nullable, StreamsBuilder, serde, string } from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

let driver: TopologyTestDriver | undefined;
afterEach(() => driver?.close());

const s = string();
const IO = { key: s, value: s };
const READ_TWICE = 'MILLRACE_TOPOLOGY_TOPIC_READ_TWICE';

function thrown(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}

describe('two streams of one topic', () => {
  test('with equal options are one source, whatever the order of the topics', async () => {
    const b = new StreamsBuilder();
    b.stream(['a', 'b'], IO).to('one', IO);
    b.stream(['b', 'a', 'b'], IO).to('two', IO);
    const topology = b.build();
    expect(topology.subTopologies.flatMap(({ sources }) => sources)).toHaveLength(1);
    driver = await TopologyTestDriver.create(topology);
    await driver.inputTopic('b', s, s).pipeInput('k', 'v', 1);
    expect(driver.outputTopic('one', s, s).readKeyValues()).toEqual([['k', 'v']]);
    expect(driver.outputTopic('two', s, s).readKeyValues()).toEqual([['k', 'v']]);
  });

  test.each([
    ['the key serde', { ...IO, key: serde('mine', { serialize: Buffer.from, deserialize: String }) }],
    ['the value serde', { ...IO, value: nullable(s) }],
    ['the timestamp extractor', { ...IO, timestamp: () => 1 }],
    ['the offset reset policy', { ...IO, offsetReset: 'latest' as const }],
  ])('that differ in %s are refused, topic and difference named', (difference, options) => {
    for (const topics of ['in', ['in', 'other'], /^in$/]) {
      const b = new StreamsBuilder();
      b.stream(topics, IO);
      const error = thrown(() => b.stream(topics, options as never));
      expect(error).toMatchObject({ code: READ_TWICE });
      expect(String(error)).toMatch(/\bin\b/);
      expect(String(error)).toContain(difference);
    }
  });

  test.each([
    ['lists that overlap', ['a', 'b'], ['b', 'c'], 'b'],
    ['a list and one of its topics', ['a', 'b'], 'a', 'a'],
    ['a pattern beside a name it matches', /^p-/, 'p-1', 'p-1'],
    ['a name beside a pattern that matches it', 'p-1', /^p-/, 'p-1'],
  ])('by %s are refused, as in Java', (_text, first, second, topic) => {
    const b = new StreamsBuilder();
    b.stream(first, IO);
    b.stream(second, IO);
    expect(thrown(() => b.build())).toMatchObject({ code: READ_TWICE, topic });
  });

  test('one of them a table are refused, as in Java', () => {
    const b = new StreamsBuilder();
    b.stream('in', IO);
    b.table('in', IO);
    expect(thrown(() => b.build())).toMatchObject({ code: READ_TWICE, topic: 'in' });
  });

  test('by equal patterns are one source; a flag that makes a pattern forgetful is left out', async () => {
    const b = new StreamsBuilder();
    b.stream(/^p-\d$/g, IO).to('one', IO);
    b.stream(/^p-\d$/, IO).to('two', IO);
    driver = await TopologyTestDriver.create(b.build());
    for (const topic of ['p-1', 'p-2', 'p-3']) await driver.inputTopic(topic, s, s).pipeInput(topic, 'v', 1);
    expect(driver.outputTopic('two', s, s).readKeyValues()).toHaveLength(3);
  });
});

describe('two builders', () => {
  test('have no stream in common: merge is refused', () => {
    const [one, other] = [new StreamsBuilder(), new StreamsBuilder()];
    const stream = one.stream('a', IO);
    expect(thrown(() => stream.merge(other.stream('b', IO), { name: 'both' }))).toMatchObject({
      code: 'MILLRACE_TOPOLOGY_OTHER_BUILDER',
      node: 'both',
    });
  });

  test('may share the description of a store: each has its own', async () => {
    const store = keyValueStore('seen', { key: s, value: long() });
    const build = () => {
      const b = new StreamsBuilder();
      b.addStateStore(store).addStateStore(store);
      b.stream('in', IO).process(
        () => ({
          init: (context) => context.getStateStore<{ put(key: string, value: number): void }>('seen').put('k', 1),
          process: () => {},
        }),
        { stores: [store] },
      );
      return b.build();
    };
    driver = await TopologyTestDriver.create(build());
    expect(driver.keyValueStore('seen').get('k')).toBe(1);
    const second = await TopologyTestDriver.create(build());
    expect(second.keyValueStore('seen').get('k')).toBe(1);
    await second.close();
  });
});
