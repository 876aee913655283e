/**
 * Values behind a repartition topic: bytes are copied only where nothing could have changed the value, so that what is
 * written is always what encoding anew would give.
 */
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { json, type KStream, type Processor, type ProcessorContext, StreamsBuilder, string } from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

let driver: TopologyTestDriver | undefined;
afterEach(async () => {
  await driver?.close();
  driver = undefined;
});

interface Total {
  total: number;
}

const s = string();
const totals = json<Total>();
const IO = { key: s, value: totals };

// biome-ignore lint/suspicious/noExplicitAny: keys are null or not
type Totals = KStream<any, Total>;
type Step = (stream: Totals) => Totals;

const add = (value: Total, n: number): Total => {
  value.total += n;
  return value;
};

/** Hands on what it was given, changed in place. */
function adder(n: number): Processor<string | null, Total, string | null, Total> {
  let context: ProcessorContext<string | null, Total>;
  return {
    init(c) {
      context = c;
    },
    process(record) {
      add(record.value, n);
      context.forward(record);
    },
  };
}

/** What each does to a stream, and to the totals of a record's value. */
const STEPS: Readonly<Record<string, readonly [Step, (totals: number[]) => number[]]>> = {
  filter: [(x) => x.filter(() => true), (n) => n],
  filterNot: [(x) => x.filterNot((_k, v) => v.total % 5 === 0), (n) => n.filter((m) => m % 5 !== 0)],
  selectKey: [(x) => x.selectKey((_k, v) => `${v.total}`), (n) => n],
  peek: [(x) => x.peek(() => {}), (n) => n],
  split: [
    (x) =>
      x
        .split({})
        .branch(() => true)
        .noDefaultBranch()
        .values()
        .next().value!,
    (n) => n,
  ],
  repartition: [(x) => x.selectKey(() => 'k').repartition(IO), (n) => n],
  'a mapValues that hands on': [(x) => x.mapValues((v) => v), (n) => n],
  'a mapValues that hands on and is declared pure': [(x) => x.mapValues((v) => v, { pure: true }), (n) => n],
  'a mapValues that changes': [(x) => x.mapValues((v) => add(v, 1)), (n) => n.map((m) => m + 1)],
  'a mapValues that replaces': [(x) => x.mapValues((v) => ({ total: v.total + 2 })), (n) => n.map((m) => m + 2)],
  'a map that changes': [(x) => x.map((k, v) => [k, add(v, 3)]), (n) => n.map((m) => m + 3)],
  'a flatMap that changes': [(x) => x.flatMap((k, v) => [[k, add(v, 4)]]), (n) => n.map((m) => m + 4)],
  'a flatMapValues that changes': [(x) => x.flatMapValues((v) => [add(v, 6)]), (n) => n.map((m) => m + 6)],
  'a process that changes': [(x) => x.process(() => adder(7)), (n) => n.map((m) => m + 7)],
  'a processValues that changes': [(x) => x.processValues(() => adder(8)), (n) => n.map((m) => m + 8)],
  // The side with an operator more comes first.
  'a merge of which one side replaces': [
    (x) => x.merge(x.mapValues((v) => ({ total: v.total + 9 }))),
    (n) => n.flatMap((m) => [m + 9, m]),
  ],
};

async function repartitioned(steps: readonly string[], values: readonly Total[]): Promise<(string | undefined)[]> {
  const b = new StreamsBuilder();
  const stream = steps.reduce((x, step) => STEPS[step]![0](x), b.stream('in', IO) as Totals);
  stream.groupBy((_k, v) => `${v.total}`, { ...IO, name: 'by' }).count();
  driver = await TopologyTestDriver.create(b.build(), { applicationId: 'app' });
  for (const value of values) await driver.inputTopic('in', s, totals).pipeInput('k', value, 1);
  const written = driver.produced.filter(({ topic }) => topic === 'app-by-repartition');
  await driver.close();
  return written.map(({ value }) => value?.toString());
}

test('a value changed in place is written changed', async () => {
  expect(await repartitioned(['a mapValues that changes'], [{ total: 1 }])).toEqual(['{"total":2}']);
});

test('any chain of operators writes what encoding anew would', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...Object.keys(STEPS)), { maxLength: 5 }),
      fc.array(fc.record({ total: fc.nat(20) }), { minLength: 1, maxLength: 3 }),
      async (steps, values) => {
        const expected = values.flatMap(({ total }) => steps.reduce((n, step) => STEPS[step]![1](n), [total]));
        const actual = await repartitioned(steps, values);
        expect(actual).toEqual(expected.map((total) => JSON.stringify({ total })));
      },
    ),
    { numRuns: 300 },
  );
});

test.each([
  ['filter', true],
  ['selectKey', true],
  ['peek', true],
  ['split', true],
  ['repartition', true],
  ['a mapValues that hands on', false],
  ['a mapValues that hands on and is declared pure', true],
  ['a process that changes', false],
  ['a merge of which one side replaces', false],
])('behind %s the bytes that were read may be written again: %s', (step, reused) => {
  const b = new StreamsBuilder();
  STEPS[step]![0](b.stream('in', IO))
    .groupBy((k) => `${k}`, { ...IO, name: 'by' })
    .count();
  const sinks = b.build().subTopologies.flatMap((sub) => sub.sinks);
  expect(sinks.find(({ topic }) => topic === 'by-repartition')!.reusesSourceBytes).toBe(reused);
});

test('bytes are copied as they came where nothing has touched the value', async () => {
  const b = new StreamsBuilder();
  b.stream('in', IO)
    .filter((_k, v) => v.total > 0)
    .groupBy((_k, v) => `${v.total}`, { ...IO, name: 'by' })
    .count();
  driver = await TopologyTestDriver.create(b.build(), { applicationId: 'app' });
  const spaced = Buffer.from('{ "total": 1, "more": true }');
  await driver.pipe({ topic: 'in', key: null, value: spaced, timestamp: 1, headers: [] });
  expect(driver.produced.find(({ topic }) => topic === 'app-by-repartition')!.value).toEqual(spaced);
});
