/** A task's database over restarts: shapes of stores, positions and their times, writes that wait for each other or fail. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { json, string } from '../../src/serdes/index.ts';
import {
  type AnyStoreDescription,
  KeyValueFacade,
  keyValueStore,
  WindowFacade,
  windowStore,
} from '../../src/state/index.ts';
import { MemoryStorage } from '../support/memory-storage.ts';
import { type Changelogs, OpenState } from '../support/task-state.ts';

const MINUTE = 60_000;
const serdes = { key: string(), value: json<number>() };
const windows = (retentionMs: number, options: { logging?: boolean; kind?: 'persistent' | 'in-memory' } = {}) =>
  windowStore('counts', { ...serdes, ...options, retentionMs, windowSizeMs: MINUTE });
const windowsOf = (opened: OpenState): WindowFacade<string, number> =>
  new WindowFacade(opened.live('counts') as never, () => 7);
const rowsOf = (opened: OpenState, name = 'rows'): KeyValueFacade<string, number> =>
  new KeyValueFacade(opened.live(name) as never, () => 7);

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-task-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('a store that is opened with another shape', () => {
  test('a window store with a longer grace is rebuilt: a count of 10 goes on at 11', async () => {
    const changelogs: Changelogs = new Map();
    const startMs = 10 * MINUTE;
    const first = await OpenState.restored({ directory, changelogs, stores: [windows(11 * MINUTE)] });
    windowsOf(first).put('a', 10, startMs);
    await first.commit();
    await first.state.close();

    const second = await OpenState.restored({ directory, changelogs, stores: [windows(31 * MINUTE)] });
    expect(second.wiped).toEqual([['counts', true]]);
    const counts = windowsOf(second);
    counts.put('a', counts.fetch('a', startMs)! + 1, startMs);
    expect(counts.fetch('a', startMs)).toBe(11);
    await second.commit();
    await second.state.close();

    const third = await OpenState.open({ directory, changelogs, stores: [windows(31 * MINUTE)] });
    expect([third.wiped, third.state.position('counts')?.offset]).toEqual([[], 2]);
    await third.state.close();
  });

  test('windows that a shorter retention had deleted are there again under a longer one of the same segments', async () => {
    const changelogs: Changelogs = new Map();
    const options = { directory, changelogs };
    const first = await OpenState.restored({ ...options, stores: [windows(MINUTE)] });
    windowsOf(first).put('a', 1, 20_000);
    windowsOf(first).put('a', 2, 130_000);
    await first.commit();
    await first.state.close();
    const second = await OpenState.restored({ ...options, stores: [windows(2 * MINUTE)] });
    expect(windowsOf(second).fetch('a', 20_000)).toBe(1);
    await second.state.close();
  });

  test('by any changes of the retention, reads are what the changelog holds and retention shows', async () => {
    const step = fc.record({
      retention: fc.constantFrom(1, 2, 3, 5, 8, 12).map((n) => n * MINUTE),
      puts: fc.array(fc.record({ key: fc.constantFrom('a', 'ab'), minute: fc.integer({ min: 0, max: 14 }) }), {
        maxLength: 6,
      }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 5 }), async (steps) => {
        const storage = new MemoryStorage();
        const changelogs: Changelogs = new Map();
        const model = new Map<string, number>();
        let observed = -1;
        let count = 0;
        for (const { retention, puts } of steps) {
          const opened = await OpenState.restored({ directory, storage, changelogs, stores: [windows(retention)] });
          const store = windowsOf(opened);
          const visible = [...model].filter(([at]) => Number(at.split('@')[1]) > observed - retention);
          for (const [at, value] of visible) {
            const [key, startMs] = at.split('@');
            expect([at, store.fetch(key!, Number(startMs))]).toEqual([at, value]);
          }
          const all: string[] = [];
          for await (const [{ key, windowStartMs }] of store.all()) all.push(`${key}@${windowStartMs}`);
          expect(all.sort()).toEqual(visible.map(([at]) => at).sort());
          for (const { key, minute } of puts) {
            const startMs = minute * MINUTE;
            // Windows that reads hide are left alone: a store may still take puts for them, as in Java.
            if (startMs <= observed - retention) continue;
            observed = Math.max(observed, startMs);
            model.set(`${key}@${startMs}`, ++count);
            store.put(key, count, startMs);
          }
          await opened.commit();
          await opened.state.close();
        }
      }),
      { numRuns: 150 },
    );
  });

  test.each<[string, AnyStoreDescription, AnyStoreDescription]>([
    ['a window store that becomes a key-value store', windows(11 * MINUTE), keyValueStore('counts', serdes)],
    [
      'a store that gets timestamps',
      keyValueStore('counts', serdes),
      { ...keyValueStore('counts', serdes), timestamped: true },
    ],
    ['a store that was in memory', windows(11 * MINUTE, { kind: 'in-memory' }), windows(11 * MINUTE)],
  ])('%s begins anew, without a position', async (_what, before, after) => {
    const changelogs: Changelogs = new Map();
    const first = await OpenState.restored({ directory, changelogs, stores: [before, keyValueStore('other', serdes)] });
    first.live('counts').putForeign('a', before.type === 'window' ? 10 * MINUTE : 0, 1, 7);
    rowsOf(first, 'other').put('o', 5);
    await first.commit();
    await first.state.close();
    const second = await OpenState.open({ directory, changelogs, stores: [after, keyValueStore('other', serdes)] });
    expect(second.state.position('counts')).toBeUndefined();
    expect(second.live('counts').observedTimeMs).toBe(-1);
    second.state.restored();
    expect(second.live('counts').find('a', 0)).toBeUndefined();
    expect(rowsOf(second, 'other').get('o')).toBe(5);
    expect(second.state.position('other')?.offset).toBe(1);
    await second.state.close();
  });

  test('without a changelog it is wiped and said; a longer retention alone leaves what there is', async () => {
    const first = await OpenState.restored({ directory, stores: [windows(1.5 * MINUTE, { logging: false })] });
    windowsOf(first).put('a', 1, MINUTE);
    await first.commit();
    await first.state.close();
    const longer = await OpenState.restored({ directory, stores: [windows(2 * MINUTE, { logging: false })] });
    expect([longer.wiped, windowsOf(longer).fetch('a', MINUTE)]).toEqual([[], 1]);
    await longer.state.close();
    const other = await OpenState.restored({ directory, stores: [windows(20 * MINUTE, { logging: false })] });
    expect([other.wiped, windowsOf(other).fetch('a', MINUTE)]).toEqual([[['counts', false]], null]);
    await other.state.close();
  });

  test('a process that dies while it is wiped begins the wiping anew, also under the shape of before', async () => {
    const storage = new MemoryStorage();
    const changelogs: Changelogs = new Map();
    const options = { directory, storage, changelogs };
    const first = await OpenState.restored({ ...options, stores: [windows(11 * MINUTE)] });
    windowsOf(first).put('a', 10, 10 * MINUTE);
    await first.commit();
    await first.state.close();
    for (const dying of [1, 2, 3]) {
      const from = storage.written;
      storage.beforeWrite = () => {
        if (storage.written - from === dying - 1) throw new Error('killed');
      };
      await expect(OpenState.open({ ...options, stores: [windows(31 * MINUTE)] })).rejects.toThrow('killed');
      storage.beforeWrite = undefined;
      const again = await OpenState.restored({ ...options, stores: [windows(11 * MINUTE)] });
      expect(windowsOf(again).fetch('a', 10 * MINUTE)).toBe(10);
      await again.commit();
      await again.state.close();
    }
  });
});

describe('a database of version 1, which has no shapes', () => {
  const version1 = async (stores: readonly AnyStoreDescription[], changelogs: Changelogs, observedTimeMs: number) => {
    const storage = new MemoryStorage();
    const first = await OpenState.restored({ directory, storage, changelogs, stores });
    for (const store of stores)
      first.live(store.name).putForeign('a', store.type === 'window' ? 10 * MINUTE : 0, 10, 7);
    await first.commit();
    await first.state.close();
    const old = {
      version: 1,
      stores: Object.fromEntries(stores.map(({ name }, i) => [name, { id: i + 1, observedTimeMs }])),
      positions: Object.fromEntries([...changelogs].map(([name, log]) => [name, log.length])),
      committedAtMs: 5,
    };
    storage.contents(directory).set('\0\0meta', Buffer.from(JSON.stringify(old)));
    return storage;
  };

  test('is rebuilt from its changelogs', async () => {
    const changelogs: Changelogs = new Map();
    const stores = [windows(31 * MINUTE)];
    const storage = await version1(stores, changelogs, 10 * MINUTE);
    const opened = await OpenState.open({ directory, storage, changelogs, stores });
    expect([opened.wiped, opened.state.position('counts')]).toEqual([[['counts', true]], undefined]);
    await opened.restore('counts');
    opened.state.restored();
    expect(windowsOf(opened).fetch('a', 10 * MINUTE)).toBe(10);
    await opened.state.close();
  });

  test('keeps a key-value store that has no changelog: its layout is the same', async () => {
    const stores = [keyValueStore('rows', { ...serdes, logging: false })];
    const storage = await version1(stores, new Map(), -1);
    const opened = await OpenState.restored({ directory, storage, stores });
    expect([opened.wiped, rowsOf(opened).get('a')]).toEqual([[], 10]);
    await opened.state.close();
  });
});

describe('writes to a database', () => {
  const stores = [keyValueStore('one', serdes), keyValueStore('two', serdes)];
  const filled = async (): Promise<Changelogs> => {
    const changelogs: Changelogs = new Map();
    const writer = await OpenState.restored({ stores, changelogs });
    for (const name of ['one', 'two']) {
      for (let i = 0; i < 10; i++) {
        rowsOf(writer, name).put('k', i);
        writer.state.flush();
      }
    }
    await writer.state.close();
    return changelogs;
  };

  test('two stores that are restored at once are written one after the other; one that fails leaves no position', async () => {
    const storage = new MemoryStorage();
    const changelogs = await filled();
    const opened = await OpenState.open({ directory, storage, changelogs, stores });
    storage.failNext();
    const [one, two] = await Promise.allSettled([
      opened.restoreBatch('one', 5, 100),
      opened.restoreBatch('two', 5, 100),
    ]);
    expect([one.status, two.status]).toEqual(['rejected', 'fulfilled']);
    expect([opened.state.position('one'), opened.state.position('two')]).toEqual([
      undefined,
      { offset: 5, asOfMs: 100 },
    ]);
    await opened.state.close();
    const again = await OpenState.open({ directory, storage, changelogs, stores });
    expect([again.state.position('one'), again.state.position('two')?.offset]).toEqual([undefined, 5]);
    await again.restore('one');
    await again.restore('two');
    again.state.restored();
    expect([rowsOf(again, 'one').get('k'), rowsOf(again, 'two').get('k'), storage.mostWriting]).toEqual([9, 9, 1]);
    await again.state.close();
  });

  test('a commit that fails leaves everything as it was, and the next one writes it', async () => {
    const storage = new MemoryStorage();
    const options = { directory, storage, changelogs: new Map(), stores };
    const opened = await OpenState.restored(options);
    rowsOf(opened, 'one').put('a', 1);
    storage.failNext();
    await expect(opened.commit(50)).rejects.toThrow('the disk refused');
    expect(opened.state.position('one')).toBeUndefined();
    opened.evict();
    expect(rowsOf(opened, 'one').get('a')).toBe(1);
    rowsOf(opened, 'one').put('b', 2);
    await opened.commit(60);
    expect(opened.state.uncommittedBytes).toBe(0);
    await opened.state.close();
    const again = await OpenState.restored(options);
    expect([rowsOf(again, 'one').get('a'), rowsOf(again, 'one').get('b')]).toEqual([1, 2]);
    expect(again.state.position('one')).toEqual({ offset: 2, asOfMs: 60 });
    await again.state.close();
  });

  test('what is flushed while a commit writes is read, and written by the next', async () => {
    const storage = new MemoryStorage();
    const options = { directory, storage, changelogs: new Map(), stores };
    const opened = await OpenState.restored(options);
    const store = rowsOf(opened, 'one');
    store.put('a', 1);
    store.put('b', 1);
    opened.state.flush();
    storage.hold();
    const committing = opened.state.commit(new Map([['one', 2]]), 1);
    store.put('a', 2);
    store.put('b', null);
    opened.evict();
    const seen: unknown[] = [];
    for await (const entry of store.all()) seen.push(entry);
    expect([seen, store.get('a'), store.get('b')]).toEqual([[['a', 2]], 2, null]);
    storage.release();
    await committing;
    opened.state.dropLive();
    expect([store.get('a'), store.get('b')]).toEqual([2, null]);
    await opened.commit();
    await opened.state.close();
    const again = await OpenState.restored(options);
    expect([rowsOf(again, 'one').get('a'), rowsOf(again, 'one').get('b')]).toEqual([2, null]);
    await again.state.close();
  });

  test('what was read of a store while it was being restored is read anew', async () => {
    const opened = await OpenState.open({
      directory,
      storage: new MemoryStorage(),
      changelogs: await filled(),
      stores,
    });
    await opened.restoreBatch('one', 3);
    expect(rowsOf(opened, 'one').get('k')).toBe(2);
    await opened.restoreBatch('one', 10);
    opened.state.restored();
    expect(rowsOf(opened, 'one').get('k')).toBe(9);
    await opened.state.close();
  });

  test('of a store in memory no position is kept: it is restored from the beginning', async () => {
    const storage = new MemoryStorage();
    const mixed = [stores[0]!, keyValueStore('two', { ...serdes, kind: 'in-memory' })];
    const options = { directory, storage, changelogs: await filled(), stores: mixed };
    for (let start = 0; start < 2; start++) {
      const opened = await OpenState.restored(options);
      expect([rowsOf(opened, 'two').get('k'), opened.state.position('two')]).toEqual([9, undefined]);
      await opened.commit();
      expect([opened.state.position('one')?.offset, opened.state.position('two')]).toEqual([10, undefined]);
      expect(storage.contents(directory).get('\0\0meta')!.toString()).not.toContain('"two":{"offset"');
      await opened.state.close();
    }
  });

  test('closing waits for a write; later writes say that it is closed', async () => {
    const storage = new MemoryStorage();
    const opened = await OpenState.restored({ directory, storage, changelogs: new Map(), stores });
    rowsOf(opened, 'one').put('a', 1);
    opened.state.flush();
    storage.hold();
    const committing = opened.state.commit(new Map(), 1);
    const closing = opened.state.close();
    storage.release();
    await Promise.all([committing, closing]);
    await expect(opened.state.commit(new Map(), 2)).rejects.toMatchObject({ code: 'MILLRACE_STATE_STORE_CLOSED' });
  });
});

describe('the time as of which a position was the end of its log', () => {
  const stores = [keyValueStore('rows', serdes), keyValueStore('gone', serdes)];
  const changelogs = (): Changelogs =>
    new Map([
      [
        'rows',
        Array.from({ length: 9 }, (_, i) => ({ key: Buffer.from('k'), value: Buffer.from(`${i}`), timestamp: 1 })),
      ],
    ]);
  const positionAfterReopening = async (storage: MemoryStorage, opened: OpenState) => {
    await opened.state.close();
    const again = await OpenState.open({ directory, storage, changelogs: opened.changelogs, stores });
    const position = again.state.position('rows');
    await again.state.close();
    return position;
  };

  test('of a restore from the beginning is when that began, also where it is interrupted and goes on', async () => {
    const storage = new MemoryStorage();
    const opened = await OpenState.open({ directory, storage, changelogs: changelogs(), stores });
    await opened.restoreBatch('rows', 4, 1_000);
    await opened.restoreBatch('rows', 6);
    expect(await positionAfterReopening(storage, opened)).toEqual({ offset: 6, asOfMs: 1_000 });
  });

  test('of a restore that goes on to the end is when that end was read', async () => {
    const storage = new MemoryStorage();
    const first = await OpenState.open({ directory, storage, changelogs: changelogs(), stores });
    await first.restoreBatch('rows', 4, 1_000);
    await first.state.close();
    const second = await OpenState.open({ directory, storage, changelogs: changelogs(), stores });
    await second.restoreBatch('rows', 9, 5_000);
    expect(await positionAfterReopening(storage, second)).toEqual({ offset: 9, asOfMs: 5_000 });
  });

  test('of a commit is now, for every store of the task, and for no store that is not its any more', async () => {
    const storage = new MemoryStorage();
    const logs = changelogs();
    const first = await OpenState.restored({ directory, storage, changelogs: logs, stores });
    rowsOf(first, 'gone').put('x', 1);
    await first.commit(2_000);
    await first.state.close();
    const second = await OpenState.restored({ directory, storage, changelogs: logs, stores: [stores[0]!] });
    await second.state.commit(new Map(), 3_000);
    await second.state.close();
    const third = await OpenState.open({ directory, storage, changelogs: logs, stores });
    expect(third.state.position('rows')).toEqual({ offset: 9, asOfMs: 3_000 });
    expect(third.state.position('gone')).toEqual({ offset: 1, asOfMs: 2_000 });
    await third.state.close();
  });

  test('is refreshed where there is nothing to commit, and only there', async () => {
    const storage = new MemoryStorage();
    const opened = await OpenState.open({ directory, storage, changelogs: changelogs(), stores });
    await opened.restoreBatch('rows', 9, 1_000);
    await opened.state.touch(2_000);
    expect(opened.state.position('rows')?.asOfMs).toBe(1_000);
    opened.state.restored();
    await opened.state.touch(3_000);
    expect(opened.state.position('rows')?.asOfMs).toBe(3_000);
    rowsOf(opened).put('k', 1);
    await opened.state.touch(4_000);
    opened.state.flush();
    await opened.state.touch(5_000);
    expect(await positionAfterReopening(storage, opened)).toEqual({ offset: 9, asOfMs: 3_000 });
  });
});
