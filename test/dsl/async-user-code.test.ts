/** Nothing waits for user code but for punctuators: a promise is refused with the operator's name, and awaited by nobody. */
import { afterEach, expect, test } from 'vitest';
import { type KGroupedStream, type KStream, StreamsBuilder, string, TimeWindows } from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

let driver: TopologyTestDriver | undefined;
afterEach(async () => {
  await driver?.close();
  driver = undefined;
});

const s = string();
const IO = { key: s, value: s };
const NAME = { name: 'op' };
const CODE = 'MILLRACE_TOPOLOGY_ASYNC_USER_CODE';

// biome-ignore lint/suspicious/noExplicitAny: what JavaScript, and `any`, let through
type Any = any;

/** It rejects: an unhandled rejection would fail the run. */
const later: Any = async () => {
  throw new Error('seen by nobody');
};

type Stream = KStream<string | null, string>;
const onStream = (build: (x: Stream) => unknown) => (b: StreamsBuilder) => void build(b.stream('in', IO));
const onGroup = (build: (x: KGroupedStream<string, string>) => unknown) => onStream((x) => build(x.groupByKey()));
const AGGREGATE = { processorName: 'op', value: s };

test.each<[string, (b: StreamsBuilder) => void]>([
  ['filter', onStream((x) => x.filter(later, NAME))],
  ['filterNot', onStream((x) => x.filterNot(later, NAME))],
  ['map', onStream((x) => x.map(later, NAME))],
  ['map of a value', onStream((x) => x.map((k) => [k, later()], NAME))],
  ['map of a key', onStream((x) => x.map((_k, v) => [later(), v], NAME))],
  ['mapValues', onStream((x) => x.mapValues(later, NAME))],
  ['flatMap', onStream((x) => x.flatMap(later, NAME))],
  ['flatMap of a value', onStream((x) => x.flatMap((k) => [[k, later()]], NAME))],
  ['flatMapValues', onStream((x) => x.flatMapValues(later, NAME))],
  ['flatMapValues of a value', onStream((x) => x.flatMapValues(() => [later()], NAME))],
  ['selectKey', onStream((x) => x.selectKey(later, NAME))],
  ['peek', onStream((x) => x.peek(later, NAME))],
  ['forEach', onStream((x) => x.forEach(later, NAME))],
  ['split', onStream((x) => x.split(NAME).branch(later))],
  ['groupBy', onStream((x) => x.groupBy(later, { ...IO, ...NAME }).count())],
  ['an initializer', onGroup((x) => x.aggregate(later, () => '', AGGREGATE))],
  ['an aggregator', onGroup((x) => x.aggregate(() => '', later, AGGREGATE))],
  ['a windowed initializer', onGroup((x) => x.windowedBy(TimeWindows.of(10)).aggregate(later, () => '', AGGREGATE))],
  ['a windowed aggregator', onGroup((x) => x.windowedBy(TimeWindows.of(10)).aggregate(() => '', later, AGGREGATE))],
  ['a reducer', onGroup((x) => x.reduce(later, AGGREGATE))],
  ['a windowed reducer', onGroup((x) => x.windowedBy(TimeWindows.of(10)).reduce(later, AGGREGATE))],
  ['a processor', onStream((x) => x.process(() => ({ process: later }), NAME))],
  ['a processor of values', onStream((x) => x.processValues(() => ({ process: later }), NAME))],
  ['an extractor', (b) => void b.stream('in', { ...IO, ...NAME, timestamp: later })],
  ['a table’s extractor', (b) => void b.table('in', { ...IO, name: 'op', timestamp: later })],
  ['a computed topic', onStream((x) => x.to(later, { ...IO, ...NAME }))],
  ['a partitioner', onStream((x) => x.to('out', { ...IO, ...NAME, partitioner: later }))],
  ['a partitioner of repartition()', onStream((x) => x.repartition({ ...IO, name: 'op', partitioner: later }))],
  ['a table’s filter', (b) => void b.table('in', IO).filter(later, NAME)],
  ['a table’s filterNot', (b) => void b.table('in', IO).filterNot(later, NAME)],
  ['a table’s mapValues', (b) => void b.table('in', IO).mapValues(later, NAME)],
])('%s', async (what, build) => {
  const b = new StreamsBuilder();
  build(b);
  driver = await TopologyTestDriver.create(b.build());
  const input = driver.inputTopic('in', s, s);
  const pipe = async () => {
    // A reducer is called with the second value.
    await input.pipeInput('k', 'v', 1);
    await input.pipeInput('k', 'v', 1);
  };
  const node = { 'a table’s extractor': 'op-source', 'a partitioner of repartition()': 'op-repartition-sink' }[what];
  await expect(pipe()).rejects.toMatchObject({ code: CODE, node: node ?? 'op' });
  await new Promise(setImmediate);
});

test('a table’s selector is named after its own node', async () => {
  const b = new StreamsBuilder();
  b.table('in', IO).toStream(later);
  driver = await TopologyTestDriver.create(b.build());
  await expect(driver.inputTopic('in', s, s).pipeInput('k', 'v', 1)).rejects.toMatchObject({
    code: CODE,
    node: 'KSTREAM-KEY-SELECT-0000000004',
  });
});

test.each([
  ['init', () => ({ init: later, process: () => {} })],
  ['a supplier', later],
])('%s of a processor', async (_what, supplier) => {
  for (const method of ['process', 'processValues'] as const) {
    const b = new StreamsBuilder();
    (b.stream('in', IO) as Any)[method](supplier, NAME);
    await expect(TopologyTestDriver.create(b.build())).rejects.toMatchObject({ code: CODE, node: 'op' });
  }
});

test('close of a processor', async () => {
  const b = new StreamsBuilder();
  b.stream('in', IO).process(() => ({ process: () => {}, close: later }), NAME);
  const closing = await TopologyTestDriver.create(b.build());
  await expect(closing.close()).rejects.toMatchObject({ code: CODE, node: 'op' });
});

test('a punctuator may be asynchronous: the task waits for it', async () => {
  const b = new StreamsBuilder();
  const events: string[] = [];
  b.stream('in', IO).process(() => ({
    init(context) {
      context.schedule(10, 'stream-time', async (time) => {
        await new Promise(setImmediate);
        events.push(`punctuated ${time}`);
      });
    },
    process: ({ timestamp }) => events.push(`processed ${timestamp}`),
  }));
  driver = await TopologyTestDriver.create(b.build());
  for (const timestamp of [1, 20]) await driver.inputTopic('in', s, s).pipeInput('k', 'v', timestamp);
  expect(events).toEqual(['processed 1', 'punctuated 1', 'processed 20', 'punctuated 20']);
});

test('what a predicate answers counts as JavaScript has it', async () => {
  const b = new StreamsBuilder();
  const truthy: Any = (_k: unknown, v: string) => v.indexOf('x') + 1;
  const stream = b.stream('in', IO);
  stream.filter(truthy).to('with', IO);
  stream.filterNot(truthy).to('without', IO);
  driver = await TopologyTestDriver.create(b.build());
  for (const value of ['ax', 'b']) await driver.inputTopic('in', s, s).pipeInput('k', value, 1);
  expect(driver.outputTopic('with', s, s).readKeyValues()).toEqual([['k', 'ax']]);
  expect(driver.outputTopic('without', s, s).readKeyValues()).toEqual([['k', 'b']]);
});
