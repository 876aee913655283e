/** Objects that stores and user code could share: what user code keeps or changes changes nothing in a store. */
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { json, type KTable, minutes, StreamsBuilder, string, TimeWindows, type Topology } from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

let driver: TopologyTestDriver;
afterEach(() => driver?.close());

const s = string();
interface Sum {
  sum: number;
  count: number;
}
const sums = json<Sum>();
const add = (_key: string, value: number, sum: Sum): Sum => {
  sum.sum += value;
  sum.count++;
  return sum;
};
const grouped = (builder: StreamsBuilder) => builder.stream('in', { key: s, value: json<number>() }).groupByKey();
const numbers = json<number>();

describe.each([true, false])('with caching %s', (caching) => {
  // Each record is committed, so that with a cache too every update is seen.
  test('a mapper behind an aggregation may change what it gets: averages are 10, 15, 20', async () => {
    const builder = new StreamsBuilder();
    grouped(builder)
      .aggregate(() => ({ sum: 0, count: 0 }), add, { name: 'sums', value: sums, caching })
      .toStream()
      .mapValues((sum) => {
        sum!.sum /= sum!.count;
        return sum!;
      })
      .to('out', { key: s, value: sums });
    driver = await TopologyTestDriver.create(builder.build());
    for (const value of [10, 20, 30]) await driver.inputTopic('in', s, numbers).pipeInput('k', value, 1);
    const averages = driver.outputTopic('out', s, sums).readRecords();
    expect(averages.map(({ value }) => value!.sum)).toEqual([10, 15, 20]);
    expect(driver.keyValueStore<string, Sum>('sums').get('k')).toEqual({ sum: 60, count: 3 });
  });

  test('a processor that keeps what it gets has 1, 3 and 6', async () => {
    const kept: Sum[] = [];
    const builder = new StreamsBuilder();
    grouped(builder)
      .aggregate(() => ({ sum: 0, count: 0 }), add, { name: 'sums', value: sums, caching })
      .toStream()
      .process(() => ({ process: ({ value }) => void kept.push(value!) }));
    driver = await TopologyTestDriver.create(builder.build(), { commitEachRecord: false });
    for (const value of [1, 2, 3]) {
      await driver.inputTopic('in', s, numbers).pipeInput('k', value, 1);
      await driver.commit();
    }
    expect(kept.map(({ sum }) => sum)).toEqual([1, 3, 6]);
  });

  test('rows of a materialised table are what its changelog says, whoever changes the values in place', async () => {
    const builder = new StreamsBuilder();
    builder
      .table('in', { key: s, value: sums, materialized: { name: 'rows', caching } })
      .mapValues((row) => Object.assign(row, { sum: -row.sum }))
      .toStream()
      .to('out', { key: s, value: sums });
    driver = await TopologyTestDriver.create(builder.build(), { commitEachRecord: false });
    const input = driver.inputTopic('in', s, sums);
    await input.pipeInput('a', { sum: 1, count: 1 }, 1);
    await input.pipeInput('b', { sum: 2, count: 1 }, 2);
    await driver.commit();
    const rows = driver.keyValueStore<string, Sum>('rows');
    expect([rows.get('a')!.sum, rows.get('b')!.sum]).toEqual([1, 2]);
    expect(changelogOf(driver, 'rows')).toEqual({ a: { sum: 1, count: 1 }, b: { sum: 2, count: 1 } });
    expect(lastOf(driver, 'out')).toEqual({ a: { sum: -1, count: 1 }, b: { sum: -2, count: 1 } });
  });

  test('a mapper that returns the same object for every key has a row of each', async () => {
    const shared = { sum: 0, count: 0 };
    const builder = new StreamsBuilder();
    builder
      .table('in', { key: s, value: numbers })
      .mapValues((value) => Object.assign(shared, { sum: value }), {
        materialized: { name: 'rows', key: s, value: sums, caching },
      })
      .toStream()
      .to('out', { key: s, value: sums });
    driver = await TopologyTestDriver.create(builder.build(), { commitEachRecord: false });
    const input = driver.inputTopic('in', s, numbers);
    for (const [key, value] of [
      ['a', 1],
      ['b', 2],
      ['a', 3],
    ] as const)
      await input.pipeInput(key, value, 1);
    expect(driver.keyValueStore<string, Sum>('rows').get('b')!.sum).toBe(2);
    await driver.commit();
    expect(lastOf(driver, 'rows', true)).toEqual({ a: { sum: 3, count: 0 }, b: { sum: 2, count: 0 } });
    expect(lastOf(driver, 'out')).toEqual({ a: { sum: 3, count: 0 }, b: { sum: 2, count: 0 } });
  });

  test('windows do not share what an initialiser or an aggregator hands to each of them', async () => {
    interface Seen {
      readonly later: number[];
      readonly values?: number[];
    }
    const later: number[] = [];
    const lists = json<number[]>();
    const builder = new StreamsBuilder();
    builder
      .stream('in', { key: s, value: lists })
      .groupByKey()
      .windowedBy(TimeWindows.of(minutes(2), { advance: minutes(1), grace: minutes(9) }))
      .aggregate<Seen>(
        () => ({ later }),
        (_key, values, seen) => {
          if (seen.values === undefined) return { ...seen, values };
          seen.values.push(...values);
          seen.later.push(...values);
          return seen;
        },
        { name: 'seen', value: json<Seen>(), caching },
      );
    driver = await TopologyTestDriver.create(builder.build(), { commitEachRecord: false });
    const input = driver.inputTopic('in', s, lists);
    await input.pipeInput('a', [1], minutes(1));
    await input.pipeInput('a', [2], minutes(2));
    const store = driver.windowStore<string, Seen>('seen');
    expect([0, 1, 2].map((minute) => store.fetch('a', minutes(minute)))).toEqual([
      { later: [], values: [1] },
      { later: [2], values: [1, 2] },
      { later: [], values: [2] },
    ]);
  });

  test('an aggregator that returns undefined deletes, as with null', async () => {
    const builder = new StreamsBuilder();
    grouped(builder)
      .aggregate<Sum>(
        () => ({ sum: 0, count: 0 }),
        (key, value, sum) => (value === 0 ? (undefined as unknown as Sum) : add(key, value, sum)),
        { name: 'sums', value: sums, caching },
      )
      .toStream()
      .to('out', { key: s, value: sums });
    driver = await TopologyTestDriver.create(builder.build());
    const input = driver.inputTopic('in', s, numbers);
    for (const value of [1, 0, 5]) await input.pipeInput('k', value, 1);
    const values = driver
      .outputTopic('out', s, sums)
      .readRecords()
      .map(({ value }) => value?.sum ?? null);
    expect(values).toEqual([1, null, 5]);
  });

  test('a key that is an object may be changed by who gets it', async () => {
    const ids = json<{ id: string }>();
    const builder = new StreamsBuilder();
    builder
      .stream('in', { key: ids, value: numbers })
      .groupByKey()
      .count({ name: 'counts', caching })
      .toStream()
      .peek((key) => {
        key.id = 'changed';
      });
    driver = await TopologyTestDriver.create(builder.build(), { commitEachRecord: false });
    const input = driver.inputTopic('in', ids, numbers);
    for (const key of ['a', 'b', 'a']) {
      await input.pipeInput({ id: key }, 1, 1);
      await driver.commit();
    }
    const counts = driver.keyValueStore<{ id: string }, number>('counts');
    expect([counts.get({ id: 'a' }), counts.get({ id: 'b' }), counts.get({ id: 'changed' })]).toEqual([2, 1, null]);
  });
});

test('a reducer may return the record’s value: who changes that afterwards changes nothing in the store', async () => {
  const builder = new StreamsBuilder();
  const stream = builder.stream('in', { key: s, value: sums });
  stream.groupByKey().reduce((_last, value) => value, { name: 'latest', value: sums });
  stream.forEach((_key, value) => {
    value.sum = 99;
  });
  driver = await TopologyTestDriver.create(builder.build(), { commitEachRecord: false });
  const input = driver.inputTopic('in', s, sums);
  for (const sum of [1, 2, 3]) {
    await input.pipeInput('k', { sum, count: 1 }, 1);
    expect(driver.keyValueStore<string, Sum>('latest').get('k')!.sum).toBe(sum);
  }
});

test('the driver reads state back after each commit: what would break after an eviction breaks in the test', async () => {
  const builder = new StreamsBuilder();
  grouped(builder).aggregate(
    () => ({ n: 0, last: new Date(0) }),
    // The first result goes through the serde in any case, and JSON makes a text of the date.
    (_key, value, seen) =>
      seen.n === 2 ? { ...seen, n: seen.last.getTime() } : { n: seen.n + 1, last: new Date(value) },
    { name: 'seen', value: json<{ n: number; last: Date }>() },
  );
  driver = await TopologyTestDriver.create(builder.build());
  const input = driver.inputTopic('in', s, numbers);
  await input.pipeInput('k', 1, 1);
  await input.pipeInput('k', 2, 2);
  await expect(input.pipeInput('k', 3, 3)).rejects.toThrow('getTime is not a function');
});

test('a cache of no bytes: each update is flushed at once', async () => {
  const builder = new StreamsBuilder();
  grouped(builder)
    .aggregate(() => ({ sum: 0, count: 0 }), add, { name: 'sums', value: sums })
    .toStream()
    .to('out', { key: s, value: sums });
  driver = await TopologyTestDriver.create(builder.build(), { commitEachRecord: false, cacheMaxBytes: 0 });
  for (const value of [1, 2, 3]) await driver.inputTopic('in', s, numbers).pipeInput('k', value, 1);
  const values = driver
    .outputTopic('out', s, sums)
    .readRecords()
    .map(({ value }) => value!.sum);
  expect(values).toEqual([1, 3, 6]);
});

describe('any table followed by a mapper that changes what it gets', () => {
  interface Value {
    n: number;
    list: number[];
  }
  const values = json<Value>();
  const shape = fc.record({
    kind: fc.constantFrom('aggregate', 'reduce', 'windowed', 'table', 'mapped', 'filtered'),
    caching: fc.boolean(),
    second: fc.option(fc.record({ caching: fc.boolean() })),
    cacheMaxBytes: fc.constantFrom(0, 700, 3_000, 1_000_000),
  });
  const input = fc.array(
    fc.record({ key: fc.constantFrom('a', 'b', 'c'), n: fc.integer({ min: 1, max: 9 }), commit: fc.boolean() }),
    { maxLength: 25 },
  );

  type Shape = typeof shape extends fc.Arbitrary<infer T> ? T : never;
  type Input = typeof input extends fc.Arbitrary<infer T> ? T : never;

  /** @param own what user code does first to what it gets: the mutating run takes it as it is, the careful one a copy */
  function topologyOf({ kind, caching, second }: Shape, own: (value: Value) => Value): Topology {
    const builder = new StreamsBuilder();
    const stream = () => builder.stream('in', { key: s, value: values }).groupByKey();
    const options = { name: 'first', value: values, caching };
    const fold = (_key: string, value: Value, sum: Value): Value => {
      sum.n += value.n;
      sum.list.push(value.n);
      return sum;
    };
    const start = (): Value => ({ n: 0, list: [] });
    const spoil = (value: Value): Value => {
      const taken = own(value);
      taken.n = -taken.n;
      taken.list.push(0);
      return taken;
    };
    const materialized = { ...options, key: s };
    const finish = <T extends null>(table: KTable<string, Value, T>): Topology => {
      const out =
        second === null
          ? table.toStream()
          : table
              .mapValues(spoil, {
                materialized: { name: 'second', key: s, value: values, caching: second.caching },
              })
              .toStream();
      out.mapValues((value) => (value === null ? null : spoil(value))).to('out', { key: s, value: values });
      return builder.build();
    };
    if (kind === 'aggregate') return finish(stream().aggregate(start, fold, options));
    if (kind === 'reduce') return finish(stream().reduce((sum, value) => fold('', value, sum), options));
    if (kind === 'table') return finish(builder.table('in', { key: s, value: values, materialized: options }));
    const table = () => builder.table('in', { key: s, value: values });
    if (kind === 'mapped') return finish(table().mapValues(spoil, { materialized }));
    if (kind === 'filtered') return finish(table().filter((_key, value) => value.n > 2, { materialized }));
    stream()
      .windowedBy(TimeWindows.of(40, { advance: 20, grace: 1_000 }))
      .aggregate(start, fold, options)
      .toStream((windowed) => `${windowed.key}@${windowed.window.startMs}`)
      .mapValues((value) => (value === null ? null : spoil(value)))
      .to('out', { key: s, value: values });
    return builder.build();
  }

  async function run(topology: Topology, cacheMaxBytes: number, records: Input) {
    const running = await TopologyTestDriver.create(topology, { commitEachRecord: false, cacheMaxBytes });
    try {
      for (const [i, { key, n, commit }] of records.entries()) {
        await running.inputTopic('in', s, values).pipeInput(key, { n, list: [n] }, i * 7);
        if (commit) await running.commit();
      }
      await running.commit();
      return running.produced.map(({ topic, key, value, timestamp }) => [
        topic,
        key?.toString('latin1'),
        value?.toString('latin1'),
        timestamp,
      ]);
    } finally {
      await running.close();
    }
  }

  test('writes and keeps what a run writes and keeps whose mapper copies first', async () => {
    await fc.assert(
      fc.asyncProperty(shape, input, async (kind, records) => {
        const mutating = await run(
          topologyOf(kind, (value) => value),
          kind.cacheMaxBytes,
          records,
        );
        const careful = await run(
          topologyOf(kind, (value) => structuredClone(value)),
          kind.cacheMaxBytes,
          records,
        );
        // Outputs and changelogs both: the stores' last rows are among them.
        expect(mutating).toEqual(careful);
      }),
      { numRuns: 300 },
    );
  });
});

/** The last value per key of a topic. */
function lastOf(running: TopologyTestDriver, topic: string, isChangelog = false): Record<string, unknown> {
  const last: Record<string, unknown> = {};
  for (const record of running.produced) {
    if (record.topic !== (isChangelog ? `test-${topic}-changelog` : topic)) continue;
    last[record.key!.toString()] = record.value === null ? null : JSON.parse(record.value.toString());
  }
  return last;
}

function changelogOf(running: TopologyTestDriver, store: string): Record<string, unknown> {
  return lastOf(running, store, true);
}
