/** `forEachBatch` in memory: what ends a batch, what its handler is told, and what a failure does. */
import { afterEach, expect, test } from 'vitest';
import {
  type BatchContext,
  BatchFencedError,
  type BatchRecord,
  type ForEachBatchOptions,
  StreamsBuilder,
  string,
} from '../../src/index.ts';
import { TopologyTestDriver, type TopologyTestDriverOptions } from '../../src/testing/index.ts';

const s = string();
let driver: TopologyTestDriver;
afterEach(() => driver?.close());

type Records = readonly BatchRecord<string | null, string>[];
type Context = BatchContext<string | null, string>;

async function run(
  handler: (records: Records, context: Context) => Promise<void>,
  options: ForEachBatchOptions = {},
  driverOptions: TopologyTestDriverOptions = {},
) {
  const builder = new StreamsBuilder();
  builder.stream('in', { key: s, value: s }).forEachBatch(handler, { name: 'sink', maxRecords: 3, ...options });
  driver = await TopologyTestDriver.create(builder.build(), driverOptions);
  return driver.inputTopic('in', s, s);
}

/** A handler that keeps the values of each batch. */
function keeping() {
  const batches: string[][] = [];
  const handler = async (records: Records): Promise<void> => void batches.push(records.map(({ value }) => value));
  return { batches, handler };
}

test('size ends a batch, then age, then a commit', async () => {
  const { batches, handler } = keeping();
  const input = await run(handler, { maxWaitMs: 1_000 });
  for (const value of ['a', 'b', 'c', 'd']) await input.pipeInput('k', value, 1);
  expect(batches).toEqual([['a', 'b', 'c']]);
  await driver.advanceWallClockTime(999);
  expect(batches).toHaveLength(1);
  await driver.advanceWallClockTime(1);
  expect(batches).toEqual([['a', 'b', 'c'], ['d']]);
  await input.pipeInput('k', 'e', 1);
  await driver.commit();
  expect(batches.at(-1)).toEqual(['e']);
});

test('the handler is told where records came from, and how the batch moves the position', async () => {
  const seen: unknown[] = [];
  const input = await run(async (records, { positions, attempt, taskId }) => {
    seen.push({ positions, attempt, taskId, offsets: records.map(({ offset, topic }) => [topic, offset]) });
  });
  for (const value of ['a', 'b', 'c', 'd', 'e', 'f']) await input.pipeInput('k', value, 1);
  const batch = (expected: number | null, next: number, ...offsets: number[]) => ({
    positions: [{ topic: 'in', partition: 0, expected, next }],
    attempt: 1,
    taskId: '0_0',
    offsets: offsets.map((offset) => ['in', offset]),
  });
  expect(seen).toEqual([batch(null, 3, 0, 1, 2), batch(3, 6, 3, 4, 5)]);
});

test('a batch that failed is tried again as a whole', async () => {
  const tries: string[][] = [];
  const input = await run(
    async (records, { attempt }) => {
      tries.push(records.map(({ value }) => value));
      if (attempt < 3) throw new Error('busy');
    },
    { maxRecords: 2 },
  );
  for (const value of ['a', 'b']) await input.pipeInput('k', value, 1);
  expect(tries).toEqual([
    ['a', 'b'],
    ['a', 'b'],
    ['a', 'b'],
  ]);
});

test('a batch that fails for good is an error that says how often it was tried', async () => {
  const input = await run(
    async () => {
      throw Object.assign(new Error('no such table'), { retriable: false });
    },
    { maxRecords: 1 },
  );
  await expect(input.pipeInput('secret-key', 'secret', 1)).rejects.toMatchObject({
    code: 'MILLRACE_PROCESSORS_BATCH_FAILED',
    attempts: 1,
    node: 'sink',
    message: expect.stringMatching(/sink failed on a batch of 1 records \(task 0_0\), at the first try: no such table/),
  });
});

test('onError continue: its records go to the dead letters, and the next batch is handled', async () => {
  const { batches, handler } = keeping();
  const input = await run(
    async (records) => {
      if (records.some(({ value }) => value === 'bad')) throw new Error('refused');
      await handler(records);
    },
    { maxRecords: 2, onError: 'continue', deadLetterTopic: 'dead', retry: { maxAttempts: 2 } },
  );
  for (const value of ['a', 'bad', 'c', 'd']) await input.pipeInput('k', value, 1);
  expect(batches).toEqual([['c', 'd']]);
  const dead = driver.outputTopic('dead', s, s).readRecords();
  expect(dead.map(({ value }) => value)).toEqual(['a', 'bad']);
  expect(dead[0]!.headers.find(({ key }) => key === '__millrace.errors.attempts')?.value?.toString()).toBe('2');
});

test('a handler leaves single records to the dead letters', async () => {
  const stored: string[] = [];
  const input = await run(
    async (records, { deadLetter }) => {
      for (const record of records) {
        if (record.value === 'bad') await deadLetter(record, new Error('a NUL'));
        else stored.push(record.value);
      }
    },
    { deadLetterTopic: 'dead' },
  );
  for (const value of ['a', 'bad', 'c']) await input.pipeInput('k', value, 1);
  expect(stored).toEqual(['a', 'c']);
  const [dead] = driver.outputTopic('dead', s, s).readRecords();
  expect([dead!.key, dead!.value]).toEqual(['k', 'bad']);
});

test('a dead letter without a topic for it is an error', async () => {
  const input = await run(async (records, { deadLetter }) => deadLetter(records[0]!, new Error('x')), {
    maxRecords: 1,
    retry: { maxAttempts: 1 },
  });
  await expect(input.pipeInput('k', 'a', 1)).rejects.toMatchObject({
    cause: { code: 'MILLRACE_PROCESSORS_NO_DEAD_LETTER_TOPIC' },
  });
});

test('a target that remembers its position is asked where to begin', async () => {
  const asked: unknown[] = [];
  const seen: unknown[] = [];
  const input = await run(
    async (records, { positions }) => void seen.push(records[0]!.offset, positions[0]),
    {
      maxRecords: 1,
      positions: {
        load: async (partitions, { applicationId }) => {
          asked.push(partitions, applicationId);
          return [{ topic: 'in', partition: 0, offset: 41 }];
        },
      },
    },
    { applicationId: 'app' },
  );
  await input.pipeInput('k', 'a', 1);
  expect(asked).toEqual([[{ topic: 'in', partition: 0 }], 'app']);
  expect(seen).toEqual([41, { topic: 'in', partition: 0, expected: 41, next: 42 }]);
});

test('a position that is none is refused', async () => {
  const positions = { load: async () => [{ topic: 'in', partition: 0, offset: -1 }] };
  await expect(run(async () => {}, { positions })).rejects.toMatchObject({
    code: 'MILLRACE_RUNTIME_EXTERNAL_POSITIONS',
  });
});

test('a fenced batch is not tried again', async () => {
  let tries = 0;
  const input = await run(
    async () => {
      tries++;
      throw new BatchFencedError();
    },
    { maxRecords: 1, onError: 'continue' },
  );
  await expect(input.pipeInput('k', 'a', 1)).rejects.toMatchObject({ code: 'MILLRACE_TOPOLOGY_BATCH_FENCED' });
  expect(tries).toBe(1);
});

test('a table’s updates come in batches as its cache lets them go', async () => {
  const builder = new StreamsBuilder();
  const batches: [string, number][][] = [];
  builder
    .stream('in', { key: s, value: s })
    .groupByKey()
    .count({ name: 'counts' })
    .toStream()
    .forEachBatch(async (records) => void batches.push(records.map(({ key, value }) => [key, value])), {
      maxRecords: 100,
    });
  driver = await TopologyTestDriver.create(builder.build(), { commitEachRecord: false });
  const input = driver.inputTopic('in', s, s);
  for (const key of ['a', 'b', 'a']) await input.pipeInput(key, 'x', 1);
  expect(batches).toEqual([]);
  await driver.commit();
  expect(batches).toEqual([
    [
      ['b', 1],
      ['a', 2],
    ],
  ]);
});

test('two sinks of one task end their batches together', async () => {
  const [first, second] = [keeping(), keeping()];
  const builder = new StreamsBuilder();
  const stream = builder.stream('in', { key: s, value: s });
  stream.forEachBatch(first.handler, { maxRecords: 2 });
  stream.filter((_key, value) => value !== 'a').forEachBatch(second.handler, { maxRecords: 10 });
  driver = await TopologyTestDriver.create(builder.build());
  const input = driver.inputTopic('in', s, s);
  for (const value of ['a', 'b', 'c']) await input.pipeInput('k', value, 1);
  expect([first.batches, second.batches]).toEqual([[['a', 'b']], [['b']]]);
});

test('two sinks of one task that both remember the position are refused', () => {
  const builder = new StreamsBuilder();
  const stream = builder.stream('in', { key: s, value: s });
  const positions = { load: async () => [] };
  stream.forEachBatch(async () => {}, { positions, name: 'one' });
  stream.forEachBatch(async () => {}, { positions, name: 'two' });
  expect(() => builder.build()).toThrow(/one and two read the same partitions/);
});
