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
  /** Commits, with what is flushed before; undefined for stores that have no such step. */
  readonly commit?: () => Promise<void>;
  /** Commits, closes and opens again; undefined for stores that keep nothing. */
  readonly reopen?: () => Promise<StoreHarness<S>>;
  /** Every later call on the store throws MILLRACE_STATE_STORE_CLOSED, and so do steps of iterations begun before. */
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

/** Takes a step of an iteration, then changes the store in all its layers, and hands out the rest. */
async function iteratedWhile<S, T>(
  { flush, commit }: StoreHarness<S>,
  items: AsyncIterable<T>,
  change: () => void,
): Promise<T[]> {
  const iterator = items[Symbol.asyncIterator]();
  const pending = iterator.next();
  change();
  const result: T[] = [];
  let step = await pending;
  while (step.done !== true) {
    result.push(step.value);
    await flush();
    await commit?.();
    step = await iterator.next();
  }
  return result;
}

/** Each call fails at once because the store is closed. */
async function assertClosed(
  calls: readonly (() => unknown)[],
  steps: readonly (() => Promise<unknown>)[],
): Promise<void> {
  const closed = { code: 'MILLRACE_STATE_STORE_CLOSED' };
  for (const call of calls) assert.throws(call, closed);
  for (const step of steps) await assert.rejects(step, closed);
}

/** Of a type that the store is not made for. */
const WRONG = { not: 'a string' } as unknown as string;
const REFUSED = { code: 'MILLRACE_SERDES_SERIALIZATION' };

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
    test(`key-value store, ${phase}: an iteration is what there was at its first step`, async () => {
      const harness = await filled();
      const { store } = harness;
      const change = (): void => {
        store.put('0', 'new');
        store.put('aa', 'new');
        store.put('b', 'new');
        store.delete('ab');
      };
      assert.deepEqual(await iteratedWhile(harness, store.all(), change), [
        ['a', '1'],
        ['ab', '3'],
        ['b', '2'],
      ]);
      assert.deepEqual(await iteratedWhile(harness, store.range('a', 'b'), () => store.delete('aa')), [
        ['a', '1'],
        ['aa', 'new'],
        ['b', 'new'],
      ]);
      assert.deepEqual(await collect(store.all()), [
        ['0', 'new'],
        ['a', '1'],
        ['b', 'new'],
      ]);
      await harness.close();
    });
    test(`key-value store, ${phase}: a put of the wrong type fails at once and changes nothing`, async () => {
      const { store, flush, close } = await filled();
      assert.throws(() => store.put('a', WRONG), REFUSED);
      assert.throws(() => store.put('new', WRONG), REFUSED);
      assert.throws(() => store.put(WRONG, '1'), REFUSED);
      assert.throws(() => store.put(null as unknown as string, '1'), REFUSED);
      await flush();
      assert.deepEqual([store.get('a'), store.get('new')], ['1', null]);
      await close();
    });
    test(`key-value store, ${phase}: after its end every call says so`, async () => {
      const { store, close } = await filled();
      const begun = store.all()[Symbol.asyncIterator]();
      await begun.next();
      await close();
      const notBegun = store.range('a', 'b')[Symbol.asyncIterator]();
      await assertClosed(
        [() => store.get('a'), () => store.put('a', '1'), () => store.putIfAbsent('a', '1'), () => store.delete('a')],
        [() => begun.next(), () => notBegun.next()],
      );
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
    test(`window store, ${phase}: windows of keys that are prefixes of each other are apart`, async () => {
      const { store, close } = await filled();
      const keys = ['a', 'aa', 'a\0', `a${'\0'.repeat(8)}`, `a${'\0'.repeat(12)}`];
      for (const key of keys)
        for (const startMs of [50, 60, 70_000, 130_000]) store.put(key, `${key}@${startMs}`, startMs);
      for (const key of keys) {
        assert.deepEqual(await collect(store.fetchRange(key, 60, 129_999)), [
          [60, `${key}@60`],
          [70_000, `${key}@70000`],
        ]);
        assert.equal(store.fetch(key, 130_000), `${key}@130000`);
      }
      // By start, then key: what stands behind a key in the store has no say in it.
      const sorted = [...keys].sort();
      assert.deepEqual(
        (await collect(store.all())).map(([{ key, windowStartMs }]) => [windowStartMs, key]).slice(3),
        [50, 60, 70_000, 130_000].flatMap((startMs) => sorted.map((key) => [startMs, key])),
      );
      await close();
    });
    test(`window store, ${phase}: an iteration is what there was at its first step`, async () => {
      const harness = await filled();
      const { store } = harness;
      const change = (): void => {
        store.put('0', 'new', 5);
        store.put('a', 'new', 20);
        store.put('b', null, 10);
        // Hides what is at 10.
        store.put('a', 'later', 200_010);
      };
      const seen = await iteratedWhile(harness, store.all(), change);
      assert.deepEqual(
        seen.map(([{ key, windowStartMs }, value]) => [windowStartMs, key, value]),
        [
          [10, 'a', 'first'],
          [10, 'b', 'other'],
          [20, 'a', 'second'],
        ],
      );
      const hide = (): void => store.put('a', 'last', 260_010);
      assert.deepEqual(await iteratedWhile(harness, store.fetchRange('a', 0, 300_000), hide), [
        [20, 'new'],
        [200_010, 'later'],
      ]);
      assert.deepEqual(await collect(store.fetchRange('a', 0, 300_000)), [
        [200_010, 'later'],
        [260_010, 'last'],
      ]);
      await harness.close();
    });
    test(`window store, ${phase}: what cannot be a window or is of the wrong type is refused and changes nothing`, async () => {
      const { store, flush, close } = await filled();
      assert.throws(() => store.put('a', WRONG, 10), REFUSED);
      assert.throws(() => store.put(WRONG, '1', 10), REFUSED);
      for (const startMs of [-1, 0.5, Number.NaN]) {
        assert.throws(() => store.put('a', '1', startMs), { code: 'MILLRACE_STATE_INVALID_WINDOW_START' });
        assert.equal(store.fetch('a', startMs), null);
      }
      await flush();
      assert.equal(store.fetch('a', 10), 'first');
      assert.deepEqual(await collect(store.fetchRange('a', Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)), [
        [10, 'first'],
        [20, 'second'],
      ]);
      assert.deepEqual(await collect(store.fetchRange('a', 20, 10)), []);
      await close();
    });
    test(`window store, ${phase}: after its end every call says so`, async () => {
      const { store, close } = await filled();
      const begun = store.all()[Symbol.asyncIterator]();
      await begun.next();
      await close();
      const notBegun = store.fetchRange('a', 0, 10)[Symbol.asyncIterator]();
      await assertClosed(
        [() => store.fetch('a', 10), () => store.put('a', '1', 10)],
        [() => begun.next(), () => notBegun.next()],
      );
    });
  }
}
