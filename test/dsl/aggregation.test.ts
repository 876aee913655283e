import { afterEach, describe, expect, test } from 'vitest';
import { double, long, minutes, nullable, StreamsBuilder, string, TimeWindows, timeWindowed } from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

let driver: TopologyTestDriver;
afterEach(() => driver?.close());

describe('windowed aggregation', () => {
  const build = (caching = true) => {
    const builder = new StreamsBuilder();
    builder
      .stream('in', { key: string(), value: double() })
      .groupByKey()
      .windowedBy(TimeWindows.of(minutes(1), { grace: minutes(1) }))
      .aggregate(
        () => 0,
        (_key, value, sum) => sum + value,
        { name: 'sums', value: double(), caching },
      )
      .toStream()
      .to('out', { key: timeWindowed(string(), minutes(1)), value: double() });
    return builder.build();
  };
  const window = (minute: number) => ({ startMs: minutes(minute), endMs: minutes(minute + 1) });

  test.each([true, false])(
    'values fall into their windows, late ones are dropped and counted (caching %s)',
    async (caching) => {
      driver = await TopologyTestDriver.create(build(caching));
      const input = driver.inputTopic('in', string(), double());
      const output = driver.outputTopic('out', timeWindowed(string(), minutes(1)), double());
      await input.pipeInput('a', 1, 10);
      await input.pipeInput('a', 2, 5);
      await input.pipeInput('b', 3, minutes(1));
      await input.pipeInput('a', 4, minutes(2) - 1); // window 0 closes at end + grace = minute 2
      await input.pipeInput('a', 5, 20);
      await input.pipeInput('a', 6, minutes(2));
      await input.pipeInput('a', 7, 30);
      expect(
        output.readRecords().map(({ key, value, timestamp }) => [key!.key, key!.window, value, timestamp]),
      ).toEqual([
        ['a', window(0), 1, 10],
        ['a', window(0), 3, 10],
        ['b', window(1), 3, minutes(1)],
        ['a', window(1), 4, minutes(2) - 1],
        ['a', window(0), 8, 20],
        ['a', window(2), 6, minutes(2)],
      ]);
      expect(driver.metrics().droppedByReason).toEqual({ late: 1 });
      expect(driver.windowStore('sums').fetch('a', minutes(1))).toBe(4);
    },
  );

  test('a cache emits the last update per key of each commit, in the order of the last writes', async () => {
    driver = await TopologyTestDriver.create(build(), { commitEachRecord: false });
    const input = driver.inputTopic('in', string(), double());
    const output = driver.outputTopic('out', timeWindowed(string(), minutes(1)), double());
    await input.pipeInput('a', 1, 1);
    await input.pipeInput('b', 1, 2);
    await input.pipeInput('a', 1, 3);
    expect(output.readRecords()).toEqual([]);
    await driver.commit();
    expect(output.readRecords().map(({ key, value, timestamp }) => [key!.key, value, timestamp])).toEqual([
      ['b', 1, 2],
      ['a', 2, 3],
    ]);
  });
});

test('describe() is Kafka Streams’ text, and names are generated as there', () => {
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: string(), value: string() })
    .groupBy((_key, value) => value, { key: string(), value: string() })
    .windowedBy(TimeWindows.of(10))
    .count()
    .toStream()
    .to('out', { key: timeWindowed(string(), 10), value: long() });
  expect(builder.build().describe()).toBe(`Topologies:
   Sub-topology: 0
    Source: KSTREAM-SOURCE-0000000000 (topics: [in])
      --> KSTREAM-KEY-SELECT-0000000001
    Processor: KSTREAM-KEY-SELECT-0000000001 (stores: [])
      --> KSTREAM-FILTER-0000000005
      <-- KSTREAM-SOURCE-0000000000
    Processor: KSTREAM-FILTER-0000000005 (stores: [])
      --> KSTREAM-SINK-0000000004
      <-- KSTREAM-KEY-SELECT-0000000001
    Sink: KSTREAM-SINK-0000000004 (topic: KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition)
      <-- KSTREAM-FILTER-0000000005

  Sub-topology: 1
    Source: KSTREAM-SOURCE-0000000006 (topics: [KSTREAM-AGGREGATE-STATE-STORE-0000000002-repartition])
      --> KSTREAM-AGGREGATE-0000000003
    Processor: KSTREAM-AGGREGATE-0000000003 (stores: [KSTREAM-AGGREGATE-STATE-STORE-0000000002])
      --> KTABLE-TOSTREAM-0000000007
      <-- KSTREAM-SOURCE-0000000006
    Processor: KTABLE-TOSTREAM-0000000007 (stores: [])
      --> KSTREAM-SINK-0000000008
      <-- KSTREAM-AGGREGATE-0000000003
    Sink: KSTREAM-SINK-0000000008 (topic: out)
      <-- KTABLE-TOSTREAM-0000000007

`);
});

test('without windows: null keys and values are dropped and counted; count, reduce and aggregate keep the latest timestamp', async () => {
  const builder = new StreamsBuilder();
  const grouped = builder.stream('in', { key: string(), value: nullable(string()) }).groupByKey();
  grouped.count({ name: 'counts' }).toStream().to('counts', { key: string(), value: long() });
  grouped
    .reduce((a, b) => a + b, { name: 'joined', value: string() })
    .toStream()
    .to('joined', { key: string(), value: string() });
  driver = await TopologyTestDriver.create(builder.build());
  const input = driver.inputTopic('in', string(), string());
  await input.pipeInput('k', 'x', 5);
  await input.pipeInput('k', null, 6);
  await input.pipeInput(null, 'y', 7);
  await input.pipeInput('k', 'z', 3);
  const counts = driver.outputTopic('counts', string(), long());
  expect(counts.readRecords().map((r) => [r.value, r.timestamp])).toEqual([
    [1, 5],
    [2, 5],
  ]);
  expect(driver.outputTopic('joined', string(), string()).readKeyValues()).toEqual([
    ['k', 'x'],
    ['k', 'xz'],
  ]);
  // Each of the two aggregations drops both.
  expect(driver.metrics().droppedByReason).toEqual({ 'null-key-or-value': 4 });
});
