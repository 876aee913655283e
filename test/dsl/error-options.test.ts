/** `onError` and `deadLetterTopic` of sources, operators and sinks: what is dropped, what is kept, and what still fails. */
import { afterEach, expect, test } from 'vitest';
import { json, type KStream, StreamsBuilder, string } from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

const s = string();
const n = json<{ n: number }>();
let driver: TopologyTestDriver;
afterEach(() => driver?.close());

type Stream = KStream<string | null, { n: number }>;

/** Pipes 1 to 3 through an operator; `two` throws at 2. */
async function through(
  build: (stream: Stream) => KStream<string | null, { n: number }> | undefined,
  deadLetterTopic?: string,
) {
  const builder = new StreamsBuilder();
  build(builder.stream('in', { key: s, value: n }))?.to('out', { key: s, value: n });
  driver = await TopologyTestDriver.create(builder.build(), deadLetterTopic === undefined ? {} : { deadLetterTopic });
  const input = driver.inputTopic('in', s, s);
  for (const i of [1, 2, 3]) await input.pipeInput('k', `{ "n": ${i} }`, i);
  return {
    out: driver
      .outputTopic('out', s, n)
      .readKeyValues()
      .map(([, value]) => value?.n),
    dead: driver.outputTopic('dead', s, s).readRecords(),
  };
}

function refuseTwo<T>(value: { n: number }, result: T): T {
  if (value.n === 2) throw new Error('no twos');
  return result;
}

const OPERATORS: Record<string, (stream: Stream, options: object) => KStream<string | null, { n: number }>> = {
  filter: (stream, options) => stream.filter((_k, v) => refuseTwo(v, true), options),
  filterNot: (stream, options) => stream.filterNot((_k, v) => refuseTwo(v, false), options),
  map: (stream, options) => stream.map((k, v) => refuseTwo(v, [k, v] as const), options),
  mapValues: (stream, options) => stream.mapValues((v) => refuseTwo(v, v), options),
  flatMap: (stream, options) => stream.flatMap((k, v) => refuseTwo(v, [[k, v] as const]), options),
  flatMapValues: (stream, options) => stream.flatMapValues((v) => refuseTwo(v, [v]), options),
  selectKey: (stream, options) => stream.selectKey((k, v) => refuseTwo(v, k), options),
  peek: (stream, options) => stream.peek((_k, v) => refuseTwo(v, undefined), options),
  process: (stream, options) =>
    stream.process<string | null, { n: number }>(() => {
      let forward: (record: never) => void;
      return {
        init: (context) => {
          forward = (record) => context.forward(record);
        },
        process: (record) => refuseTwo(record.value, forward(record as never)),
      };
    }, options),
};

for (const [name, operator] of Object.entries(OPERATORS)) {
  test(`${name}: a record that its function throws at goes to the dead letters, the others on`, async () => {
    const { out, dead } = await through((stream) => operator(stream, { name: 'op', deadLetterTopic: 'dead' }));
    // A processor of one's own has forwarded before it threw here.
    expect(out).toEqual(name === 'process' ? [1, 2, 3] : [1, 3]);
    expect(dead.map(({ key, value }) => [key, value])).toEqual([['k', '{ "n": 2 }']]);
    expect(dead[0]!.headers.map(({ key, value }) => [key.split('.').at(-1), String(value)])).toEqual(
      expect.arrayContaining([
        ['message', 'no twos'],
        ['topic', 'in'],
        ['partition', '0'],
        ['offset', '1'],
        ['attempts', '1'],
      ]),
    );
    expect(driver.metrics().droppedByReason).toEqual({ failed: 1 });
  });
}

test('onError continue without a topic of its own uses the application’s', async () => {
  const { out, dead } = await through(
    (stream) => stream.mapValues((v) => refuseTwo(v, v), { onError: 'continue' }),
    'dead',
  );
  expect([out, dead.length]).toEqual([[1, 3], 1]);
});

test('onError continue without any topic drops the record, counted', async () => {
  const { out } = await through((stream) => stream.mapValues((v) => refuseTwo(v, v), { onError: 'continue' }));
  expect(out).toEqual([1, 3]);
  expect(driver.metrics().droppedByReason).toEqual({ failed: 1 });
});

test('what fails in another operator behind it is not caught', async () => {
  await expect(
    through((stream) =>
      stream.mapValues((v) => v, { onError: 'continue' }).mapValues((v) => refuseTwo(v, v), { name: 'other' }),
    ),
  ).rejects.toMatchObject({ code: 'MILLRACE_RUNTIME_PROCESSING', node: 'other' });
});

test('an operator behind one that left a record is still the one that errors name', async () => {
  await expect(
    through((stream) => {
      const left = stream.mapValues((v) => refuseTwo(v, v), { onError: 'continue', name: 'left' });
      stream.peek(
        (_k, v) => {
          if (v.n === 3) throw new Error('no threes');
        },
        { name: 'strict' },
      );
      return left;
    }),
  ).rejects.toMatchObject({ node: 'strict', offset: 2 });
});

test('a promise is refused whatever onError says: it would be at every record', async () => {
  await expect(
    through((stream) => stream.mapValues((async (v: unknown) => v) as never, { onError: 'continue' })),
  ).rejects.toMatchObject({ code: 'MILLRACE_TOPOLOGY_ASYNC_USER_CODE' });
});

test('a sink leaves what its serde refuses', async () => {
  const { dead } = await through((stream) => {
    stream
      .mapValues((v) => (v.n === 2 ? (2 as unknown as string) : 'ok'))
      .to('texts', { key: s, value: s, deadLetterTopic: 'dead' });
  });
  expect(driver.produced.filter(({ topic }) => topic === 'texts').map(({ value }) => String(value))).toEqual([
    'ok',
    'ok',
  ]);
  expect(dead.map(({ value }) => value)).toEqual(['{ "n": 2 }']);
});

test('a sink leaves what its partitioner throws at', async () => {
  const { out, dead } = await through((stream) => {
    stream.to('out', { key: s, value: n, onError: 'continue', partitioner: (_t, _k, v) => refuseTwo(v, 0) });
  }, 'dead');
  expect([out, dead.length]).toEqual([[1, 3], 1]);
});

test('a source’s own option comes before the application’s handler', async () => {
  const builder = new StreamsBuilder();
  builder.stream('in', { key: s, value: n, deadLetterTopic: 'dead' }).to('out', { key: s, value: n });
  builder.stream('strict', { key: s, value: n });
  driver = await TopologyTestDriver.create(builder.build(), { deserializationExceptionHandler: 'fail' });
  await driver.inputTopic('in', s, s).pipeInput('k', '{', 1);
  expect(driver.outputTopic('dead', s, s).readKeyValues()).toEqual([['k', '{']]);
  await expect(driver.inputTopic('strict', s, s).pipeInput('k', '{', 1)).rejects.toMatchObject({
    code: 'MILLRACE_RUNTIME_DESERIALIZATION',
  });
});

test('a source that goes on leaves what its timestamp extractor throws at', async () => {
  const builder = new StreamsBuilder();
  const timestamp = (v: { n: number }): number => refuseTwo(v, v.n);
  builder.stream('in', { key: s, value: n, timestamp, deadLetterTopic: 'dead' }).to('out', { key: s, value: n });
  driver = await TopologyTestDriver.create(builder.build());
  const input = driver.inputTopic('in', s, s);
  for (const i of [1, 2, 3]) await input.pipeInput('k', `{"n":${i}}`, i);
  expect(driver.outputTopic('dead', s, s).readKeyValues()).toEqual([['k', '{"n":2}']]);
  expect(driver.outputTopic('out', s, n).readKeyValues()).toHaveLength(2);
});
