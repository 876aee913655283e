/** What a store does to its live objects: puts of the wrong type, flushes that come back or fail, misses, ranges. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bytes, integer, json, nullable, type Serde, serde, string } from '../../src/serdes/index.ts';
import { CacheBudget, KeyValueFacade, keyValueStore, WindowFacade, windowStore } from '../../src/state/index.ts';
import { MemoryStorage } from '../support/memory-storage.ts';
import { OpenState } from '../support/task-state.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-live-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const caching = <T extends object>(store: T): T => ({ ...store, cachingEnabled: true, timestamped: true });
const broken = serde<string>('broken', {
  serialize: () => {
    throw new TypeError('cannot write secret');
  },
  deserialize: () => {
    throw new TypeError('cannot read secret');
  },
});

describe('a put of what the serdes do not write', () => {
  const cases: [string, Serde<never>, Serde<never>, unknown, unknown, RegExp][] = [
    ['value', string() as Serde<never>, integer() as Serde<never>, 'a', 'secret', /Cannot write as integer/],
    ['number out of range', string() as Serde<never>, integer() as Serde<never>, 'a', 3e9, /Cannot write as integer/],
    ['key', integer() as Serde<never>, string() as Serde<never>, 'secret', 'a', /Cannot write as integer/],
    ['null key', json() as Serde<never>, string() as Serde<never>, null, 'a', /null cannot be a store's key/],
    ['value of a serde that throws', string() as Serde<never>, broken as Serde<never>, 'a', 'x', /threw TypeError/],
  ];
  test.each(cases)(
    '%s: fails at once, with the store and the node, and without the content',
    async (_what, key, value, k, v, message) => {
      const opened = await OpenState.restored({ stores: [keyValueStore('s', { key, value })], node: () => 'my-node' });
      const store = new KeyValueFacade(opened.live('s'), () => 7);
      const error = (() => {
        try {
          store.put(k as never, v as never);
        } catch (thrown) {
          return thrown as Error;
        }
        throw new Error('no error');
      })();
      expect(error).toMatchObject({ code: 'MILLRACE_SERDES_SERIALIZATION', store: 's', node: 'my-node' });
      expect(error.message).toMatch(message);
      expect(error.message).toMatch(/^Store s: /);
      expect(JSON.stringify({ ...error, message: error.message })).not.toMatch(/secret|3000000000|3_000/);
      // Nothing of it is left.
      expect([opened.live('s').isDirty, opened.budget.usedBytes]).toEqual([false, 0]);
      await opened.state.close();
    },
  );

  test('a value that cannot be read back says which store', async () => {
    const opened = await OpenState.restored({
      stores: [keyValueStore('s', { key: string(), value: string() })],
      directory,
    });
    new KeyValueFacade(opened.live('s'), () => 7).put('a', 'x');
    await opened.commit();
    await opened.state.close();
    const other = await OpenState.restored({
      stores: [keyValueStore('s', { key: string(), value: broken })],
      directory,
    });
    expect(() => new KeyValueFacade(other.live('s'), () => 7).get('a')).toThrow(
      expect.objectContaining({ code: 'MILLRACE_SERDES_DESERIALIZATION', store: 's' }),
    );
    await other.state.close();
  });
});

describe('a flush', () => {
  test('that comes back with a put to the same entry flushes it again', async () => {
    const changelogs = new Map();
    const opened = await OpenState.restored({
      changelogs,
      stores: [caching(keyValueStore('s', { key: string(), value: json() }))],
    });
    const live = opened.live('s');
    const seen: unknown[] = [];
    live.onFlush = (key, _start, value) => {
      seen.push([key, value]);
      if (seen.length === 1) live.putForeign(key, 0, { n: 2 }, 8);
    };
    live.put('a', 0, { n: 1 }, 7);
    opened.state.flush();
    expect(seen).toEqual([
      ['a', { n: 1 }],
      ['a', { n: 2 }],
    ]);
    expect(new KeyValueFacade(live, () => 7).get('a')).toEqual({ n: 2 });
    expect(changelogs.get('s')).toHaveLength(2);
    await opened.state.close();
  });

  test('iterated over from downstream is seen as a whole', async () => {
    const opened = await OpenState.restored({
      stores: [caching(keyValueStore('s', { key: string(), value: json() }))],
    });
    const live = opened.live('s');
    const store = new KeyValueFacade(live, () => 7);
    const firsts: Promise<unknown>[] = [];
    const iterations: AsyncGenerator<unknown>[] = [];
    live.onFlush = () => {
      const iteration = store.all();
      firsts.push(iteration.next());
      iterations.push(iteration);
    };
    for (const key of ['a', 'b', 'c']) live.put(key, 0, { n: 1 }, 7);
    opened.state.flush();
    for (const [i, iteration] of iterations.entries()) {
      const rest: unknown[] = [((await firsts[i]) as { value: unknown }).value];
      for await (const entry of iteration) rest.push(entry);
      expect(rest.map((entry) => (entry as [string])[0])).toEqual(['a', 'b', 'c']);
    }
    await opened.state.close();
  });

  test('that fails midway loses nothing: the next one flushes what is left', async () => {
    const changelogs = new Map();
    const opened = await OpenState.restored({
      changelogs,
      stores: [keyValueStore('s', { key: string(), value: json<unknown>() })],
    });
    const live = opened.live('s');
    const circular: { self?: unknown } = {};
    circular.self = circular;
    live.put('a', 0, { n: 1 }, 7);
    live.put('b', 0, circular, 7);
    live.put('c', 0, { n: 3 }, 7);
    for (let i = 0; i < 2; i++) {
      expect(() => opened.state.flush()).toThrow(
        expect.objectContaining({ code: 'MILLRACE_SERDES_SERIALIZATION', store: 's' }),
      );
    }
    live.put('b', 0, { n: 2 }, 7);
    opened.state.flush();
    expect(live.isDirty).toBe(false);
    expect(
      changelogs
        .get('s')
        .map(({ key }: { key: Buffer }) => key.toString())
        .sort(),
    ).toEqual(['a', 'b', 'c']);
    await opened.state.close();
  });

  test('hands on what is the store’s own where nobody changes it, else an object that is the store’s no more', async () => {
    const opened = await OpenState.restored({
      stores: [caching(keyValueStore('s', { key: string(), value: json() }))],
    });
    const live = opened.live('s');
    const flushed: unknown[] = [];
    live.onFlush = (_key, _start, value) => flushed.push(value);
    const value = { n: 1 };
    live.givesAway = false;
    live.put('a', 0, value, 7);
    opened.state.flush();
    expect([flushed.pop() === value, live.find('a', 0)!.value === value]).toEqual([true, true]);
    live.givesAway = true;
    live.put('a', 0, value, 7);
    opened.state.flush();
    const given = flushed.pop() as { n: number };
    given.n = 99;
    expect(live.ownValueOf(live.find('a', 0)!)).toEqual({ n: 1 });
    await opened.state.close();
  });
});

test('user code that changes a key it has put, or keeps a part of a long text as one, changes no entry', async () => {
  const opened = await OpenState.restored({
    stores: [keyValueStore('s', { key: json<{ id: string }>(), value: string() })],
  });
  const store = new KeyValueFacade<{ id: string }, string>(opened.live('s') as never, () => 7);
  const key = { id: 'a' };
  store.put(key, 'x');
  key.id = 'b';
  opened.state.flush();
  expect([store.get({ id: 'a' }), store.get({ id: 'b' })]).toEqual(['x', null]);
  await opened.state.close();
});

test('a put of half a character, which is written as another, is read by the key that it was put with', async () => {
  const opened = await OpenState.restored({ stores: [keyValueStore('s', { key: string(), value: string() })] });
  const store = new KeyValueFacade<string, string>(opened.live('s') as never, () => 7);
  store.put('\ud83d', 'x');
  expect(store.get('\ud83d')).toBe('x');
  await opened.state.close();
});

describe('a window store', () => {
  const windows = windowStore('s', { key: string(), value: json<number>(), retentionMs: 600_000, windowSizeMs: 10 });

  test('keeps nothing of windows that are not there', async () => {
    const opened = await OpenState.restored({ stores: [windows], directory });
    const store = new WindowFacade<string, number>(opened.live('s') as never, () => 7);
    store.put('a', 1, 1_000_000);
    const before = opened.budget.usedBytes;
    for (let start = 900_000; start < 910_000; start++) expect(store.fetch('a', start)).toBeNull();
    expect(opened.budget.usedBytes).toBe(before);
    await opened.commit();
    opened.state.dropLive();
    expect(opened.budget.usedBytes).toBe(0);
    await opened.state.close();
  });

  test('reads the ranges of the one key that is asked for, not every key', async () => {
    const storage = new MemoryStorage();
    const opened = await OpenState.restored({ stores: [windows], directory, storage });
    const store = new WindowFacade<string, number>(opened.live('s') as never, () => 7);
    for (let k = 0; k < 200; k++) for (let w = 0; w < 50; w++) store.put(`key-${k}`, k * 100 + w, w * 10_000);
    await opened.commit();
    opened.state.dropLive();
    storage.scanned = 0;
    const found: unknown[] = [];
    for await (const entry of store.fetchRange('key-7', 100_000, 390_000)) found.push(entry);
    expect(found).toEqual(Array.from({ length: 30 }, (_, i) => [(i + 10) * 10_000, 710 + i]));
    expect(storage.scanned).toBe(30);
    found.length = 0;
    for await (const entry of store.fetchRange('key-7', Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY))
      found.push(entry);
    expect(found).toHaveLength(50);
    await opened.state.close();
  });

  test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 'x'])(
    'refuses a window that starts at %s, and has none',
    async (start) => {
      const opened = await OpenState.restored({ stores: [windows] });
      const store = new WindowFacade<string, number>(opened.live('s') as never, () => 7);
      expect(() => store.put('a', 1, start as number)).toThrow(
        expect.objectContaining({ code: 'MILLRACE_STATE_INVALID_WINDOW_START', store: 's' }),
      );
      expect(store.fetch('a', start as number)).toBeNull();
      await opened.state.close();
    },
  );

  test.each([
    { retentionMs: 5, windowSizeMs: 10 },
    { retentionMs: Number.NaN, windowSizeMs: 10 },
    { retentionMs: 10.5, windowSizeMs: 10 },
    { retentionMs: 10, windowSizeMs: 0 },
  ])('of %j is refused', (times) => {
    expect(() => windowStore('s', { key: string(), value: string(), ...times })).toThrow(
      expect.objectContaining({ code: 'MILLRACE_STATE_INVALID_STORE', store: 's' }),
    );
  });

  test('deletes at each commit at least as many old entries as it writes', async () => {
    const storage = new MemoryStorage();
    const short = windowStore('s', { key: string(), value: json<number>(), retentionMs: 60_000, windowSizeMs: 10 });
    const opened = await OpenState.restored({ stores: [short], directory, storage, budget: new CacheBudget(1e9) });
    const store = new WindowFacade<string, number>(opened.live('s') as never, () => 7);
    for (let round = 0; round < 5; round++) {
      for (let k = 0; k < 30_000; k++) store.put(`key-${k}`, k, round * 60_000);
      await opened.commit();
    }
    expect(storage.contents(directory).size).toBeLessThan(30_000 * 3.5);
    await opened.state.close();
  });
});

test('an iteration over a closed store, a put and a get say that it is closed', async () => {
  for (const where of [directory, undefined]) {
    const opened = await OpenState.restored({
      stores: [keyValueStore('s', { key: string(), value: string() })],
      directory: where,
    });
    const store = new KeyValueFacade<string, string>(opened.live('s') as never, () => 7);
    for (const key of ['a', 'b', 'c']) store.put(key, key);
    await opened.commit();
    const begun = store.all();
    await begun.next();
    const notBegun = store.all();
    store.detach();
    await opened.state.close();
    const closed = { code: 'MILLRACE_STATE_STORE_CLOSED' };
    await expect(begun.next()).rejects.toMatchObject(closed);
    await expect(notBegun.next()).rejects.toMatchObject(closed);
    for (const call of [
      () => store.put('a', 'x'),
      () => store.get('a'),
      () => store.delete('a'),
      () => store.putIfAbsent('a', 'x'),
    ]) {
      expect(call).toThrow(expect.objectContaining(closed));
    }
  }
});

test('the budget is what it was when everything is dropped, whatever was done', async () => {
  const values = [string(), json(), nullable(json()), bytes()] as Serde<never>[];
  for (const value of values) {
    const opened = await OpenState.restored({
      stores: [keyValueStore('s', { key: string(), value })],
      budget: new CacheBudget(0),
    });
    const live = opened.live('s');
    const sample = value.name === 'bytes' ? Buffer.from('x') : 'text';
    for (let i = 0; i < 100; i++) {
      const key = `k${i % 7}`;
      if (i % 3 === 0) live.putForeign(key, 0, i % 9 === 0 ? null : sample, i);
      else live.put(key, 0, sample, i, live.find(key, 0));
      if (i % 5 === 0) opened.evict();
    }
    opened.state.flush();
    opened.state.evict(false);
    expect(opened.budget.usedBytes).toBe(0);
    await opened.state.close();
  }
});
