/**
 * Which task goes next. Across the tasks of a sub-topology the lowest head timestamp runs first, waiting for partitions
 * known to have data, so that a backlog caught up through a repartition topic drops nothing that live processing would
 * have kept. Sub-topologies take turns.
 */
import type { Task } from './task.ts';

/** Records between two looks at the clock. */
const CHECK_EVERY = 64;

export interface TurnOptions {
  /** True where a turn must end now: time is up, the producer is full, a commit is due. */
  shouldYield(): boolean;
  /** −1: waits for no partition; 0: for those known to have data; more: for all, for that long. */
  readonly maxTaskIdleMs: number;
  afterRecord(task: Task): void;
}

export class TaskGroup {
  readonly tasks: Task[];
  #idleSince: number | undefined;

  constructor(tasks: Task[]) {
    this.tasks = tasks;
  }

  /** Processes records until the turn is over or nothing is ready. Returns how many. */
  run(options: TurnOptions): number {
    const { tasks } = this;
    let processed = 0;
    for (;;) {
      let first: Task | undefined;
      let second = Number.POSITIVE_INFINITY;
      const waits = options.maxTaskIdleMs >= 0;
      for (const task of tasks) {
        const ready = task.isReady(waits);
        if (!ready && waits && isWaiting(task)) return processed;
        if (!ready) continue;
        if (first === undefined || task.headTimestamp < first.headTimestamp) {
          second = first?.headTimestamp ?? Number.POSITIVE_INFINITY;
          first = task;
        } else if (task.headTimestamp < second) {
          second = task.headTimestamp;
        }
      }
      if (first === undefined) return processed;
      if (options.maxTaskIdleMs > 0 && this.#mustIdle(first, options.maxTaskIdleMs)) return processed;
      this.#idleSince = undefined;
      do {
        first.process();
        options.afterRecord(first);
        if (++processed % CHECK_EVERY === 0 && options.shouldYield()) return processed;
      } while (first.headTimestamp <= second && first.isReady(waits));
    }
  }

  /** maxTaskIdleMs > 0: a queue that is empty for good is waited for as well, up to that long. */
  #mustIdle(task: Task, maxTaskIdleMs: number): boolean {
    if (task.queues.every((queue) => queue.head !== undefined)) return false;
    const now = task.options.nowMs();
    this.#idleSince ??= now;
    return now - this.#idleSince < maxTaskIdleMs;
  }
}

/** A queue without a head whose records are on their way. */
function isWaiting(task: Task): boolean {
  return task.queues.some(
    (queue) => queue.head === undefined && (queue.pending !== undefined || queue.source.expectsMore),
  );
}
