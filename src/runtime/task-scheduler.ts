/**
 * Which task goes next. Across the tasks of a sub-topology the lowest head timestamp runs first, waiting for partitions
 * known to have data, so that a backlog caught up through a repartition topic drops nothing that live processing would
 * have kept. Sub-topologies take turns.
 */
import { monotonicMs } from '../monotonic.ts';
import type { CacheBudget } from '../state/index.ts';
import type { SubTopology, Topology } from '../topology/index.ts';
import type { Task } from './task/task.ts';

/** Records between two looks at the clock, at most: a turn begins with fewer, since one record may take its time. */
const CHECK_EVERY = 64;
/**
 * Event time by which a task may lead the others of its sub-topology, ms: a run of records of one partition finds its keys,
 * windows and batches in the processor's caches.
 */
const MAX_LEAD_MS = 5_000;
/** What a lead may take of the grace of a windowed operator that reads what the tasks write. */
const GRACE_SHARE = 0.01;

/**
 * How far a sub-topology's tasks may lead each other, ms of event time. Where its output comes back into the application,
 * order decides what is late: at most a hundredth of the least grace, none where there is none.
 */
export function leadMsOf({ sinks }: SubTopology, topology: Topology): number {
  const sources = topology.subTopologies.flatMap((sub) => sub.sources);
  const comesBack = (topic: string): boolean =>
    sources.some(({ topics }) => (topics instanceof RegExp ? topics.test(topic) : topics.includes(topic)));
  if (!sinks.some(({ topic }) => typeof topic !== 'string' || comesBack(topic))) return MAX_LEAD_MS;
  const graces = topology.subTopologies.flatMap((sub) =>
    sub.nodes.flatMap((node) => (node.kind === 'processor' ? (node.graceMs ?? []) : [])),
  );
  return graces.length === 0 ? 0 : Math.min(MAX_LEAD_MS, Math.floor(Math.min(...graces) * GRACE_SHARE));
}

export interface TurnOptions {
  /** True where a turn must end now: time is up, the producer is full, a commit is due. */
  shouldYield(): boolean;
  /** −1: waits for no partition; 0: for those known to have data; more: for all, for that long. */
  readonly maxTaskIdleMs: number;
  afterRecord(task: Task): void;
}

export class TaskGroup {
  readonly tasks: Task[];
  readonly #leadMs: number;
  #idleSince: number | undefined;

  /** @param leadMs see {@link leadMsOf} */
  constructor(tasks: Task[], leadMs: number) {
    this.tasks = tasks;
    this.#leadMs = leadMs;
  }

  /** Processes records until the turn is over or nothing is ready. Returns how many. */
  run(options: TurnOptions): number {
    const waits = options.maxTaskIdleMs >= 0;
    const heap = this.#ready(waits);
    if (heap === undefined || heap.length === 0) return 0;
    if (options.maxTaskIdleMs > 0 && this.#mustIdle(heap[0]!, options.maxTaskIdleMs)) return 0;
    this.#idleSince = undefined;
    let processed = 0;
    let nextCheck = 1;
    let leadUntil = heap[0]!.headTimestamp + this.#leadMs;
    while (heap.length > 0) {
      const task = heap[0]!;
      task.process();
      options.afterRecord(task);
      if (++processed === nextCheck) {
        if (options.shouldYield()) return processed;
        nextCheck += Math.min(processed, CHECK_EVERY);
      }
      if (!task.isReady(waits)) {
        if (waits && !task.isHeld && isWaiting(task)) return processed;
        heap[0] = heap[heap.length - 1]!;
        heap.pop();
      } else if (task.headTimestamp <= leadUntil) continue;
      siftDown(heap, 0);
      leadUntil = (heap[0]?.headTimestamp ?? 0) + this.#leadMs;
    }
    return processed;
  }

  /** The tasks that have a record, as a heap by timestamp; undefined where one must be waited for. */
  #ready(waits: boolean): Task[] | undefined {
    const heap: Task[] = [];
    for (const task of this.tasks) {
      // What waits for its own promises holds nobody else up.
      if (task.isHeld) continue;
      if (task.isReady(waits)) heap.push(task);
      else if (waits && isWaiting(task)) return undefined;
    }
    for (let i = (heap.length >> 1) - 1; i >= 0; i--) siftDown(heap, i);
    return heap;
  }

  /** maxTaskIdleMs > 0: a queue that is empty for good is waited for as well, up to that long. */
  #mustIdle(task: Task, maxTaskIdleMs: number): boolean {
    if (task.queues.every((queue) => queue.head !== undefined)) return false;
    const now = monotonicMs();
    this.#idleSince ??= now;
    return now - this.#idleSince < maxTaskIdleMs;
  }
}

/** Hot. Restores the heap's order below a task whose timestamp changed. */
function siftDown(heap: Task[], from: number): void {
  const size = heap.length;
  const task = heap[from];
  if (task === undefined) return;
  const timestamp = task.headTimestamp;
  let at = from;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    let lowest = heap[child]!.headTimestamp;
    if (child + 1 < size && heap[child + 1]!.headTimestamp < lowest) lowest = heap[++child]!.headTimestamp;
    if (timestamp <= lowest) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = task;
}

/** A queue without a head whose records are on their way. */
function isWaiting(task: Task): boolean {
  return task.queues.some((queue) => queue.head === undefined && (queue.isPending || queue.source.expectsMore));
}

/** Frees cache memory over all tasks: flushes what is dirty, then drops what was not used lately, then what is left. */
export function relieveCache(tasks: readonly Task[], budget: CacheBudget): void {
  for (const task of tasks) task.flush();
  for (const idleOnly of [true, false]) {
    for (const task of tasks) {
      if (budget.isRelieved) return;
      task.state.evict(idleOnly);
    }
  }
}
