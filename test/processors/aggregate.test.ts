/** What an aggregation does to its store where nobody downstream keeps or changes what it gets, and where somebody may. */
import { afterEach, expect, test } from 'vitest';
import { AggregateProcessor, type Aggregation, WindowAggregateProcessor } from '../../src/processors/index.ts';
import { json, type Serde, string } from '../../src/serdes/index.ts';
import { keyValueStore, windowStore } from '../../src/state/index.ts';
import {
  type Change,
  type InternalProcessorContext,
  type ProcessingContext,
  StreamRecord,
} from '../../src/topology/index.ts';
import { OpenState } from '../support/task-state.ts';

interface Sum {
  n: number;
}

const folding: Aggregation<string, number, Sum> = {
  initial: () => ({ n: 0 }),
  add: (_key, value, sum) => {
    sum.n += value;
    return sum;
  },
};

let opened: OpenState;
afterEach(() => opened.state.close());

/** A serde that counts, a store of it, and a context in which `exposesValues` is as given. */
async function setUp(type: 'key-value' | 'window', { caching, exposes }: { caching: boolean; exposes: boolean }) {
  const calls = { written: 0, read: 0 };
  const inner = json<Sum>();
  const value: Serde<Sum> = {
    ...inner,
    write: (sum, out, topic, side) => {
      calls.written++;
      inner.write(sum, out, topic, side);
    },
    read: (...args) => {
      calls.read++;
      return inner.read(...args);
    },
  };
  const described =
    type === 'window'
      ? windowStore('s', { key: string(), value, retentionMs: 1_000, windowSizeMs: 10 })
      : keyValueStore('s', { key: string(), value });
  opened = await OpenState.restored({ stores: [{ ...described, cachingEnabled: caching, timestamped: true }] });
  const forwarded: Sum[] = [];
  const context = {
    exposesValues: exposes,
    liveStore: () => opened.live('s'),
    forward: (record: StreamRecord<unknown, Change<Sum>>) => forwarded.push(record.value.newValue!),
    withContext: (_context: ProcessingContext, run: () => void) => run(),
    operatorTime: () => ({ observedMs: -1 }),
    drop: () => {},
  } as unknown as InternalProcessorContext<never, never>;
  const processor =
    type === 'window'
      ? new WindowAggregateProcessor<string, number, Sum>('s', { sizeMs: 10, advanceMs: 10, graceMs: 0 }, folding)
      : new AggregateProcessor<string, number, Sum>('s', folding);
  processor.init(context as never);
  const add = (...values: number[]): void => {
    for (const n of values) processor.process(new StreamRecord<string | null, number>('k', n, 5));
  };
  return { calls, forwarded, add };
}

const types = ['key-value', 'window'] as const;

test.each(types)(
  '%s, with a cache: only the first result goes through the serde, and each flush writes once',
  async (type) => {
    for (const exposes of [true, false]) {
      const { calls, forwarded, add } = await setUp(type, { caching: true, exposes });
      add(1, 2, 3, 4);
      expect(calls).toEqual({ written: 1, read: 1 });
      opened.state.flush();
      expect([forwarded, calls]).toEqual([[{ n: 10 }], { written: 2, read: 1 }]);
      add(5);
      // What was given away is read back.
      expect(calls).toEqual({ written: 2, read: exposes ? 2 : 1 });
      opened.state.flush();
      expect(forwarded.map(({ n }) => n)).toEqual(exposes ? [10, 15] : [15, 15]);
      expect(forwarded[0] === forwarded[1]).toBe(!exposes);
    }
  },
);

test.each(types)('%s, without a cache: the live object is shown to who only reads it', async (type) => {
  const { calls, forwarded, add } = await setUp(type, { caching: false, exposes: false });
  add(1, 2, 3);
  expect(new Set(forwarded).size).toBe(1);
  expect(calls).toEqual({ written: 1, read: 1 });
});

test.each(types)('%s, without a cache: each update is given away, and read back from its bytes', async (type) => {
  const { calls, forwarded, add } = await setUp(type, { caching: false, exposes: true });
  add(1, 2, 3);
  expect(forwarded).toEqual([{ n: 1 }, { n: 3 }, { n: 6 }]);
  expect(calls).toEqual({ written: 3, read: 2 });
  opened.state.flush();
  // A flush hands the bytes on as they are.
  expect(calls.written).toBe(3);
});
