/**
 * The tasks of a stream thread, or of a test driver: opening, preparing serdes, restoring, starting, grouping and closing
 * them, in one place. A task is open first, then restored, then started, and only a started one is handed records; those
 * that are ready do not wait for the others. Mirrors `TaskManager`.
 */
import { join } from 'node:path';
import { abortController, settlesBefore } from '../backoff.ts';
import { partitionKey, type TopicPartition } from '../kafka/index.ts';
import type { CacheBudget, StateStorage } from '../state/index.ts';
import type { AnySerde, ErrorPolicy, Topology } from '../topology/index.ts';
import { sourceTopics, type TopicNames } from './assignment/internal-topics.ts';
import type { Metrics } from './metrics.ts';
import type { HandlerResponse, UndecodableRecord } from './options.ts';
import type { RecordCollector } from './task/record-collector.ts';
import { type Asynchrony, Task, type TaskId, taskName } from './task/task.ts';
import { leadMsOf, TaskGroup } from './task-scheduler.ts';

/** A task with the partitions that it reads. */
export interface TaskAssignment {
  readonly id: TaskId;
  readonly partitions: readonly TopicPartition[];
}

/** What brings a task's stores up to date before it starts. */
export interface TaskRestorer {
  add(task: Task): void;
  /** Nothing is written to the task's database any more once this has resolved. */
  remove(task: Task): Promise<void>;
  /** Goes on with what is there, without waiting. @returns the tasks that are up to date now */
  step(): readonly Task[];
}

/** Where a task goes on from. */
export interface StartingPoint {
  readonly operatorTimes: readonly number[];
  /** By partition, the offset that a target system remembers. */
  readonly remembered: ReadonlyMap<string, number>;
}

/** Gives a task its queues. */
export type OpenSources = (task: Task, partitions: readonly TopicPartition[]) => StartingPoint;

/** Where records come from: partitions that are fetched, or a test's memory. */
export interface TaskSources {
  /**
   * Looks up the positions and times that restored tasks go on from.
   * @param signal one of the tasks has gone: to be given up, it is asked again for the others
   */
  prepare(tasks: readonly TaskAssignment[], signal: AbortSignal): Promise<OpenSources>;
  /** The task's queues are not needed any more; also where it never had any. */
  close(task: Task): void;
}

export interface TaskManagerOptions {
  readonly topology: Topology;
  readonly names: TopicNames;
  /** Folder of the application's local state; undefined keeps it in memory. */
  readonly directory: string | undefined;
  readonly storage?: StateStorage;
  readonly collector: RecordCollector;
  readonly budget: CacheBudget;
  readonly metrics: Metrics;
  readonly restorer: TaskRestorer;
  readonly sources: TaskSources;
  undecodable(record: UndecodableRecord, policy: ErrorPolicy | undefined): HandlerResponse;
  /** A store's bytes did not fit it any more and were deleted; not logged, it is empty now. */
  onWiped?(task: string, store: string, logged: boolean): void;
  /** Tasks that were being started have started, or not: `advance` is to be called. */
  onProgress?(): void;
  nowMs(): number;
  readonly asynchrony: Asynchrony;
}

interface ManagedTask {
  readonly task: Task;
  readonly partitions: readonly TopicPartition[];
  state: 'restoring' | 'starting' | 'resuming' | 'running';
  /** Settles when it has taken up what was under way, or failed to. */
  resumed?: Promise<void>;
}

export class TaskManager {
  readonly #options: TaskManagerOptions;
  readonly #tasks = new Map<string, ManagedTask>();
  #running: readonly Task[] = [];
  #groups: readonly TaskGroup[] = [];
  #starting: { readonly done: Promise<void>; readonly giveUp: AbortController } | undefined;
  #failure: unknown;

  constructor(options: TaskManagerOptions) {
    this.#options = options;
  }

  /** The tasks that records are handed to. */
  get running(): readonly Task[] {
    return this.#running;
  }

  /** The running tasks by sub-topology. */
  get groups(): readonly TaskGroup[] {
    return this.#groups;
  }

  /** Names of all tasks, restoring ones too. */
  get names(): string[] {
    return [...this.#tasks.keys()];
  }

  /** True where every task runs. */
  get isSettled(): boolean {
    return this.#running.length === this.#tasks.size;
  }

  /**
   * Serdes of sinks and stores learn what they write with. To be awaited before the first task is opened. Sinks that compute
   * their topic come last: what is known for another topic will do for them where registering is off.
   * @param signal ends the wait for a registry that is away
   */
  async prepareSerdes(signal?: AbortSignal): Promise<void> {
    const { topology, names } = this.#options;
    const sinks = topology.subTopologies.flatMap((sub) => sub.sinks);
    const written: { readonly topic: string | null; readonly key: AnySerde; readonly value: AnySerde }[] = [
      ...sinks.flatMap(({ topic, key, value }) =>
        typeof topic === 'string' ? [{ topic: names.topic(topic), key, value }] : [],
      ),
      ...topology.subTopologies.flatMap(({ stores }) =>
        stores.map((store) => ({
          topic: names.changelog(store) ?? store.name,
          key: store.key as AnySerde,
          value: store.value as AnySerde,
        })),
      ),
      ...sinks.flatMap(({ topic, key, value }) => (typeof topic === 'string' ? [] : [{ topic: null, key, value }])),
    ];
    for (const { topic, key, value } of written) {
      await key.prepareWrite?.(topic, 'key', signal);
      await value.prepareWrite?.(topic, 'value', signal);
    }
  }

  /** The tasks that read these partitions. Partitions that the topology does not read are left out. */
  tasksOf(partitions: readonly TopicPartition[]): TaskAssignment[] {
    const { topology, names } = this.#options;
    const tasks = new Map<string, { readonly id: TaskId; readonly partitions: TopicPartition[] }>();
    const readers = new Map<string, number | undefined>();
    for (const at of partitions) {
      const { topic } = at;
      if (!readers.has(topic)) {
        readers.set(topic, topology.subTopologies.find((one) => sourceTopics(one, names, [topic]).includes(topic))?.id);
      }
      const subTopology = readers.get(topic);
      if (subTopology === undefined) continue;
      const id = { subTopology, partition: at.partition };
      const known = tasks.get(taskName(id));
      if (known === undefined) tasks.set(taskName(id), { id, partitions: [at] });
      else known.partitions.push(at);
    }
    return [...tasks.values()];
  }

  /**
   * Brings the tasks in line: those that went, or read other partitions now, are closed, those that came are opened and
   * begin to restore. The others go on as they are.
   */
  async assign(tasks: readonly TaskAssignment[]): Promise<void> {
    const wanted = new Map(tasks.map((task) => [taskName(task.id), task]));
    const stays = (name: string, { partitions }: ManagedTask): boolean => {
      const next = wanted.get(name);
      return next !== undefined && samePartitions(next.partitions, partitions);
    };
    await this.close([...this.#tasks].filter(([name, managed]) => !stays(name, managed)).map(([name]) => name));
    const fresh = [...wanted].filter(([name]) => !this.#tasks.has(name)).map(([, task]) => task);
    await allSettled(fresh.map((task) => this.#open(task)));
  }

  /** Goes on restoring and starts what is ready; does not wait for either. @throws what made one of them fail */
  advance(): void {
    if (this.#failure !== undefined) throw this.#failure;
    for (const task of this.#options.restorer.step()) {
      const managed = this.#tasks.get(task.name);
      if (managed?.task === task) managed.state = 'starting';
    }
    if (this.#starting !== undefined) return;
    const ready = [...this.#tasks.values()].filter(({ state }) => state === 'starting');
    if (ready.length === 0) return;
    const giveUp = abortController();
    const done = this.#start(ready, giveUp.signal)
      .catch((error: unknown) => {
        // One of them has gone; the others are started with the next step.
        if (!giveUp.signal.aborted) this.#failure = error;
      })
      .finally(() => {
        this.#starting = undefined;
        this.#options.onProgress?.();
      });
    this.#starting = { done, giveUp };
  }

  /** Resolves when tasks that are being started have started, or failed to. */
  async started(): Promise<void> {
    await this.#starting?.done;
    await Promise.all([...this.#tasks.values()].map(({ resumed }) => resumed));
  }

  /** Closes tasks without a commit: what is not committed is dropped. All are closed, then the first failure is thrown. */
  async close(names: readonly string[] = this.names): Promise<void> {
    const closing: ManagedTask[] = [];
    for (const name of names) {
      const managed = this.#tasks.get(name)!;
      this.#tasks.delete(name);
      closing.push(managed);
    }
    if (closing.some(({ state }) => state === 'starting')) {
      this.#starting?.giveUp.abort();
      await this.#starting?.done;
    }
    this.#regroup();
    await allSettled(
      closing.map(async ({ task, resumed }) => {
        this.#options.sources.close(task);
        await this.#options.restorer.remove(task);
        task.giveUp();
        await resumed;
        await task.close();
      }),
    );
  }

  async #open({ id, partitions }: TaskAssignment): Promise<void> {
    const { topology, names, directory, storage, onWiped } = this.#options;
    const { collector, budget, metrics, undecodable, nowMs, asynchrony } = this.#options;
    const subTopology = topology.subTopologies[id.subTopology]!;
    const changelogs = new Map(subTopology.stores.map((store) => [store.name, names.changelog(store)]));
    const task = await Task.open({
      id,
      applicationId: names.applicationId,
      subTopology,
      directory: directory === undefined ? undefined : join(directory, taskName(id)),
      ...(storage === undefined ? {} : { storage }),
      collector,
      budget,
      metrics,
      topicName: (topic) => names.topic(topic),
      changelogTopic: (store) => changelogs.get(store),
      undecodable,
      onWiped: (store, logged) => onWiped?.(taskName(id), store, logged),
      nowMs,
      asynchrony,
    });
    this.#tasks.set(task.name, { task, partitions, state: 'restoring' });
    this.#options.restorer.add(task);
  }

  async #start(ready: readonly ManagedTask[], signal: AbortSignal): Promise<void> {
    const assignments = ready.map(({ task, partitions }) => ({ id: task.id, partitions }));
    const preparing = this.#options.sources.prepare(assignments, signal);
    // A request on its way may take its time-out: whoever closes a task does not wait for it.
    if (!(await settlesBefore(preparing, signal))) return;
    const openSources = await preparing;
    for (const managed of ready) {
      const { task, partitions } = managed;
      const { operatorTimes, remembered } = openSources(task, partitions);
      task.initialize(operatorTimes);
      task.work?.remembered(remembered);
      if (task.work === undefined) managed.state = 'running';
      else this.#resume(managed);
    }
    this.#regroup();
  }

  /** By itself: one that waits, for a schema say, holds up no other. */
  #resume(managed: ManagedTask): void {
    const { task } = managed;
    managed.state = 'resuming';
    managed.resumed = task.resume().then(
      () => {
        if (this.#tasks.get(task.name) !== managed) return;
        managed.state = 'running';
        this.#regroup();
        this.#options.onProgress?.();
      },
      (error: unknown) => {
        if (this.#tasks.get(task.name) !== managed) return;
        this.#failure = error;
        this.#options.onProgress?.();
      },
    );
  }

  #regroup(): void {
    const { topology } = this.#options;
    this.#running = [...this.#tasks.values()].filter(({ state }) => state === 'running').map(({ task }) => task);
    const bySub = new Map<number, Task[]>();
    for (const task of this.#running) {
      const list = bySub.get(task.id.subTopology);
      if (list === undefined) bySub.set(task.id.subTopology, [task]);
      else list.push(task);
    }
    this.#groups = [...bySub]
      .sort(([a], [b]) => a - b)
      .map(([sub, tasks]) => new TaskGroup(tasks, leadMsOf(topology.subTopologies[sub]!, topology)));
  }
}

function samePartitions(a: readonly TopicPartition[], b: readonly TopicPartition[]): boolean {
  const keys = new Set(a.map(partitionKey));
  return a.length === b.length && b.every((at) => keys.has(partitionKey(at)));
}

/** Waits for all, then throws the first failure: nothing is left running behind the caller's back. */
async function allSettled(steps: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(steps)) if (result.status === 'rejected') throw result.reason;
}
