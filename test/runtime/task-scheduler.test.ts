import { expect, test } from 'vitest';
import type { Task } from '../../src/runtime/task/task.ts';
import { TaskGroup } from '../../src/runtime/task-scheduler.ts';

/** A task of so many records, one a millisecond of event time. */
function taskOf(records: number) {
  let processed = 0;
  const task = {
    get headTimestamp() {
      return processed;
    },
    isReady: () => processed < records,
    process: () => void processed++,
    queues: [],
  };
  return { task: task as unknown as Task, processed: () => processed };
}

test('a turn whose first record takes its time ends behind it: heartbeats and rebalances wait for nothing more', () => {
  const { task, processed } = taskOf(1_000);
  new TaskGroup([task], 0).run({ shouldYield: () => true, maxTaskIdleMs: -1, afterRecord: () => {} });
  expect(processed()).toBe(1);
});

test('the clock is looked at rarely where records are quick', () => {
  const { task, processed } = taskOf(10_000);
  const looks: number[] = [];
  new TaskGroup([task], 0).run({
    shouldYield: () => looks.push(processed()) < 0,
    maxTaskIdleMs: -1,
    afterRecord: () => {},
  });
  expect(processed()).toBe(10_000);
  expect(looks.slice(0, 8)).toEqual([1, 2, 4, 8, 16, 32, 64, 128]);
  expect(looks.length).toBeLessThan(10_000 / 64 + 8);
});
