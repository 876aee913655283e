/** Where user code can fail, and what a source makes of times and nulls that cannot be. */
import { afterEach, describe, expect, test } from 'vitest';
import {
  json,
  long,
  type Processor,
  type ProcessorContext,
  StreamRecord,
  StreamsBuilder,
  string,
  type TimestampExtractor,
} from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

let driver: TopologyTestDriver | undefined;
afterEach(async () => {
  await driver?.close().catch(() => undefined);
  driver = undefined;
});

const s = string();
const boom = (): never => {
  throw new Error('boom');
};

describe('timestamps', () => {
  const withExtractor = (timestamp: TimestampExtractor<string>): StreamsBuilder => {
    const builder = new StreamsBuilder();
    builder.stream('in', { key: s, value: s, timestamp, name: 'source' }).to('out', { key: s, value: s });
    return builder;
  };

  test.each([Number.POSITIVE_INFINITY, Number.NaN, -1, 1.5, 2 ** 53, '5' as unknown as number])(
    'an extractor’s %s drops the record, counted; the next one goes on',
    async (bad) => {
      driver = await TopologyTestDriver.create(withExtractor((value) => (value === 'bad' ? bad : 7)).build());
      const input = driver.inputTopic('in', s, s);
      await input.pipeInput('k', 'bad', 1);
      await input.pipeInput('k', 'good', 1);
      expect(driver.outputTopic('out', s, s).readRecords()).toMatchObject([{ value: 'good', timestamp: 7 }]);
      expect(driver.metrics().droppedByReason).toEqual({ 'invalid-timestamp': 1 });
    },
  );

  test('an extractor that throws fails the task by its name and the record’s place', async () => {
    driver = await TopologyTestDriver.create(withExtractor(boom).build());
    await expect(driver.inputTopic('in', s, s).pipeInput('k', 'v', 1)).rejects.toMatchObject({
      code: 'MILLRACE_RUNTIME_PROCESSING',
      node: 'source',
      topic: 'in',
      partition: 0,
      offset: 0,
    });
  });
});

test('the JSON text null is a null value: dropped and counted where the source may not be null', async () => {
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: s, value: json<{ n: number }>() })
    .mapValues(({ n }) => n)
    .to('out', { key: s, value: long() });
  driver = await TopologyTestDriver.create(builder.build());
  const input = driver.inputTopic('in', s, s);
  await input.pipeInput('k', 'null', 1);
  await input.pipeInput('k', '{"n":3}', 2);
  expect(driver.outputTopic('out', s, long()).readKeyValues()).toEqual([['k', 3]]);
  expect(driver.metrics().droppedByReason).toEqual({ 'null-value': 1 });
});

/** A topology of one processor, named. */
function processing(supplier: () => Processor<string | null, string, string, string>): StreamsBuilder {
  const builder = new StreamsBuilder();
  builder.stream('in', { key: s, value: s }).process(supplier, { name: 'mine' }).to('out', { key: s, value: s });
  return builder;
}

const failed = { code: 'MILLRACE_RUNTIME_PROCESSING', node: 'mine', taskId: '0_0' };

test('what throws while processors are made, started, scheduled or closed is told by the operator’s name', async () => {
  await expect(TopologyTestDriver.create(processing(boom).build())).rejects.toMatchObject(failed);
  await expect(
    TopologyTestDriver.create(processing(() => ({ init: boom, process() {} })).build()),
  ).rejects.toMatchObject(failed);

  const punctuating = (callback: (time: number) => void | Promise<void>): StreamsBuilder =>
    processing(() => ({
      init: (context) => void context.schedule(10, 'wall-clock-time', callback),
      process() {},
    }));
  for (const callback of [boom, async () => boom()]) {
    driver = await TopologyTestDriver.create(punctuating(callback).build());
    await expect(driver.advanceWallClockTime(10)).rejects.toMatchObject(failed);
    await driver.close();
  }

  driver = await TopologyTestDriver.create(processing(() => ({ process() {}, close: boom })).build());
  await expect(driver.close()).rejects.toMatchObject(failed);
  driver = undefined;
});

test('what throws behind a forward is the processor that forwarded, not its child', async () => {
  const builder = processing(() => {
    let context: ProcessorContext<string, string>;
    return {
      init(c) {
        context = c;
      },
      process(record) {
        context.forward(record.withKey('k'));
        boom();
      },
    };
  });
  driver = await TopologyTestDriver.create(builder.build());
  await expect(driver.inputTopic('in', s, s).pipeInput('k', 'v', 1)).rejects.toMatchObject({ ...failed, offset: 0 });
});

test('a sink whose serde refuses the value names sink and record, and shows no content', async () => {
  const builder = new StreamsBuilder();
  builder.stream('in', { key: s, value: s }).to('out', { key: s, value: long() as never, name: 'sink' });
  driver = await TopologyTestDriver.create(builder.build());
  const error = await driver
    .inputTopic('in', s, s)
    .pipeInput('secret-key', 'secret-value', 1)
    .catch((e: unknown) => e);
  expect(error).toMatchObject({ code: 'MILLRACE_RUNTIME_SERIALIZATION', node: 'sink', topic: 'in', offset: 0 });
  expect(String(error) + JSON.stringify(error)).not.toContain('secret');
});

test('a deserialisation handler that throws is told with the record’s place', async () => {
  const builder = new StreamsBuilder();
  builder.stream('in', { key: s, value: json<object>() }).to('out', { key: s, value: json() });
  driver = await TopologyTestDriver.create(builder.build(), { deserializationExceptionHandler: boom });
  await expect(driver.inputTopic('in', s, s).pipeInput('k', '{', 1)).rejects.toMatchObject({
    code: 'MILLRACE_RUNTIME_PROCESSING',
    topic: 'in',
    offset: 0,
  });
});

test.each([Number.NaN, -5, 1.5])('a record that is forwarded with the timestamp %s fails its task', async (bad) => {
  const builder = processing(() => {
    let context: ProcessorContext<string, string>;
    return {
      init(c) {
        context = c;
      },
      process: ({ value }) => context.forward(new StreamRecord('k', value, bad)),
    };
  });
  driver = await TopologyTestDriver.create(builder.build());
  await expect(driver.inputTopic('in', s, s).pipeInput('k', 'v', 1)).rejects.toMatchObject({
    code: 'MILLRACE_TOPOLOGY_INVALID_TIMESTAMP',
  });
});
