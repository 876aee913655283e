/** Stores against a plain Map: random operations, in memory and on LevelDB, with commits, evictions and reopening. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { json, string } from '../../src/serdes/index.ts';
import {
  type AnyStoreDescription,
  CacheBudget,
  KeyValueFacade,
  keyValueStore,
  type StoreKind,
  TaskState,
  WindowFacade,
  type WriteContext,
  windowStore,
} from '../../src/state/index.ts';

interface Logged {
  readonly key: string;
  readonly value: string | null;
}

async function open(store: AnyStoreDescription, directory: string | undefined, logged: Logged[] = []) {
  const budget = new CacheBudget(2_000);
  const expired = { count: 0 };
  const state = await TaskState.open<WriteContext>({
    directory,
    stores: [store],
    budget,
    changelogTopic: () => 'changelog',
    changelog: {
      log: (_store, key, keyStart, keyEnd, value, valueStart, valueLength) =>
        logged.push({
          key: key.toString('latin1', keyStart, keyEnd),
          value: valueLength < 0 ? null : value.toString('latin1', valueStart, valueStart + valueLength),
        }),
    },
    context: () => ({ timestamp: 7 }),
    onExpired: () => expired.count++,
  });
  state.restored();
  return { state, budget, expired, live: state.stores.get(store.name)! };
}

const kinds: readonly StoreKind[] = ['persistent', 'in-memory'];
const folder = (): string => mkdtempSync(join(tmpdir(), 'millrace-state-'));
const keys = fc.constantFrom('a', 'b', 'ab', 'ä', 'z');
const operation = fc.oneof(
  fc.record({ op: fc.constant('put' as const), key: keys, value: fc.integer({ min: 0, max: 9 }) }),
  fc.record({ op: fc.constant('delete' as const), key: keys }),
  fc.record({ op: fc.constant('get' as const), key: keys }),
  fc.record({ op: fc.constantFrom('flush' as const, 'commit' as const, 'evict' as const, 'reopen' as const) }),
);

describe.each(kinds)('a key-value store (%s)', (kind) => {
  test('does what a Map does, and its changelog restores it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 40 }), async (operations) => {
        const directory = folder();
        const description = keyValueStore('store', { key: string(), value: json<{ n: number }>(), kind });
        const logged: Logged[] = [];
        let { state, budget, live } = await open(description, directory, logged);
        let store = new KeyValueFacade<string, { n: number }>(live, () => 7);
        const model = new Map<string, number>();
        let committed = new Map<string, number>();
        for (const step of operations) {
          if (step.op === 'put') {
            store.put(step.key, { n: step.value });
            model.set(step.key, step.value);
          } else if (step.op === 'delete') {
            expect(store.delete(step.key)?.n).toBe(model.get(step.key));
            model.delete(step.key);
          } else if (step.op === 'get') expect(store.get(step.key)?.n).toBe(model.get(step.key));
          else if (step.op === 'flush') state.flush();
          else if (step.op === 'evict') {
            state.flush();
            budget.usedBytes += 10_000;
            state.evict(false);
            budget.usedBytes -= 10_000;
          } else if (step.op === 'commit') {
            state.flush();
            await state.commit(new Map([['changelog', logged.length]]), 1);
            committed = new Map(model);
          } else if (kind === 'persistent') {
            // What was not committed is gone, as after a crash.
            await state.close();
            ({ state, budget, live } = await open(description, directory, logged));
            store = new KeyValueFacade(live, () => 7);
            model.clear();
            for (const [key, value] of committed) model.set(key, value);
          }
          const all: [string, number][] = [];
          for await (const [key, value] of store.all()) all.push([key, value.n]);
          expect(all).toEqual([...model].sort(([x], [y]) => Buffer.compare(Buffer.from(x), Buffer.from(y))));
        }
        state.flush();
        const replayed = new Map<string, string>();
        if (!operations.some(({ op }) => op === 'reopen')) {
          for (const { key, value } of logged) value === null ? replayed.delete(key) : replayed.set(key, value);
          expect([...replayed.keys()].sort()).toEqual(
            [...model.keys()].map((key) => Buffer.from(key).toString('latin1')).sort(),
          );
        }
        await state.close();
        rmSync(directory, { recursive: true });
      }),
      { numRuns: 60 },
    );
  });

  test('a value handed out is a copy: changing it changes nothing in the store', async () => {
    const { state, live } = await open(
      keyValueStore('store', { key: string(), value: json<{ n: number }>(), kind }),
      undefined,
    );
    const store = new KeyValueFacade<string, { n: number }>(live, () => 7);
    const value = { n: 1 };
    store.put('a', value);
    value.n = 2;
    store.get('a')!.n = 3;
    expect(store.get('a')).toEqual({ n: 1 });
    await state.close();
  });
});

describe.each(kinds)('a window store (%s)', (kind) => {
  const description = windowStore('store', {
    key: string(),
    value: json<number>(),
    kind,
    retentionMs: 200_000,
    windowSizeMs: 10,
  });

  test('hides windows whose retention has ended, drops puts for expired ones, keeps what was committed', async () => {
    const directory = folder();
    const first = await open(description, directory);
    const store = new WindowFacade<string, number>(first.live, () => 7);
    store.put('a', 1, 10);
    store.put('a', 2, 150_000);
    store.put('b', 3, 150_000);
    expect(store.fetch('a', 10)).toBe(1);
    store.put('a', 4, 200_010);
    expect(store.fetch('a', 10)).toBeNull();
    store.put('a', 5, 400_010);
    store.put('a', 6, 20);
    expect(first.expired.count).toBe(1);
    first.state.flush();
    await first.state.commit(new Map(), 1);
    const all: unknown[] = [];
    for await (const [{ key, windowStartMs }, value] of store.all()) all.push([key, windowStartMs, value]);
    expect(all).toEqual([['a', 400_010, 5]]);
    const range: unknown[] = [];
    for await (const entry of store.fetchRange('a', 0, 500_000)) range.push(entry);
    expect(range).toEqual([[400_010, 5]]);
    await first.state.close();
    if (kind === 'persistent') {
      const second = await open(description, directory);
      expect(new WindowFacade<string, number>(second.live, () => 7).fetch('a', 400_010)).toBe(5);
      await second.state.close();
    }
    rmSync(directory, { recursive: true });
  });
});

test('a closed store says so', async () => {
  const { state, live } = await open(keyValueStore('store', { key: string(), value: string() }), undefined);
  const store = new KeyValueFacade<string, string>(live, () => 7);
  store.detach();
  await state.close();
  expect(() => store.get('a')).toThrow(expect.objectContaining({ code: 'MILLRACE_STATE_STORE_CLOSED' }));
});

test('a database that another has open, and a corrupt one, are told apart: the corrupt one is made anew', async () => {
  const directory = folder();
  const description = keyValueStore('store', { key: string(), value: string() });
  const first = await open(description, directory);
  await expect(open(description, directory)).rejects.toMatchObject({ code: 'MILLRACE_STATE_DIRECTORY_LOCKED' });
  new KeyValueFacade<string, string>(first.live, () => 7).put('a', 'x');
  first.state.flush();
  await first.state.commit(new Map([['changelog', 1]]), 1);
  await first.state.close();
  for (const file of readdirSync(directory))
    if (/MANIFEST|\.ldb|\.log/.test(file)) writeFileSync(join(directory, file), 'garbage');
  const second = await open(description, directory);
  expect(second.state.rebuilt).toBe(true);
  expect(second.state.position('store')).toBeUndefined();
  await second.state.close();
  rmSync(directory, { recursive: true });
});
