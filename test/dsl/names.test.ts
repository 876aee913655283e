/** Names, numbers and order of the graph, as the JVM library has them; test/oracle compares random programs besides. */
import { afterEach, expect, test } from 'vitest';
import { long, nullable, StreamsBuilder, string, type Topology } from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

let driver: TopologyTestDriver | undefined;
afterEach(() => driver?.close());

const s = string();
const IN = { key: s, value: nullable(s) };
const OUT = { key: s, value: s };

/** `<sub-topology>: <node> <node> …`, nodes in the order of describe(). */
function outline(topology: Topology): string[] {
  return topology
    .describe()
    .split('  Sub-topology: ')
    .slice(1)
    .map(
      (part) =>
        `${part[0]}: ${[...part.matchAll(/(?:Source|Processor|Sink): (\S+)/g)].map(([, name]) => name).join(' ')}`,
    );
}

test('sub-topologies are numbered by what was written first, not by name', () => {
  const b = new StreamsBuilder();
  const zebra = b.stream('zebra', { ...IN, name: 'z' });
  b.stream('apple', { ...IN, name: 'a' }).to('o1', OUT as never);
  zebra.to('o2', OUT as never);
  expect(outline(b.build())).toEqual(['0: z KSTREAM-SINK-0000000003', '1: a KSTREAM-SINK-0000000002']);
});

test('sub-topologies that interleave are numbered by their first node; what a topic feeds comes behind', () => {
  const b = new StreamsBuilder();
  const zebra = b.stream('zebra', IN);
  const mango = b.table('mango', { ...OUT, materialized: { name: 'kept' } });
  const apple = b.stream('apple', IN);
  const again = zebra.repartition(IN);
  const merged = apple.merge(mango.toStream());
  again.to('o1', OUT as never);
  merged.to('o2', OUT as never);
  expect(outline(b.build())).toEqual([
    '0: KSTREAM-SOURCE-0000000000 KSTREAM-FILTER-0000000006 KSTREAM-SINK-0000000005',
    '1: KSTREAM-SOURCE-0000000001 KTABLE-SOURCE-0000000002 KSTREAM-SOURCE-0000000003 KTABLE-TOSTREAM-0000000008 ' +
      'KSTREAM-MERGE-0000000009 KSTREAM-SINK-0000000011',
    '2: KSTREAM-SOURCE-0000000007 KSTREAM-SINK-0000000010',
  ]);
});

test('process and processValues with a name, and count with a processor name, burn no number', () => {
  const b = new StreamsBuilder();
  b.stream('in', IN)
    .process<string, string>(() => ({ process: () => {} }), { name: 'p' })
    .processValues<string>(() => ({ process: () => {} }), { name: 'pv' })
    .groupByKey({ ...OUT, name: 'g' })
    .count({ processorName: 'counter' })
    .toStream();
  expect(outline(b.build())).toEqual([
    '0: KSTREAM-SOURCE-0000000000 p pv g-repartition-filter g-repartition-sink',
    '1: g-repartition-source counter KTABLE-TOSTREAM-0000000006',
  ]);
  expect(b.build().describe()).toContain('counter (stores: [KSTREAM-AGGREGATE-STATE-STORE-0000000001])');
});

test('count with options of a store but no name for it burns a number more', () => {
  const described = (options: { readonly caching?: boolean; readonly processorName?: string }) => {
    const b = new StreamsBuilder();
    b.stream('in', IN).groupByKey().count(options);
    return b.build().subTopologies[0]!.stores[0]!.name;
  };
  expect(described({})).toBe('KSTREAM-AGGREGATE-STATE-STORE-0000000001');
  expect(described({ processorName: 'counter' })).toBe('KSTREAM-AGGREGATE-STATE-STORE-0000000001');
  expect(described({ caching: false })).toBe('KSTREAM-AGGREGATE-STATE-STORE-0000000002');
  expect(described({ caching: false, processorName: 'counter' })).toBe('KSTREAM-AGGREGATE-STATE-STORE-0000000002');
});

test('a table with a name has the nodes <name>-source and <name>', () => {
  const b = new StreamsBuilder();
  b.table('t', { ...OUT, name: 'tab' }).toStream();
  expect(outline(b.build())).toEqual(['0: tab-source tab KTABLE-TOSTREAM-0000000003']);
});

test('serdes without a name for the store keep a table’s rows nowhere', () => {
  const b = new StreamsBuilder();
  b.table('t', { ...OUT, materialized: { caching: false } })
    .filter(() => true, { materialized: OUT })
    .mapValues((v) => v, { materialized: OUT })
    .toStream()
    .groupByKey()
    .count({ name: 'counts' });
  const { subTopologies } = b.build();
  expect(subTopologies.flatMap(({ stores }) => stores.map(({ name }) => name))).toEqual(['counts']);
});

test('a stream merged with itself, or with another stream of its topic, has each record once', async () => {
  const b = new StreamsBuilder();
  const first = b.stream('in', OUT);
  first.merge(first).to('self', OUT);
  first.merge(b.stream('in', OUT)).to('same', OUT);
  driver = await TopologyTestDriver.create(b.build());
  await driver.inputTopic('in', s, s).pipeInput('k', 'v', 1);
  expect(driver.outputTopic('self', s, s).readKeyValues()).toEqual([['k', 'v']]);
  expect(driver.outputTopic('same', s, s).readKeyValues()).toEqual([['k', 'v']]);
});

test('a cache of 0 bytes strips caching: tombstones of absent rows and every update are seen', async () => {
  const b = new StreamsBuilder();
  b.table('in', { ...OUT })
    .filter((_k, v) => v !== 'x', { materialized: { ...OUT, name: 'kept' } })
    .toStream()
    .to('out', OUT as never);
  const outputs = async (cacheMaxBytes: number) => {
    driver = await TopologyTestDriver.create(b.build(), { cacheMaxBytes, commitEachRecord: false });
    const input = driver.inputTopic('in', s, s);
    await input.pipeInput('a', 'x', 1);
    await input.pipeInput('b', 'y', 2);
    await input.pipeInput('b', 'z', 3);
    await driver.commit();
    return driver.outputTopic('out', s, s).readKeyValues();
  };
  expect(await outputs(1_000_000)).toEqual([['b', 'z']]);
  await driver?.close();
  expect(await outputs(0)).toEqual([
    ['a', null],
    ['b', 'y'],
    ['b', 'z'],
  ]);
});

test('without caching a topology is the same but for its stores', () => {
  const b = new StreamsBuilder();
  b.stream('in', IN)
    .groupBy((_k, v) => v, OUT as never)
    .count({ name: 'counts' })
    .toStream()
    .to('out', { key: s as never, value: long() });
  const cached = b.build();
  const plain = cached.withoutCaching();
  expect(plain.describe()).toBe(cached.describe());
  expect([...plain.repartitionTopics]).toEqual([...cached.repartitionTopics]);
  const caching = (topology: Topology) =>
    topology.subTopologies.flatMap((sub) => sub.stores.map((st) => st.cachingEnabled));
  expect([caching(cached), caching(plain)]).toEqual([[true], [false]]);
});
