/**
 * Iterations against a sorted copy of a Map: each hands out what the store held at its first step, whatever is put,
 * flushed, committed and evicted between its steps.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { json, string } from '../../src/serdes/index.ts';
import {
  CacheBudget,
  KeyValueFacade,
  keyValueStore,
  levelStorage,
  WindowFacade,
  windowStore,
} from '../../src/state/index.ts';
import { MemoryStorage } from '../support/memory-storage.ts';
import { OpenState } from '../support/task-state.ts';

type Value = { n: number };
const SEGMENT = 60_000;
const RETENTION = 4 * SEGMENT;
// Keys that are prefixes of others, and one whose bytes look like another with a start behind it.
const KEYS = ['a', 'ab', 'a\0', `a${'\0'.repeat(8)}`, 'ä', 'z'];
const STARTS = [0, 1, 10, SEGMENT - 1, SEGMENT, 2 * SEGMENT + 1, 3 * SEGMENT, 5 * SEGMENT, 6 * SEGMENT + 7];

interface Row {
  readonly key: string;
  readonly startMs: number;
  readonly n: number;
}

type Step =
  | { readonly op: 'put'; readonly at: number; readonly own: boolean }
  | { readonly op: 'delete'; readonly at: number }
  | { readonly op: 'step'; readonly at: number }
  | { readonly op: 'flush' | 'commit' | 'evict' | 'settle' }
  | { readonly op: 'iterate'; readonly whole: boolean; readonly at: number; readonly to: number };

const step: fc.Arbitrary<Step> = fc.oneof<fc.WeightedArbitrary<Step>[]>(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('put' as const), at: fc.nat(200), own: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('delete' as const), at: fc.nat(200) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constantFrom('flush' as const, 'commit' as const, 'evict' as const, 'settle' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('iterate' as const),
      whole: fc.boolean(),
      at: fc.nat(200),
      to: fc.nat(200),
    }),
  },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('step' as const), at: fc.nat(20) }) },
);

interface Iteration {
  readonly iterator: AsyncIterator<Row>;
  /** At the first step. */
  expected: Row[] | undefined;
  readonly rows: Row[];
  expectation(): Row[];
}

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

describe.each(['LevelDB', 'a slow disk', 'in memory'] as const)('on %s', (where) => {
  test.each(['key-value', 'window'] as const)(
    'an iteration over a %s store is what there was at its first step',
    async (type) => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
          const directory = mkdtempSync(join(tmpdir(), 'millrace-iteration-'));
          const kind = where === 'in memory' ? ('in-memory' as const) : ('persistent' as const);
          const options = { key: string(), value: json<Value>(), kind };
          const store =
            type === 'window'
              ? windowStore('s', { ...options, retentionMs: RETENTION, windowSizeMs: 10 })
              : keyValueStore('s', options);
          const storage = where === 'a slow disk' ? new MemoryStorage() : levelStorage;
          const opened = await OpenState.restored({
            directory,
            storage,
            stores: [store],
            budget: new CacheBudget(5_000),
          });
          const live = opened.live('s');
          const rows = new KeyValueFacade<string, Value>(live, () => 7);
          const windows = new WindowFacade<string, Value>(live, () => 7);
          let model = new Map<string, Row>();
          let observed = -1;
          const place = (at: number): { key: string; startMs: number } => ({
            key: KEYS[at % KEYS.length]!,
            startMs: type === 'window' ? STARTS[at % STARTS.length]! : 0,
          });
          const visible = (): Row[] =>
            [...model.values()]
              .filter(({ startMs }) => type === 'key-value' || startMs > observed - RETENTION)
              .sort((a, b) => a.startMs - b.startMs || byBytes(a.key, b.key));
          const iterations: Iteration[] = [];
          const commits: Promise<void>[] = [];
          const advance = async (iteration: Iteration): Promise<boolean> => {
            const pending = iteration.iterator.next();
            iteration.expected ??= iteration.expectation();
            const { done, value } = await pending;
            if (done !== true) iteration.rows.push(value);
            return done !== true;
          };
          let n = 0;
          for (const current of steps) {
            if (current.op === 'put') {
              const { key, startMs } = place(current.at);
              if (type === 'window' && startMs <= observed - RETENTION) continue;
              if (type === 'window') observed = Math.max(observed, startMs);
              model = new Map(model).set(`${key}@${startMs}`, { key, startMs, n: ++n });
              if (current.own) {
                // As an aggregation does: the object of before, changed in place.
                const entry = live.find(key, startMs);
                const value = (entry === undefined ? null : live.ownValueOf(entry)) ?? { n: 0 };
                value.n = n;
                live.put(key, startMs, value, 7, entry);
              } else if (type === 'window') windows.put(key, { n }, startMs);
              else rows.put(key, { n });
            } else if (current.op === 'delete') {
              const { key, startMs } = place(current.at);
              if (type === 'window' && startMs <= observed - RETENTION) continue;
              if (type === 'window') observed = Math.max(observed, startMs);
              model = new Map(model);
              model.delete(`${key}@${startMs}`);
              if (type === 'window') windows.put(key, null, startMs);
              else rows.put(key, null);
            } else if (current.op === 'flush') opened.state.flush();
            else if (current.op === 'evict') opened.evict();
            else if (current.op === 'commit') {
              opened.state.flush();
              commits.push(opened.state.commit(new Map(), 1));
            } else if (current.op === 'settle') await Promise.all(commits);
            else if (current.op === 'step') {
              const iteration = iterations[current.at % Math.max(1, iterations.length)];
              if (iteration !== undefined) await advance(iteration);
            } else if (current.op === 'iterate') {
              const op = current.whole ? 'all' : 'range';
              iterations.push(iterationOf(op, place(current.at), place(current.to), { type, rows, windows, visible }));
            }
          }
          for (const iteration of iterations) {
            while (await advance(iteration));
            expect(iteration.rows).toEqual(iteration.expected);
          }
          await Promise.all(commits);
          await opened.state.close();
          expect(opened.budget.usedBytes).toBe(0);
          rmSync(directory, { recursive: true, force: true });
        }),
        { numRuns: 120 },
      );
    },
  );
});

interface Subject {
  readonly type: 'key-value' | 'window';
  readonly rows: KeyValueFacade<string, Value>;
  readonly windows: WindowFacade<string, Value>;
  visible(): Row[];
}

function iterationOf(
  op: 'all' | 'range',
  from: { readonly key: string; readonly startMs: number },
  to: { readonly key: string; readonly startMs: number },
  { type, rows, windows, visible }: Subject,
): Iteration {
  const begin = (iterator: AsyncIterator<Row>, expectation: () => Row[]): Iteration => ({
    iterator,
    expected: undefined,
    rows: [],
    expectation,
  });
  if (type === 'key-value') {
    const entries = op === 'all' ? rows.all() : rows.range(from.key, to.key);
    return begin(
      mapped(entries, ([key, { n }]) => ({ key, startMs: 0, n })),
      () => visible().filter(({ key }) => op === 'all' || (byBytes(key, from.key) >= 0 && byBytes(key, to.key) <= 0)),
    );
  }
  if (op === 'all') {
    return begin(
      mapped(windows.all(), ([{ key, windowStartMs }, { n }]) => ({ key, startMs: windowStartMs, n })),
      visible,
    );
  }
  return begin(
    mapped(windows.fetchRange(from.key, from.startMs, to.startMs), ([startMs, { n }]) => ({
      key: from.key,
      startMs,
      n,
    })),
    () => visible().filter((row) => row.key === from.key && row.startMs >= from.startMs && row.startMs <= to.startMs),
  );
}

/** Without a generator between: the first `next` reaches the store at once. */
function mapped<T, R>(entries: AsyncIterable<T>, map: (entry: T) => R): AsyncIterator<R> {
  const iterator = entries[Symbol.asyncIterator]();
  return {
    async next() {
      const { done, value } = await iterator.next();
      return done === true ? { done, value: undefined } : { done: false, value: map(value) };
    },
  };
}
