/**
 * The thread's part in work beside the record path: picks up what has come, ends batches that are due, and waits, within a
 * bound, before tasks are handed back.
 */
import { monotonicMs } from '../monotonic.ts';
import type { Task } from './task/task.ts';

/** ms between two looks while it waits. */
const LOOK_MS = 100;

export interface AsynchronousTurnsOptions {
  tasks(): readonly Task[];
  /** ms that tasks which are to be handed back are waited for. */
  readonly drainTimeoutMs: number;
  /** Resolves when there is something to pick up, or after this time. */
  wait(ms: number): Promise<void>;
  /** The thread is waiting, not hanging. */
  alive(): void;
}

export class AsynchronousTurns {
  readonly #options: AsynchronousTurnsOptions;

  constructor(options: AsynchronousTurnsOptions) {
    this.#options = options;
  }

  /** True where a task has work beside the record path. */
  get isAny(): boolean {
    return this.#options.tasks().some((task) => task.work !== undefined);
  }

  /** Hands on what asynchronous operators have results for. @returns how many records @throws what ends a task */
  deliver(): number {
    let delivered = 0;
    for (const task of this.#options.tasks()) delivered += task.deliver();
    return delivered;
  }

  /** Ends the batches that are full or old enough, or whose task is to be committed. */
  endBatches(nowMs: number): void {
    for (const task of this.#options.tasks()) if (task.isBatchDue(nowMs)) task.endBatch();
  }

  /** Tasks whose batch is stored: to be committed now. */
  handled(): Task[] {
    return this.#options.tasks().filter((task) => task.work?.isHandled === true && task.isCommittable);
  }

  /**
   * Before tasks are handed back: nothing new is begun, what runs is waited for, batches are ended. What is not done in time
   * is the next owner's: pending calls are in their stores, batches behind the committed positions.
   * @param ends waiting ends with the first that aborts
   */
  async drain(...ends: readonly AbortSignal[]): Promise<void> {
    const tasks = this.#options.tasks().filter((task) => task.work !== undefined);
    if (tasks.length === 0) return;
    this.hold(true);
    const deadline = monotonicMs() + this.#options.drainTimeoutMs;
    for (;;) {
      let isBusy = false;
      for (const task of tasks) {
        const work = task.work!;
        task.deliver();
        if (!work.isBusy && !work.isFrozen) {
          // What caches hold back goes into the batch as well.
          task.flush();
          if (work.hasOpenBatch) task.endBatch();
        }
        isBusy ||= work.isBusy;
      }
      const leftMs = deadline - monotonicMs();
      if (!isBusy || leftMs <= 0 || ends.some((signal) => signal.aborted)) return;
      this.#options.alive();
      await this.#options.wait(Math.min(leftMs, LOOK_MS));
    }
  }

  /** Tasks that stay go on. */
  hold(held: boolean): void {
    for (const task of this.#options.tasks()) task.work?.hold(held);
  }
}
