/**
 * What every store must do, as suites for any test runner: they take a `test` function and a factory, and assert with
 * node:assert. Each behaviour is tried live, flushed and, where a factory can, committed and reopened.
 */
import assert from 'node:assert/strict';
import type { KeyValueStore, WindowStore } from '../state/index.ts';

/** A store under test. */
export interface StoreHarness<S> {
  readonly store: S;
  /** Serialises what is dirty, as a commit or a spent cache budget does. */
  flush(): void | Promise<void>;
  /** Commits, closes and opens again; undefined for stores that keep nothing. */
  readonly reopen?: () => Promise<StoreHarness<S>>;
  close(): Promise<void>;
}

type Test = (name: string, run: () => Promise<void>) => void;
type Phase = 'live' | 'flushed' | 'reopened';

async function inPhase<S>(harness: StoreHarness<S>, phase: Phase): Promise<StoreHarness<S>> {
  if (phase === 'flushed') await harness.flush();
  if (phase === 'reopened' && harness.reopen !== undefined) return harness.reopen();
  return harness;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const result: T[] = [];
  for await (const item of items) result.push(item);
  return result;
}

/** @param factory opens an empty store of strings */
export function keyValueStoreSuite({
  test,
  factory,
}: {
  readonly test: Test;
  readonly factory: () => Promise<StoreHarness<KeyValueStore<string, string>>>;
}): void {
  for (const phase of ['live', 'flushed', 'reopened'] as const) {
    const filled = async (): Promise<StoreHarness<KeyValueStore<string, string>>> => {
      const harness = await factory();
      const { store } = harness;
      store.put('b', 'old');
      store.put('b', '2');
      store.put('a', '1');
      store.put('gone', 'x');
      store.put('gone', null);
      store.put('ab', '3');
      return inPhase(harness, phase);
    };
    test(`key-value store, ${phase}: get gives the last put, null for what is absent or deleted`, async () => {
      const { store, close } = await filled();
      assert.deepEqual(
        ['a', 'b', 'ab', 'gone', 'never'].map((key) => store.get(key)),
        ['1', '2', '3', null, null],
      );
      await close();
    });
    test(`key-value store, ${phase}: all() and range() are in the order of the keys’ bytes, bounds included`, async () => {
      const { store, close } = await filled();
      assert.deepEqual(await collect(store.all()), [
        ['a', '1'],
        ['ab', '3'],
        ['b', '2'],
      ]);
      assert.deepEqual(await collect(store.range('a', 'ab')), [
        ['a', '1'],
        ['ab', '3'],
      ]);
      assert.deepEqual(await collect(store.range('c', 'd')), []);
      await close();
    });
    test(`key-value store, ${phase}: putIfAbsent keeps what is there, delete gives it back`, async () => {
      const { store, close } = await filled();
      assert.equal(store.putIfAbsent('a', 'new'), '1');
      assert.equal(store.putIfAbsent('gone', 'new'), null);
      assert.equal(store.delete('b'), '2');
      assert.equal(store.delete('b'), null);
      assert.deepEqual(await collect(store.all()), [
        ['a', '1'],
        ['ab', '3'],
        ['gone', 'new'],
      ]);
      await close();
    });
  }
}

/** @param factory opens an empty store of strings with windows of 10 ms and a retention of 200,000 ms */
export function windowStoreSuite({
  test,
  factory,
}: {
  readonly test: Test;
  readonly factory: () => Promise<StoreHarness<WindowStore<string, string>>>;
}): void {
  for (const phase of ['live', 'flushed', 'reopened'] as const) {
    const filled = async (): Promise<StoreHarness<WindowStore<string, string>>> => {
      const harness = await factory();
      const { store } = harness;
      store.put('a', 'first', 10);
      store.put('b', 'other', 10);
      store.put('a', 'second', 20);
      store.put('a', 'gone', 30);
      store.put('a', null, 30);
      return inPhase(harness, phase);
    };
    test(`window store, ${phase}: fetch is by key and window start`, async () => {
      const { store, close } = await filled();
      assert.deepEqual(
        [store.fetch('a', 10), store.fetch('b', 10), store.fetch('a', 20), store.fetch('a', 30), store.fetch('b', 20)],
        ['first', 'other', 'second', null, null],
      );
      await close();
    });
    test(`window store, ${phase}: fetchRange gives one key’s windows by start, all() every one`, async () => {
      const { store, close } = await filled();
      assert.deepEqual(await collect(store.fetchRange('a', 10, 20)), [
        [10, 'first'],
        [20, 'second'],
      ]);
      assert.deepEqual(await collect(store.fetchRange('a', 11, 19)), []);
      assert.deepEqual(
        (await collect(store.all())).map(([{ key, windowStartMs }, value]) => [windowStartMs, key, value]),
        [
          [10, 'a', 'first'],
          [10, 'b', 'other'],
          [20, 'a', 'second'],
        ],
      );
      await close();
    });
    test(`window store, ${phase}: reads hide what retention has ended for`, async () => {
      const { store, close } = await filled();
      store.put('a', 'late', 200_010);
      assert.deepEqual(
        [store.fetch('a', 10), store.fetch('a', 20), store.fetch('a', 200_010)],
        [null, 'second', 'late'],
      );
      assert.deepEqual(
        (await collect(store.all())).map(([, value]) => value),
        ['second', 'late'],
      );
      await close();
    });
  }
}
