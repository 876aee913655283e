import { afterEach, describe, expect, test } from 'vitest';
import { long, StreamsBuilder, string } from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

let driver: TopologyTestDriver | undefined;
afterEach(() => driver?.close());

const s = string();
const IO = { key: s, value: s };
const EXISTS = { code: 'MILLRACE_TOPOLOGY_REPARTITION_EXISTS', topic: 'by-repartition' };

/** The error that a call throws. */
function thrown(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}

describe('a repartition topic of one name', () => {
  test('is refused for a second grouping by another key', () => {
    const b = new StreamsBuilder();
    const stream = b.stream('in', IO);
    stream.groupBy((_k, v) => v[0]!, { ...IO, name: 'by' }).count();
    const second = stream.groupBy((_k, v) => v[1]!, { ...IO, name: 'by' });
    expect(thrown(() => second.count())).toMatchObject(EXISTS);
  });

  test('is refused for a second grouping by the same key', () => {
    const stream = new StreamsBuilder().stream('in', IO).selectKey((_k, v) => v);
    stream.groupByKey({ ...IO, name: 'by' }).count();
    expect(thrown(() => stream.groupByKey({ ...IO, name: 'by' }).count())).toMatchObject(EXISTS);
  });

  test('is refused for a second repartition()', () => {
    const stream = new StreamsBuilder().stream('in', IO);
    stream.repartition({ ...IO, name: 'by' });
    expect(thrown(() => stream.mapValues((v) => `${v}!`).repartition({ ...IO, name: 'by' }))).toMatchObject(EXISTS);
  });

  test('is refused for a grouping beside a repartition(), and for a store beside a grouping', () => {
    const stream = new StreamsBuilder().stream('in', IO);
    stream.repartition({ ...IO, name: 'by' });
    expect(thrown(() => stream.groupBy((_k, v) => v, { ...IO, name: 'by' }).count())).toMatchObject(EXISTS);
    const unnamed = stream.groupBy((_k, v) => v, IO);
    expect(thrown(() => unnamed.count({ name: 'by' }))).toMatchObject(EXISTS);
  });
});

test('aggregations of one named grouping share its topic, as in Java', async () => {
  const b = new StreamsBuilder();
  const grouped = b.stream('in', IO).groupBy((_k, v) => v, { ...IO, name: 'by' });
  grouped.count({ name: 'counts' }).toStream().to('counts', { key: s, value: long() });
  grouped
    .reduce((x, y) => x + y, { name: 'joined' })
    .toStream()
    .to('joined', IO);
  const topology = b.build();
  expect(topology.describe()).toContain(
    'by-repartition-source (topics: [by-repartition])\n      --> KSTREAM-AGGREGATE-0000000002, KSTREAM-REDUCE-0000000008',
  );
  driver = await TopologyTestDriver.create(topology);
  await driver.inputTopic('in', s, s).pipeInput('k', 'v', 1);
  expect(driver.produced.map(({ topic }) => topic).filter((topic) => topic.includes('repartition'))).toHaveLength(1);
  expect(driver.outputTopic('counts', s, long()).readKeyValues()).toEqual([['v', 1]]);
  expect(driver.outputTopic('joined', s, s).readKeyValues()).toEqual([['v', 'v']]);
});

test('aggregations of one grouping without a name have a topic each, as in Java', () => {
  const b = new StreamsBuilder();
  const grouped = b.stream('in', IO).groupBy((_k, v) => v, IO);
  grouped.count();
  grouped.reduce((x, y) => x + y);
  expect([...b.build().repartitionTopics.keys()]).toEqual([
    'KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition',
    'KSTREAM-REDUCE-STATE-STORE-0000000007-repartition',
  ]);
});

test('a name that ends with -repartition gets no second one, as in Java', () => {
  const b = new StreamsBuilder();
  b.stream('in', IO).repartition({ ...IO, name: 'by-repartition' });
  expect([...b.build().repartitionTopics.keys()]).toEqual(['by-repartition']);
});
