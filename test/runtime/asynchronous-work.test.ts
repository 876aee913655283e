/** The batches of a task: when they are open, handled and committed, and what comes at the wrong moment. */
import { expect, test } from 'vitest';
import { AsynchronousWork } from '../../src/runtime/task/asynchronous-work.ts';
import type { RecordQueue } from '../../src/runtime/task/record-queue.ts';
import type { BatchOperator, BatchPosition } from '../../src/topology/index.ts';

const queue = { source: { topic: 't', partition: 0 }, position: 7 } as unknown as RecordQueue;

/** A batch that a test fills, and whose handling it ends. */
function gathering() {
  const handled: { readonly size: number; readonly positions: readonly BatchPosition[] }[] = [];
  let size = 0;
  let finish: (error?: Error) => void = () => {};
  const operator: BatchOperator = {
    isFull: false,
    isBusy: false,
    get size() {
      return size;
    },
    isDue: () => size > 0,
    handle(positions) {
      handled.push({ size, positions });
      size = 0;
      return new Promise((resolve, reject) => {
        finish = (error) => (error === undefined ? resolve() : reject(error));
      });
    },
  };
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    operator,
    handled,
    add: () => void size++,
    end: async (error?: Error) => {
      finish(error);
      await turn();
    },
    turn,
  };
}

const ending = (signal = new AbortController().signal) => {
  const rings = { count: 0 };
  return { rings, options: { written: async () => {}, signal, onEnd: () => void rings.count++ } };
};

test('from its end to its commit a batch holds the task, and no longer', async () => {
  const work = new AsynchronousWork();
  const batch = gathering();
  work.add(batch.operator);
  batch.add();
  expect([work.hasOpenBatch, work.isFrozen, work.isBatchDue(0)]).toEqual([true, false, true]);
  const { options, rings } = ending();
  work.endBatch([queue], options);
  await batch.turn();
  expect([work.hasOpenBatch, work.isFrozen, work.isFull, work.isBatchDue(0)]).toEqual([true, true, true, false]);
  await batch.end();
  expect([work.hasOpenBatch, work.isHandled, work.isFrozen, rings.count]).toEqual([false, true, true, 1]);
  work.committed([queue]);
  expect([work.hasOpenBatch, work.isHandled, work.isFrozen]).toEqual([false, false, false]);
  batch.add();
  work.endBatch([queue], options);
  await batch.turn();
  expect(batch.handled.map(({ positions }) => positions[0]?.expected)).toEqual([null, 7]);
});

test('what comes into a batch while it is handled is handled behind it, at the positions that it left', async () => {
  const work = new AsynchronousWork();
  const batch = gathering();
  work.add(batch.operator);
  batch.add();
  work.endBatch([queue], ending().options);
  await batch.turn();
  batch.add();
  batch.add();
  await batch.end();
  expect([work.isHandled, batch.handled.map(({ size }) => size)]).toEqual([false, [1, 2]]);
  expect(batch.handled[1]!.positions).toEqual([{ topic: 't', partition: 0, expected: 7, next: 7 }]);
  await batch.end();
  expect([work.isHandled, work.hasOpenBatch]).toEqual([true, false]);
});

test('a batch that fails ends the task with what it failed with', async () => {
  const work = new AsynchronousWork();
  const batch = gathering();
  work.add(batch.operator);
  batch.add();
  const { options, rings } = ending();
  work.endBatch([queue], options);
  await batch.turn();
  await batch.end(new Error('no such table'));
  expect(rings.count).toBe(1);
  expect(() => work.deliver()).toThrow('no such table');
});

test('a batch of a task that was closed is nobody’s', async () => {
  const work = new AsynchronousWork();
  const batch = gathering();
  work.add(batch.operator);
  batch.add();
  const closed = new AbortController();
  const { options, rings } = ending(closed.signal);
  work.endBatch([queue], options);
  await batch.turn();
  closed.abort();
  await batch.end(new Error('aborted'));
  expect(rings.count).toBe(0);
});
