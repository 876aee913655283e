import { afterEach, expect, test } from 'vitest';
import {
  json,
  type KeyValueStore,
  keyValueStore,
  long,
  type Processor,
  type ProcessorContext,
  StreamRecord,
  StreamsBuilder,
  string,
  type WindowStore,
  windowStore,
} from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

let driver: TopologyTestDriver;
afterEach(() => driver?.close());

const s = string();

test('a processor keeps state, is told times, and calls back in stream and wall-clock time', async () => {
  const events: string[] = [];
  class Counter implements Processor<string | null, string, string, number> {
    #context!: ProcessorContext<string, number>;
    #store!: KeyValueStore<string, { n: number }>;
    init(context: ProcessorContext<string, number>): void {
      this.#context = context;
      this.#store = context.getStateStore('counts');
      context.schedule(10, 'stream-time', (t) => void events.push(`stream ${t}`));
      context.schedule(1000, 'wall-clock-time', async (t) => {
        events.push(`wall ${t}`);
        for await (const [key, { n }] of this.#store.all()) context.forward(new StreamRecord(key, n, t));
      });
    }
    process(record: StreamRecord<string | null, string>): void {
      const key = record.key ?? 'none';
      const n = (this.#store.get(key)?.n ?? 0) + 1;
      this.#store.put(key, { n });
      const { topic, offset } = this.#context.recordMetadata()!;
      events.push(`${topic}@${offset} time ${this.#context.currentStreamTimeMs()}`);
    }
    close(): void {
      events.push('closed');
    }
  }
  const builder = new StreamsBuilder();
  const counts = keyValueStore('counts', { key: s, value: json<{ n: number }>() });
  builder
    .stream('in', { key: s, value: s })
    .process(() => new Counter(), { stores: [counts] })
    .to('out', { key: s, value: long() });
  driver = await TopologyTestDriver.create(builder.build(), { initialWallClockMs: 0 });
  const input = driver.inputTopic('in', s, s);
  await input.pipeInput('b', 'x', 5);
  await input.pipeInput('a', 'x', 12);
  await input.pipeInput('b', 'x', 45);
  await driver.advanceWallClockTime(3500);
  expect(events).toEqual([
    'in@0 time 5',
    'stream 5',
    'in@1 time 12',
    'stream 12',
    'in@2 time 45',
    'stream 45',
    'wall 3500',
  ]);
  expect(
    driver
      .outputTopic('out', s, long())
      .readRecords()
      .map(({ key, value, timestamp }) => [key, value, timestamp]),
  ).toEqual([
    ['a', 1, 3500],
    ['b', 2, 3500],
  ]);
  await driver.close();
  expect(events.at(-1)).toBe('closed');
});

test('processValues may not change the key; a store that was not connected is refused by name', async () => {
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: s, value: s })
    .processValues<string>(() => {
      let context: ProcessorContext<string | null, string>;
      return {
        init(c) {
          context = c;
        },
        process: (record) => context.forward(record.withKey(`${record.value}`)),
      };
    })
    .to('out', { key: s, value: s });
  driver = await TopologyTestDriver.create(builder.build());
  await driver.inputTopic('in', s, s).pipeInput('same', 'same', 1);
  await expect(driver.inputTopic('in', s, s).pipeInput('a', 'b', 1)).rejects.toMatchObject({
    code: 'MILLRACE_TOPOLOGY_KEY_CHANGED',
  });

  const other = new StreamsBuilder();
  other
    .stream('in', { key: s, value: s })
    .process(() => ({ init: (context) => void context.getStateStore('missing'), process: () => {} }));
  await expect(TopologyTestDriver.create(other.build())).rejects.toMatchObject({
    code: 'MILLRACE_TOPOLOGY_STORE_NOT_CONNECTED',
    store: 'missing',
  });
});

test('headers travel with the record; topics and partitions can be computed', async () => {
  const builder = new StreamsBuilder();
  builder
    .stream(/^in-\d$/, { key: s, value: s })
    .mapValues((value) => value.toUpperCase())
    .to((_key, value) => `out-${value.toLowerCase()}`, { key: s, value: s });
  driver = await TopologyTestDriver.create(builder.build());
  await driver.inputTopic('in-1', s, s).pipeInput('k', 'a', 1, [{ key: 'h', value: Buffer.from('1') }]);
  await driver.inputTopic('in-2', s, s).pipeInput('k', 'b', 1);
  expect(driver.outputTopic('out-a', s, s).readRecords()).toEqual([
    { key: 'k', value: 'A', timestamp: 1, headers: [{ key: 'h', value: Buffer.from('1') }] },
  ]);
  expect(driver.outputTopic('out-b', s, s).readKeyValues()).toEqual([['k', 'B']]);
});

test('a window store of a processor’s own drops what has expired, counted', async () => {
  const builder = new StreamsBuilder();
  const seen = windowStore('seen', { key: s, value: s, kind: 'in-memory', retentionMs: 100, windowSizeMs: 10 });
  builder.stream('in', { key: s, value: s }).process(
    () => {
      let store: WindowStore<string, string>;
      return {
        init(context) {
          store = context.getStateStore('seen');
        },
        process: ({ key, value, timestamp }) => store.put(key!, value, timestamp),
      };
    },
    { stores: [seen] },
  );
  driver = await TopologyTestDriver.create(builder.build());
  const input = driver.inputTopic('in', s, s);
  await input.pipeInput('a', 'x', 10);
  await input.pipeInput('a', 'y', 200);
  await input.pipeInput('a', 'z', 50);
  expect(driver.windowStore<string, string>('seen').fetch('a', 200)).toBe('y');
  expect(driver.windowStore<string, string>('seen').fetch('a', 10)).toBeNull();
  expect(driver.metrics().droppedByReason).toEqual({ expired: 1 });
  // Java logs it all the same; nothing would ever read it back.
  expect(driver.produced.filter(({ topic }) => topic.endsWith('-changelog'))).toHaveLength(2);
});

test('a put of the wrong type fails at the put, of a record as of a punctuator, with store and node', async () => {
  const build = (when: 'process' | 'punctuate') => {
    const builder = new StreamsBuilder();
    const numbers = keyValueStore('numbers', { key: s, value: long() });
    builder.stream('in', { key: s, value: s }).process(
      () => {
        let store: KeyValueStore<string, number>;
        const put = (): void => store.put('secret-key', 'secret' as unknown as number);
        return {
          init(context) {
            store = context.getStateStore('numbers');
            if (when === 'punctuate') context.schedule(10, 'wall-clock-time', put);
          },
          process: () => {
            if (when === 'process') put();
          },
        };
      },
      { stores: [numbers], name: 'my-processor' },
    );
    return builder.build();
  };
  for (const when of ['process', 'punctuate'] as const) {
    driver = await TopologyTestDriver.create(build(when), { initialWallClockMs: 0 });
    const step =
      when === 'process' ? driver.inputTopic('in', s, s).pipeInput('k', 'v', 1) : driver.advanceWallClockTime(10);
    const error = await step.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: when === 'process' ? 'MILLRACE_RUNTIME_SERIALIZATION' : 'MILLRACE_SERDES_SERIALIZATION',
      store: 'numbers',
      node: 'my-processor',
      ...(when === 'process' ? { topic: 'in', offset: 0 } : {}),
    });
    expect(`${error} ${JSON.stringify(error)}`).not.toContain('secret');
    await driver.close();
  }
});

test('a store that a processor kept says after the end that it is closed', async () => {
  let store: KeyValueStore<string, string> | undefined;
  const builder = new StreamsBuilder();
  builder.stream('in', { key: s, value: s }).process(
    () => ({
      init(context) {
        store = context.getStateStore('kept');
      },
      process: ({ key, value }) => store!.put(key!, value),
    }),
    { stores: [keyValueStore('kept', { key: s, value: s })] },
  );
  driver = await TopologyTestDriver.create(builder.build());
  await driver.inputTopic('in', s, s).pipeInput('a', 'x', 1);
  await driver.close();
  expect(() => store!.put('a', 'y')).toThrow(expect.objectContaining({ code: 'MILLRACE_STATE_STORE_CLOSED' }));
});

test('an error of user code says where it happened and holds no record content', async () => {
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: s, value: s })
    .mapValues(
      () => {
        throw new Error('boom');
      },
      { name: 'my-mapper' },
    )
    .forEach(() => {});
  driver = await TopologyTestDriver.create(builder.build());
  const error = await driver
    .inputTopic('in', s, s)
    .pipeInput('secret-key', 'secret-value', 1)
    .catch((e: unknown) => e);
  expect(error).toMatchObject({
    code: 'MILLRACE_RUNTIME_PROCESSING',
    topic: 'in',
    partition: 0,
    offset: 0,
    node: 'my-mapper',
    taskId: '0_0',
  });
  expect(String(error)).toContain('boom');
  expect(JSON.stringify(error)).not.toContain('secret');
});

test('what cannot be read fails by default, or is dropped, counted and sent to the dead letter topic', async () => {
  const build = () => {
    const builder = new StreamsBuilder();
    builder.stream('in', { key: s, value: json<{ a: number }>() }).to('out', { key: s, value: json() });
    return builder.build();
  };
  driver = await TopologyTestDriver.create(build());
  await expect(driver.inputTopic('in', s, s).pipeInput('k', '{', 1)).rejects.toMatchObject({
    code: 'MILLRACE_RUNTIME_DESERIALIZATION',
    topic: 'in',
    offset: 0,
  });
  await driver.close();
  driver = await TopologyTestDriver.create(build(), {
    deserializationExceptionHandler: 'continue',
    deadLetterTopic: 'dead',
  });
  const input = driver.inputTopic('in', s, s);
  await input.pipeInput('k', '{', 1);
  await input.pipeInput('k', '{"a":1}', 2);
  expect(driver.outputTopic('out', s, json()).readKeyValues()).toEqual([['k', { a: 1 }]]);
  const [dead] = driver.outputTopic('dead', s, s).readRecords();
  expect([dead!.key, dead!.value, dead!.headers.map(({ key }) => key)]).toEqual([
    'k',
    '{',
    [
      ...['exception', 'stacktrace', 'message', 'topic', 'partition', 'offset'].map(
        (name) => `__streams.errors.${name}`,
      ),
      '__millrace.errors.attempts',
    ],
  ]);
  expect(driver.metrics().droppedByReason).toEqual({ deserialization: 1 });
});
