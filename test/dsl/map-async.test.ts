/** `mapAsync` in memory: results, order, tries, failures, and what stays in its store. */
import { afterEach, expect, test } from 'vitest';
import {
  type CallContext,
  json,
  keyValueStore,
  type MapAsyncOptions,
  StreamsBuilder,
  string,
  type TopologyError,
} from '../../src/index.ts';
import { TopologyTestDriver, type TopologyTestDriverOptions } from '../../src/testing/index.ts';

const s = string();
let driver: TopologyTestDriver;
afterEach(() => driver?.close());

type Fn = (key: string | null, value: string, context: CallContext) => Promise<readonly [string | null, string]>;

async function run(
  fn: Fn,
  options: MapAsyncOptions<string | null, string, string | null, string> = {},
  driverOptions: TopologyTestDriverOptions = {},
) {
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: s, value: s })
    .mapAsync(fn, { name: 'call', ...options })
    .to('out', { key: s, value: s });
  driver = await TopologyTestDriver.create(builder.build(), driverOptions);
  return { input: driver.inputTopic('in', s, s), out: () => driver.outputTopic('out', s, s).readKeyValues() };
}

test('results go on as records, with the time and headers of the record that they are for', async () => {
  const { input } = await run(async (key, value) => [`${key}!`, value.toUpperCase()]);
  await input.pipeInput('a', 'x', 17, [{ key: 'h', value: Buffer.from('1') }]);
  expect(driver.outputTopic('out', s, s).readRecords()).toEqual([
    { key: 'a!', value: 'X', timestamp: 17, headers: [{ key: 'h', value: Buffer.from('1') }] },
  ]);
});

test('the function is told where the record came from, and which try it is', async () => {
  const seen: unknown[] = [];
  const { input } = await run(
    async (key, value, { topic, partition, offset, timestamp, attempt, applicationId, taskId }) => {
      seen.push({ topic, partition, offset, timestamp, attempt, applicationId, taskId });
      if (attempt < 3) throw new Error('not yet');
      return [key, value];
    },
    {},
    { applicationId: 'app' },
  );
  await input.pipeInput('a', 'x', 5);
  const at = { topic: 'in', partition: 0, offset: 0, timestamp: 5, applicationId: 'app', taskId: '0_0' };
  expect(seen).toEqual([1, 2, 3].map((attempt) => ({ ...at, attempt })));
});

test('a call that ends before the commit leaves nothing in the changelog', async () => {
  const { input, out } = await run(async (key, value) => [key, value], {}, { commitEachRecord: false });
  await input.pipeInput('a', 'x', 1);
  await driver.commit();
  expect(out()).toEqual([['a', 'x']]);
  expect(driver.produced.map(({ topic }) => topic)).toEqual(['out']);
});

test('a record that is pending at a commit is logged, and deleted once its result is safe', async () => {
  const { input } = await run(async (key, value) => [key, value]);
  await input.pipeInput('a', 'x', 1);
  const log = driver.produced.filter(({ topic }) => topic === 'test-call-pending-changelog');
  // Each record is committed before its call has ended: the driver commits each record.
  expect(log.map(({ value }) => value === null)).toEqual([false, true]);
  const left: unknown[] = [];
  for await (const entry of driver.keyValueStore('call-pending').all()) left.push(entry);
  expect(left).toEqual([]);
});

test('an error ends the tries when it says that another is of no use', async () => {
  let tries = 0;
  const { input } = await run(async () => {
    tries++;
    throw Object.assign(new Error('a bad request'), { retriable: false });
  });
  await expect(input.pipeInput('a', 'x', 1)).rejects.toMatchObject({
    code: 'MILLRACE_PROCESSORS_CALL_FAILED',
    attempts: 1,
    topic: 'in',
    offset: 0,
    node: 'call',
  });
  expect(tries).toBe(1);
});

test('the message of a call that failed says how often it was tried, and holds nothing of the record', async () => {
  const { input } = await run(
    async () => {
      throw new Error('gone');
    },
    { retry: { maxAttempts: 2 } },
  );
  const error: Error = await input.pipeInput('secret-key', 'secret-value', 1).then(
    () => expect.unreachable(),
    (thrown) => thrown,
  );
  expect(error.message).toContain('call failed on the record at in-0 offset 0 (task 0_0), after 2 tries: gone');
  expect(JSON.stringify(error) + error.message).not.toContain('secret');
});

test('onError continue: the record goes to the dead letters with its own bytes and the number of tries', async () => {
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: s, value: json<{ n: number }>() })
    .mapValues(({ n }) => String(n))
    .mapAsync(
      async (key, n) => {
        if (n === '2') throw new Error('no twos');
        return [key, n];
      },
      { key: s, value: s, retry: { maxAttempts: 3 }, deadLetterTopic: 'dead' },
    )
    .to('out', { key: s, value: s });
  driver = await TopologyTestDriver.create(builder.build());
  const input = driver.inputTopic('in', s, s);
  for (const n of [1, 2, 3]) await input.pipeInput('k', `{ "n": ${n} }`, n);
  expect(driver.outputTopic('out', s, s).readKeyValues()).toEqual([
    ['k', '1'],
    ['k', '3'],
  ]);
  const [dead] = driver.outputTopic('dead', s, s).readRecords();
  const headers = Object.fromEntries(dead!.headers.map(({ key, value }) => [key, String(value)]));
  expect({ key: dead!.key, value: dead!.value, timestamp: dead!.timestamp }).toEqual({
    key: 'k',
    value: '{ "n": 2 }',
    timestamp: 2,
  });
  expect(headers).toMatchObject({
    '__streams.errors.topic': 'in',
    '__streams.errors.partition': '0',
    '__streams.errors.offset': '1',
    '__millrace.errors.attempts': '3',
  });
  expect(headers['__streams.errors.message']).toContain('no twos');
  expect(driver.metrics().droppedByReason).toEqual({ failed: 1 });
});

test('onFailure gives what comes of a record that was tried in vain', async () => {
  const { input, out } = await run(
    async () => {
      throw new Error('down');
    },
    { retry: { maxAttempts: 2 }, onFailure: (error, key, _value, { attempts }) => [key, `${error} ${attempts}`] },
  );
  await input.pipeInput('a', 'x', 1);
  expect(out()).toEqual([['a', 'Error: down 2']]);
});

test('a result that is a row of a table downstream is a copy of nothing that is pending', async () => {
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: s, value: s })
    .mapAsync(async (key, value) => [key, value.length])
    .groupByKey({ key: s, value: json<number>() })
    .count({ name: 'counts' });
  driver = await TopologyTestDriver.create(builder.build());
  const input = driver.inputTopic('in', s, s);
  await input.pipeInput('a', 'x', 1);
  await input.pipeInput('a', 'yy', 2);
  expect(driver.keyValueStore<string, number>('counts').get('a')).toBe(2);
});

test('a value of null, and a key of null, come back from the store as they were', async () => {
  const { input, out } = await run(async (key, value) => [key, `${value}`]);
  await input.pipeInput(null, 'x', 1);
  expect(out()).toEqual([[null, 'x']]);
});

test('a promise that is no pair of key and value is an error that names the operator', async () => {
  const { input } = await run(async () => undefined as unknown as readonly [string, string]);
  await expect(input.pipeInput('a', 'x', 1)).rejects.toMatchObject({
    code: 'MILLRACE_RUNTIME_PROCESSING',
    node: 'call',
  });
});

test('without serdes for what waits it is refused when the graph is built', () => {
  const stream = new StreamsBuilder().stream('in', { key: s, value: s }).mapValues((value) => value.length);
  expect(() => stream.mapAsync(async (key, value) => [key, value])).toThrow(
    expect.objectContaining<Partial<TopologyError>>({ code: 'MILLRACE_TOPOLOGY_SERDE_MISSING' }),
  );
});

test('options that cannot be meant so are refused, by name', () => {
  const stream = new StreamsBuilder().stream('in', { key: s, value: s });
  const fn: Fn = async (key, value) => [key, value];
  for (const [options, message] of [
    [{ concurrency: 0 }, /concurrency is 0/],
    [{ maxPending: 1.5 }, /maxPending is 1.5/],
    [{ timeoutMs: Number.NaN }, /timeoutMs is NaN/],
    [{ order: 'keys' as 'key' }, /order is 'keys'/],
    [{ retry: { maxAttempts: 0 } }, /retry.maxAttempts is 0/],
    [{ onError: 'fail', deadLetterTopic: 'dead' }, /which drops nothing/],
    [{ deadLetterTopic: '' }, /leave it out/],
  ] as const)
    expect(() => stream.mapAsync(fn, options)).toThrow(message);
});

test('a named call has a named store, so that a change before it keeps what is pending', () => {
  const builder = new StreamsBuilder();
  const stream = builder.stream('in', { key: s, value: s });
  stream.mapAsync(async (key, value) => [key, value], { name: 'lookup' });
  stream.mapAsync(async (key, value) => [key, value]);
  expect(builder.build().describe()).toContain('Processor: lookup (stores: [lookup-pending])');
  expect(builder.build().describe()).toContain('(stores: [KSTREAM-MAPASYNC-STATE-STORE-');
});

test('more records than may wait: the task takes no more until results have come', async () => {
  let most = 0;
  let running = 0;
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: s, value: s })
    .flatMapValues((value) => value.split(','))
    .mapAsync(
      async (key, value) => {
        most = Math.max(most, ++running);
        await Promise.resolve();
        running--;
        return [key, value];
      },
      { key: s, value: s, order: 'none', concurrency: 3, maxPending: 4 },
    )
    .to('out', { key: s, value: s });
  driver = await TopologyTestDriver.create(builder.build());
  const values = Array.from({ length: 50 }, (_, i) => String(i));
  await driver.inputTopic('in', s, s).pipeInput('k', values.join(','), 1);
  expect(most).toBe(3);
  expect(
    driver
      .outputTopic('out', s, s)
      .readKeyValues()
      .map(([, value]) => value)
      .sort(),
  ).toEqual([...values].sort());
});

test('a processor behind it uses its store in the task’s own turn', async () => {
  const store = keyValueStore('seen', { key: s, value: s });
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: s, value: s })
    .mapAsync(async (key, value) => [key, value])
    .process<string, string>(
      () => {
        let put: (key: string, value: string) => void;
        return {
          init: (context) => {
            const seen = context.getStateStore<{ put(key: string, value: string): void }>('seen');
            put = (key, value) => seen.put(key, value);
          },
          process: ({ key, value }) => put(key!, value),
        };
      },
      { stores: [store] },
    );
  driver = await TopologyTestDriver.create(builder.build());
  await driver.inputTopic('in', s, s).pipeInput('a', 'x', 1);
  expect(driver.keyValueStore<string, string>('seen').get('a')).toBe('x');
});
