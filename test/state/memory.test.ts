/** The cache's budget against the heap: what is held grows by no more than the budget and a quarter, whatever the values. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { StreamsBuilder } from '../../src/index.ts';
import { json, nullable, type Serde, serde, string } from '../../src/serdes/index.ts';
import {
  CacheBudget,
  keyValueStore,
  type LiveStore,
  WindowFacade,
  type WriteContext,
  windowStore,
} from '../../src/state/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';
import { OpenState } from '../support/task-state.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;
const BUDGET = 4 * 1024 * 1024;
/** What the collector leaves, and the test's own objects. */
const SLACK = 512 * 1024;

/** Memory of buffers is given back beside the collection, some time after it. */
async function held(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    gc();
    await nextTurn();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Fields that nobody sees from outside. */
class Hidden {
  readonly #values: number[];

  constructor(values: number[]) {
    this.#values = values;
  }

  push(value: number): this {
    this.#values.push(value);
    return this;
  }

  get values(): readonly number[] {
    return this.#values;
  }
}

const hidden = serde<Hidden>('hidden', {
  serialize: ({ values }) => Buffer.from(Float64Array.from(values).buffer),
  deserialize: (bytes) => new Hidden(Array.from({ length: bytes.length / 8 }, (_, i) => bytes.readDoubleLE(i * 8))),
});

// biome-ignore lint/suspicious/noExplicitAny: stores of any types
type Store = LiveStore<any, any, WriteContext>;
interface Load {
  readonly value: Serde<never>;
  readonly keys: number;
  /** The next value, of what is there; in place where it is an object. */
  next(before: never, i: number): unknown;
  readonly foreign?: boolean;
}

const loads: Record<string, Load> = {
  'small objects': {
    value: json() as never,
    keys: 100_000,
    next: (before: { n: number } | null, i) => ({ n: (before?.n ?? 0) + 1, max: i + 0.5 }),
  },
  'small objects of a nullable serde': {
    value: nullable(json()) as never,
    keys: 100_000,
    next: (_before, i) => ({ n: i, text: `text ${i} `.repeat(20) }),
  },
  'large objects': {
    value: json() as never,
    keys: 50,
    next: (_before, i) => Array.from({ length: 3_000 }, (_, j) => ({ id: i + j, price: j + 0.5 })),
  },
  'lists that grow': {
    value: json() as never,
    keys: 300,
    next: (before: { list: number[] } | null, i) => {
      if (before === null) return { list: [i] };
      before.list.push(i, i + 0.5);
      return before;
    },
  },
  'lists that begin to grow late': {
    value: json() as never,
    keys: 300,
    next: (before: { n: number; list: string[] } | null, i) => {
      if (before === null) return { n: 0, list: [] };
      if (++before.n > 60) before.list.push(`a text of some length ${i}`);
      return before;
    },
  },
  'counts by a name that is data': {
    value: json() as never,
    keys: 300,
    next: (before: Record<string, number> | null, i) => Object.assign(before ?? {}, { [`page ${i % 7919}`]: i }),
  },
  'texts that grow': {
    value: string() as never,
    keys: 300,
    next: (before: string | null, i) => `${before ?? ''}, ${i}`,
  },
  'texts of characters of two bytes': {
    value: string() as never,
    keys: 20_000,
    next: (_before, i) => `текст номер ${i}`,
  },
  'objects with private fields': {
    value: hidden as never,
    keys: 1_000,
    next: (before: Hidden | null, i) => (before ?? new Hidden([])).push(i + 0.5),
  },
  'rows of a table': {
    value: json() as never,
    keys: 100_000,
    foreign: true,
    next: (_before, i) => ({ id: i, name: `name ${i}`, price: i + 0.5 }),
  },
  'large rows of a table': {
    value: json() as never,
    keys: 50,
    foreign: true,
    next: (_before, i) => ({ id: i, text: 'x'.repeat(100_000) }),
  },
};

test.each(Object.keys(loads))('%s', async (name) => {
  const { value, keys, next, foreign = false } = loads[name]!;
  const directory = mkdtempSync(join(tmpdir(), 'millrace-memory-'));
  const budget = new CacheBudget(BUDGET);
  const opened = await OpenState.restored({
    directory,
    budget,
    stores: [keyValueStore('s', { key: string(), value, logging: false })],
  });
  const live: Store = opened.live('s');
  const growth: number[] = [];
  let base = await held();
  for (let i = 0; growth.length < 3; i++) {
    const key = `key ${(i * 7919) % keys}`;
    const entry = live.find(key, 0);
    const after = next((entry === undefined ? null : live.ownValueOf(entry)) as never, i);
    if (foreign) live.putForeign(key, 0, after, 7, entry);
    else live.put(key, 0, after, 7, entry);
    if (!budget.isOver) continue;
    growth.push((await held()) - base);
    opened.state.flush();
    await opened.state.commit(new Map(), 1);
    opened.state.dropLive();
    // The first round leaves compiled code, and the database's own buffers.
    base = await held();
  }
  const [, ...rounds] = growth;
  expect(Math.max(...rounds)).toBeLessThan(BUDGET * 1.25 + SLACK);
  await opened.state.close();
  rmSync(directory, { recursive: true });
});

test('a dirty entry does not keep the record that it was written by', async () => {
  const builder = new StreamsBuilder();
  builder.stream('in', { key: string(), value: json() }).groupByKey().count({ name: 'counts' });
  const driver = await TopologyTestDriver.create(builder.build(), { commitEachRecord: false });
  const input = driver.inputTopic('in', string(), json());
  await input.pipeInput(
    'warm',
    Array.from({ length: 2_000 }, (_, i) => i),
    1,
  );
  const before = await held();
  for (let key = 0; key < 500; key++) {
    await input.pipeInput(
      `${key}`,
      Array.from({ length: 2_000 }, (_, i) => ({ i })),
      1,
    );
  }
  expect((await held()) - before).toBeLessThan(2 * 1024 * 1024);
  await driver.close();
});

test('a million looks for windows that are not there leave nothing', async () => {
  const store = windowStore('s', {
    key: string(),
    value: json(),
    retentionMs: 6_000_000,
    windowSizeMs: 10,
    logging: false,
  });
  const opened = await OpenState.restored({ stores: [store] });
  const facade = new WindowFacade(opened.live('s'), () => 7);
  facade.put('a', 1, 5_000_000);
  const before = await held();
  for (let i = 0; i < 1_000_000; i++) facade.fetch('a', i + 1);
  expect((await held()) - before).toBeLessThan(SLACK);
  await opened.state.close();
});

test('windows that were stored and evicted leave nothing', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-memory-'));
  const store = windowStore('s', {
    key: string(),
    value: json(),
    retentionMs: 100_000_000,
    windowSizeMs: 10,
    logging: false,
  });
  const opened = await OpenState.restored({ directory, stores: [store] });
  const facade = new WindowFacade(opened.live('s'), () => 7);
  let before = 0;
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 50_000; i++) facade.put('a', i, (round * 50_000 + i) * 10);
    opened.state.flush();
    await opened.state.commit(new Map(), 1);
    opened.state.dropLive();
    if (round === 0) before = await held();
  }
  expect(opened.budget.usedBytes).toBe(0);
  expect((await held()) - before).toBeLessThan(SLACK);
  await opened.state.close();
  rmSync(directory, { recursive: true });
});
