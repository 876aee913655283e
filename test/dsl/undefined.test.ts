/** undefined is null everywhere in the graph. */
import { afterEach, describe, expect, test } from 'vitest';
import {
  json,
  type KStream,
  long,
  nullable,
  type ProcessorContext,
  StreamRecord,
  StreamsBuilder,
  serde,
  string,
  TimeWindows,
} from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

let driver: TopologyTestDriver;
afterEach(() => driver?.close());

const s = string();
const IO = { key: s, value: s };
// What a function that forgets its return gives, past the types.
const nothing = undefined as never;

test('a record has null for undefined', () => {
  const record = new StreamRecord(undefined, undefined, 1);
  expect([record.key, record.value]).toEqual([null, null]);
  expect(record.withKey(undefined).withValue(undefined)).toEqual(new StreamRecord(null, null, 1));
  expect(record.withTimestamp(2).withHeaders([])).toEqual(new StreamRecord(null, null, 2));
});

type Op = (stream: KStream<string | null, string>) => KStream<never, never>;

test.each<[string, Op, [unknown, unknown][]]>([
  ['map', (x) => x.map(() => [nothing, nothing]), [[null, null]]],
  ['mapValues', (x) => x.mapValues(() => nothing) as never, [['k', null]]],
  ['flatMap', (x) => x.flatMap(() => [[nothing, nothing]]), [[null, null]]],
  ['flatMapValues', (x) => x.flatMapValues(() => [nothing]) as never, [['k', null]]],
  ['selectKey', (x) => x.selectKey(() => nothing) as never, [[null, 'v']]],
  [
    'process',
    (x) =>
      x.process(() => {
        let context: ProcessorContext<never, never>;
        return {
          init(c) {
            context = c;
          },
          process: (record) => context.forward(record.withKey(nothing).withValue(nothing)),
        };
      }),
    [[null, null]],
  ],
])('what %s gives is seen and written as null', async (_name, op, expected) => {
  const b = new StreamsBuilder();
  const seen: [unknown, unknown][] = [];
  op(b.stream('in', IO))
    .peek((k, v) => seen.push([k, v]))
    .to('out', IO as never);
  driver = await TopologyTestDriver.create(b.build());
  await driver.inputTopic('in', s, s).pipeInput('k', 'v', 1);
  expect(seen).toEqual(expected);
  expect(driver.outputTopic('out', s, s).readKeyValues()).toEqual(expected);
});

describe('a key of undefined', () => {
  test('does not go through a repartition topic', async () => {
    const b = new StreamsBuilder();
    b.stream('in', IO)
      .groupBy((): string | undefined => undefined, { ...IO, name: 'by' })
      .count();
    driver = await TopologyTestDriver.create(b.build(), { applicationId: 'app' });
    await driver.inputTopic('in', s, s).pipeInput('k', 'v', 1);
    expect(driver.produced).toEqual([]);
  });
});

describe('a value of undefined', () => {
  test('is not counted, and counts in windows, as null does', async () => {
    const b = new StreamsBuilder();
    const grouped = b
      .stream('in', IO)
      .mapValues((v) => (v === 'x' ? undefined : v))
      .groupByKey({ key: s, value: nullable(s) });
    grouped.count({ name: 'counts' });
    grouped.windowedBy(TimeWindows.of(10)).count({ name: 'windows' });
    driver = await TopologyTestDriver.create(b.build());
    for (const value of ['x', 'y', 'x']) await driver.inputTopic('in', s, s).pipeInput('k', value, 1);
    expect(driver.keyValueStore('counts').get('k')).toBe(1);
    expect(driver.windowStore('windows').fetch('k', 0)).toBe(3);
    expect(driver.metrics().droppedByReason).toEqual({ 'null-key-or-value': 2 });
  });

  test('that a serde reads is dropped at a source, and reaches one that lets null through as null', async () => {
    const forgets = serde<string>('forgets', { serialize: Buffer.from, deserialize: () => nothing });
    const b = new StreamsBuilder();
    const seen: unknown[] = [];
    b.stream('in', { key: s, value: forgets }).forEach((_k, v) => void seen.push(v));
    b.stream('nulls', {
      key: s,
      value: nullable(forgets),
      timestamp(value) {
        seen.push(value);
        return 1;
      },
    }).forEach((_k, v) => void seen.push(v));
    driver = await TopologyTestDriver.create(b.build());
    await driver.inputTopic('in', s, s).pipeInput('k', 'v', 1);
    await driver.inputTopic('nulls', s, s).pipeInput('k', 'v', 1);
    expect(seen).toEqual([null, null]);
    expect(driver.metrics().droppedByReason).toEqual({ 'null-value': 1 });
  });

  test('that JSON’s parse function gives is null', async () => {
    const b = new StreamsBuilder();
    const seen: unknown[] = [];
    b.stream('in', { key: s, value: nullable(json<string>(() => nothing)) }).forEach((_k, v) => void seen.push(v));
    driver = await TopologyTestDriver.create(b.build());
    await driver.inputTopic('in', s, json()).pipeInput('k', 1, 1);
    expect(seen).toEqual([null]);
  });
});

describe('an aggregate of undefined', () => {
  const fold = (sum: string, v: string): string => (v === 'x' ? nothing : sum + v);

  test('deletes the row', async () => {
    const b = new StreamsBuilder();
    const grouped = b.stream('in', IO).groupByKey();
    const output = (topic: string) => ({ topic, read: () => driver.outputTopic(topic, s, s).readKeyValues() });
    const [aggregated, reduced] = [output('aggregated'), output('reduced')];
    grouped
      .aggregate(
        () => '',
        (_k, v, sum) => fold(sum, v),
        { value: s },
      )
      .toStream()
      .to(aggregated.topic, IO);
    grouped.reduce(fold).toStream().to(reduced.topic, IO);
    driver = await TopologyTestDriver.create(b.build());
    for (const value of ['a', 'x', 'b']) await driver.inputTopic('in', s, s).pipeInput('k', value, 1);
    const expected = [
      ['k', 'a'],
      ['k', null],
      ['k', 'b'],
    ];
    expect(aggregated.read()).toEqual(expected);
    expect(reduced.read()).toEqual(expected);
  });

  test('deletes the window', async () => {
    const b = new StreamsBuilder();
    b.stream('in', IO)
      .groupByKey()
      .windowedBy(TimeWindows.of(10))
      .aggregate(
        () => '',
        (_k, v, sum) => fold(sum, v),
        { name: 'windows', value: s },
      );
    driver = await TopologyTestDriver.create(b.build());
    for (const value of ['a', 'x']) await driver.inputTopic('in', s, s).pipeInput('k', value, 1);
    expect(driver.windowStore('windows').fetch('k', 0)).toBeNull();
  });
});

test('a table’s row that becomes undefined is a tombstone, also in its store', async () => {
  const b = new StreamsBuilder();
  b.table('in', IO)
    .mapValues((v) => (v === 'x' ? undefined : v.length), { materialized: { name: 'lengths', key: s, value: long() } })
    .toStream()
    .to('out', { key: s, value: long() });
  driver = await TopologyTestDriver.create(b.build());
  for (const value of ['a', 'x']) await driver.inputTopic('in', s, s).pipeInput('k', value, 1);
  expect(driver.outputTopic('out', s, long()).readKeyValues()).toEqual([
    ['k', 1],
    ['k', null],
  ]);
  expect(driver.keyValueStore('lengths').get('k')).toBeNull();
});
