/**
 * The stream thread: a member of the group that fetches, runs its tasks and commits. One loop; everything between a
 * fetch and the producer is synchronous, promises are awaited a few times a commit. Mirrors `StreamThread`.
 */
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { aborted, delay } from '../backoff.ts';
import { MillraceError } from '../errors.ts';
import {
  decodeAssignment,
  Fetcher,
  GroupMember,
  KafkaCluster,
  MemberFencedError,
  type PartitionBuffer,
  Producer,
  partitionKey,
  type TopicPartition,
} from '../kafka/index.ts';
import { CacheBudget, type StateStorage } from '../state/index.ts';
import type { Topology } from '../topology/index.ts';
import { sourceTopics, TopicNames } from './assignment/internal-topics.ts';
import { StartPositions } from './assignment/start-positions.ts';
import { TaskAssignor } from './assignment/task-assignor.ts';
import { decodeCommitMetadata } from './commit/commit-metadata.ts';
import { changelogPositions, commitPositions, positionsOf } from './commit/positions.ts';
import { RepartitionPurge } from './commit/repartition-purge.ts';
import type { Metrics } from './metrics.ts';
import type { HandlerResponse, ResolvedOptions, UndecodableRecord } from './options.ts';
import { type RestoreListener, restoreTasks } from './restore/restore.ts';
import { type RideOutOptions, rideOut, unlessStopped } from './ride-out.ts';
import { RecordCollector } from './task/record-collector.ts';
import { Task, type TaskId, taskName } from './task/task.ts';
import { leadMsOf, relieveCache, TaskGroup } from './task-scheduler.ts';

const PROTOCOL = 'millrace';
/** ms of processing for each sub-topology before I/O gets its turn. */
const TURN_MS = 5;
/** ms to wait for data where nothing can be processed (poll.ms). */
const POLL_MS = 100;
/** ms that closing waits for records to be written. */
const CLOSE_MS = 10_000;

export interface StreamThreadOptions {
  readonly topology: Topology;
  readonly options: ResolvedOptions;
  readonly storage: StateStorage;
  readonly metrics: Metrics;
  readonly processId: string;
  readonly restoreListener: RestoreListener | undefined;
  onState(state: 'rebalancing' | 'running'): void;
}

interface ActiveTask {
  readonly task: Task;
  readonly buffers: PartitionBuffer[];
}

export class StreamThread {
  readonly #options: ResolvedOptions;
  readonly #settings: StreamThreadOptions;
  readonly #names: TopicNames;
  readonly #assignor: TaskAssignor;
  readonly #startPositions: StartPositions;
  readonly #purge: RepartitionPurge;
  readonly #budget: CacheBudget;
  readonly #admin: KafkaCluster;
  readonly #producer: Producer;
  readonly #collector: RecordCollector;
  readonly #fetcher: Fetcher;
  readonly #member: GroupMember;
  readonly #stop = new AbortController();
  readonly #stopped = aborted(this.#stop.signal);
  #active = new Map<string, ActiveTask>();
  #groups: TaskGroup[] = [];
  #nextCommitMs = 0;
  #commitSoon = false;

  constructor(settings: StreamThreadOptions) {
    this.#settings = settings;
    const { options } = settings;
    this.#options = options;
    this.#names = new TopicNames(options.applicationId, settings.topology);
    this.#budget = new CacheBudget(options.cacheMaxBytes);
    // A parked request of one role must not hold another up: a cluster each.
    this.#admin = this.#cluster();
    this.#purge = new RepartitionPurge(settings.topology, this.#names, options, this.#admin);
    this.#startPositions = new StartPositions(settings.topology, this.#names, options, this.#admin);
    this.#assignor = new TaskAssignor(settings.topology, this.#names, options, this.#admin, settings.processId);
    this.#producer = new Producer(this.#cluster(), { lingerMs: options.lingerMs, compression: options.compression });
    this.#collector = new RecordCollector(this.#producer);
    this.#fetcher = new Fetcher(this.#cluster(), {
      resetPolicy: (topic) => this.#startPositions.resetPolicy(topic),
      onReset: (_at, _offset, policy) => {
        if (policy === 'latest') this.#commitSoon = true;
      },
    });
    this.#member = new GroupMember(
      this.#cluster(),
      { groupId: options.applicationId, protocolName: PROTOCOL, ...timeouts(options) },
      {
        subscription: () => this.#assignor.subscription([...this.#active.keys()]),
        assign: (members) => this.#assignor.assign(members),
        onRevoked: (lost) => this.#revoke(lost),
        onAssigned: (assignment) => this.#assigned(assignment),
      },
    );
  }

  get tasks(): readonly Task[] {
    return [...this.#active.values()].map(({ task }) => task);
  }

  /** Reaches the cluster and checks the topics that are not the application's own. */
  async start(): Promise<void> {
    await this.#admin.connect(this.#options.startTimeoutMs);
    await this.#assignor.checkTopics();
    await this.#producer.start();
    await this.#prepareSinks();
    await this.#fetcher.start();
  }

  /** Runs until `shutdown`; rejects with what it cannot ride out. Closes everything in both cases. */
  async run(): Promise<void> {
    try {
      while (!this.#stop.signal.aborted) await this.#turn();
      await this.#closeCleanly();
    } catch (error) {
      await this.#closeDirty();
      if (!this.#stop.signal.aborted || !(error instanceof MillraceError) || !error.retriable) throw error;
      this.#options.logger.warn({ code: error.code }, error.message);
    }
  }

  /** Lets `run` commit, close, leave the group and end. */
  shutdown(): void {
    this.#stop.abort();
    this.#member.interrupt();
  }

  /** Closes a thread that never ran. */
  async abandon(): Promise<void> {
    await this.#closeDirty();
  }

  async #turn(): Promise<void> {
    await this.#member.poll();
    if (this.#stop.signal.aborted) return;
    const now = Date.now();
    const processed = this.#process();
    const gotSchemas = await this.#fetchSchemas();
    for (const { task } of this.#active.values()) {
      await task.punctuate('stream-time', task.streamTimeMs);
      await task.punctuate('wall-clock-time', now);
      if (task.commitRequested) this.#commitSoon = true;
    }
    if (this.#budget.isOver) this.#relieve();
    if (now >= this.#nextCommitMs || this.#commitSoon) await this.#commit();
    if (this.#producer.isFull) await this.#unlessStopped(this.#producer.drained());
    if (this.#producer.failure !== undefined) throw this.#producer.failure;
    if (await this.#assignor.isOutdated(now)) this.#member.requestRejoin(false);
    this.#fetcher.wake();
    if (processed === 0 && !gotSchemas && !this.#member.needsRejoin) {
      await this.#fetcher.waitForData(Math.max(1, Math.min(POLL_MS, this.#nextCommitMs - Date.now())));
    } else await nextTurn();
  }

  /** Each sub-topology gets its share of time: the first must not leave the rest of a pipeline to fall behind. */
  #process(): number {
    let untilMs = 0;
    const turn = {
      shouldYield: () => Date.now() >= untilMs || this.#producer.isFull || this.#commitSoon,
      maxTaskIdleMs: this.#options.maxTaskIdleMs,
      afterRecord: (task: Task) => {
        if (task.commitRequested) this.#commitSoon = true;
        if (this.#budget.isOver) this.#relieve();
      },
    };
    let processed = 0;
    for (const group of this.#groups) {
      untilMs = Date.now() + TURN_MS;
      processed += group.run(turn);
    }
    return processed;
  }

  /** The cache's budget is spent: serialise and drop. Past the bound of uncommitted bytes a commit comes early (KIP-892). */
  #relieve(): void {
    const { tasks } = this;
    relieveCache(tasks, this.#budget);
    const uncommitted = tasks.reduce((sum, task) => sum + task.state.uncommittedBytes, 0);
    if (uncommitted > this.#options.maxUncommittedBytes) this.#commitSoon = true;
  }

  /** @returns whether records that waited can be read now */
  async #fetchSchemas(): Promise<boolean> {
    let any = false;
    for (const { task } of this.#active.values()) {
      for (const queue of task.queues) {
        if (queue.pending === undefined) continue;
        // A registry that is away is waited for as long as it takes; the loop must go on saying so.
        const alive = setInterval(() => this.#member.progress(), 1_000);
        try {
          await Promise.race([queue.pending(), this.#stopped]);
          if (!this.#stop.signal.aborted) queue.fill();
          any = true;
        } finally {
          clearInterval(alive);
        }
      }
    }
    return any;
  }

  /** Flush, await the producer, commit positions, then write the stores' batch with the changelog positions. */
  async #commit(): Promise<void> {
    this.#commitSoon = false;
    this.#nextCommitMs = Date.now() + this.#options.commitIntervalMs;
    const active = [...this.#active.values()];
    if (active.length === 0) return;
    for (const { task } of active) task.flush();
    await this.#unlessStopped(this.#producer.flush());
    const positions = active.flatMap(({ task }) => positionsOf(task));
    try {
      await commitPositions(this.#admin, this.#member, positions, this.#options.logger, this.#stop.signal);
    } catch (error) {
      if (!(error instanceof MemberFencedError)) throw error;
      this.#options.logger.warn({ code: error.code }, error.message);
      this.#member.requestRejoin(true);
      return;
    }
    // The databases write in threads of their own, side by side.
    await allSettled(
      active.map(async ({ task }) => {
        if (!task.dirty && !task.commitRequested) return;
        task.dirty = false;
        task.commitRequested = false;
        await task.state.commit(changelogPositions(task, this.#producer), Date.now());
      }),
    );
    this.#settings.metrics.commits++;
    await this.#purge.run(positions, Date.now());
  }

  /** Before the group rebalances: commit; tasks stay open, since most of them come back. */
  async #revoke(lost: boolean): Promise<void> {
    this.#settings.onState('rebalancing');
    this.#assignor.stopLeading();
    if (lost) await this.#closeTasks([...this.#active.keys()]);
    else await this.#commit();
    // A commit that found the group gone on: what is open now belongs to others.
    if (!lost && this.#member.needsRejoin && this.#wasFenced()) await this.#closeTasks([...this.#active.keys()]);
  }

  #wasFenced(): boolean {
    return [...this.#active.values()].some(({ task }) => task.dirty);
  }

  async #assigned(bytes: Buffer): Promise<void> {
    const { topology, metrics, restoreListener } = this.#settings;
    const partitions = decodeAssignment(bytes);
    await this.#rideOut('looking at the topics', () => this.#assignor.refreshTopics());
    const wanted = new Map<string, { id: TaskId; partitions: TopicPartition[] }>();
    for (const at of partitions) {
      const sub = topology.subTopologies.find((s) => sourceTopics(s, this.#names, [at.topic]).includes(at.topic));
      if (sub === undefined) continue;
      const id = { subTopology: sub.id, partition: at.partition };
      const task = wanted.get(taskName(id));
      if (task === undefined) wanted.set(taskName(id), { id, partitions: [at] });
      else task.partitions.push(at);
    }
    await this.#closeTasks([...this.#active.keys()].filter((name) => !wanted.has(name)));
    const fresh = [...wanted].filter(([name]) => !this.#active.has(name)).map(([, task]) => task);
    const opened: Task[] = [];
    try {
      await allSettled(fresh.map(async ({ id }, index) => (opened[index] = await this.#openTask(id))));
      await restoreTasks(opened, this.#options, this.#admin, metrics, restoreListener, this.#riding('restoring'));
      await this.#startTasks(
        opened,
        fresh.map((task) => task.partitions),
      );
    } catch (error) {
      // Holes: tasks that could not be opened.
      for (const task of opened) if (task !== undefined && !this.#active.has(task.name)) await task.close();
      throw error;
    }
    this.#regroup();
    this.#nextCommitMs = Math.min(
      this.#nextCommitMs || Number.POSITIVE_INFINITY,
      Date.now() + this.#options.commitIntervalMs,
    );
    this.#options.logger.info(
      { tasks: [...this.#active.keys()], generation: this.#member.identity.generationId },
      'tasks assigned',
    );
    this.#settings.onState('running');
  }

  #openTask(id: TaskId): Promise<Task> {
    const { topology, metrics } = this.#settings;
    const { applicationId, stateDir } = this.#options;
    const subTopology = topology.subTopologies[id.subTopology]!;
    const stores = new Map(subTopology.stores.map((store) => [store.name, this.#names.changelog(store)]));
    return Task.open({
      id,
      applicationId,
      subTopology,
      directory: join(stateDir, applicationId, taskName(id)),
      storage: this.#settings.storage,
      collector: this.#collector,
      budget: this.#budget,
      metrics,
      topicName: (topic) => this.#names.topic(topic),
      changelogTopic: (store) => stores.get(store),
      undecodable: (record) => this.#undecodable(record),
      nowMs: Date.now,
      isInternal: (topic) => this.#names.isInternal(topic),
    });
  }

  async #startTasks(tasks: readonly Task[], partitions: readonly (readonly TopicPartition[])[]): Promise<void> {
    const all = partitions.flat();
    const changelogs = tasks.flatMap((task) =>
      [...task.state.stores.values()].flatMap((store) => this.#names.changelog(store.description) ?? []),
    );
    const written = [...new Set([...changelogs, ...this.#assignor.fixedSinks()])];
    await this.#rideOut('looking at the topics to write', () => this.#producer.prepare(written));
    const { positions, commitSoon } = await this.#rideOut('looking up positions', () =>
      this.#startPositions.resolve(all),
    );
    if (commitSoon) this.#commitSoon = true;
    tasks.forEach((task, index) => {
      const buffers: PartitionBuffer[] = [];
      const operatorTimes: number[] = [];
      for (const at of partitions[index]!) {
        const { offset, metadata } = positions.get(partitionKey(at))!;
        const times = decodeCommitMetadata(metadata);
        const buffer = this.#fetcher.add(at, offset);
        buffers.push(buffer);
        const queue = task.addSource(buffer);
        queue.partitionTimeMs = times.partitionTimeMs;
        task.streamTimeMs = Math.max(task.streamTimeMs, times.partitionTimeMs);
        times.operatorTimesMs.forEach((time, i) => {
          operatorTimes[i] = Math.max(operatorTimes[i] ?? -1, time);
        });
      }
      task.initialize(operatorTimes);
      this.#active.set(task.name, { task, buffers });
    });
    this.#fetcher.wake();
  }

  #undecodable(record: UndecodableRecord): HandlerResponse {
    const { deserializationExceptionHandler: handler, deadLetterTopic, logger } = this.#options;
    const response = typeof handler === 'function' ? handler(record) : handler;
    const { topic, partition, offset, error } = record;
    if (response === 'continue') {
      logger.warn({ topic, partition, offset, error: error.message }, 'record cannot be read, dropped');
      if (deadLetterTopic !== undefined) this.#collector.sendDeadLetter(deadLetterTopic, record);
    }
    return response;
  }

  /** Serdes of sinks and changelogs learn what they write with. */
  async #prepareSinks(): Promise<void> {
    for (const sub of this.#settings.topology.subTopologies) {
      for (const sink of sub.sinks) {
        if (typeof sink.topic !== 'string') continue;
        const topic = this.#names.topic(sink.topic);
        await sink.key.prepareWrite?.(topic, 'key');
        await sink.value.prepareWrite?.(topic, 'value');
      }
      for (const store of sub.stores) {
        const topic = this.#names.changelog(store) ?? store.name;
        await store.key.prepareWrite?.(topic, 'key');
        await store.value.prepareWrite?.(topic, 'value');
      }
    }
  }

  #regroup(): void {
    const bySub = new Map<number, Task[]>();
    for (const { task } of this.#active.values()) {
      const list = bySub.get(task.id.subTopology);
      if (list === undefined) bySub.set(task.id.subTopology, [task]);
      else list.push(task);
    }
    const { topology } = this.#settings;
    this.#groups = [...bySub]
      .sort(([a], [b]) => a - b)
      .map(([sub, tasks]) => new TaskGroup(tasks, leadMsOf(topology.subTopologies[sub]!, topology)));
  }

  async #closeTasks(names: readonly string[]): Promise<void> {
    const closing: Task[] = [];
    for (const name of names) {
      const { task, buffers } = this.#active.get(name)!;
      this.#active.delete(name);
      for (const buffer of buffers) this.#fetcher.remove(buffer);
      closing.push(task);
    }
    this.#regroup();
    await allSettled(closing.map((task) => task.close()));
  }

  async #closeCleanly(): Promise<void> {
    if (!this.#member.needsRejoin) await this.#commit();
    await this.#closeTasks([...this.#active.keys()]);
    await this.#closeClients();
  }

  #unlessStopped(waiting: Promise<void>): Promise<void> {
    return unlessStopped('writing', waiting, this.#stop.signal, CLOSE_MS);
  }

  #rideOut<T>(what: string, step: () => Promise<T>): Promise<T> {
    return rideOut(step, this.#riding(what));
  }

  #riding(what: string): RideOutOptions {
    return { what, logger: this.#options.logger, signal: this.#stop.signal, alive: () => this.#member.progress() };
  }

  async #closeDirty(): Promise<void> {
    await this.#closeTasks([...this.#active.keys()]).catch(() => undefined);
    await this.#closeClients();
  }

  async #closeClients(): Promise<void> {
    await this.#member.close().catch(() => undefined);
    await Promise.all(
      [this.#fetcher.close(), this.#producer.close(), this.#admin.close()].map((closing) =>
        Promise.race([closing.catch(() => undefined), delay(3_000)]),
      ),
    );
  }

  #cluster(): KafkaCluster {
    const { kafka, logger, applicationId } = this.#options;
    return new KafkaCluster({ kafka: { clientId: applicationId, ...kafka }, logger });
  }
}

/** Waits for all, then throws the first failure: nothing is left running behind the caller's back. */
async function allSettled(steps: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(steps)) if (result.status === 'rejected') throw result.reason;
}

function timeouts({ sessionTimeoutMs, heartbeatIntervalMs, maxPollIntervalMs }: ResolvedOptions) {
  return { sessionTimeoutMs, heartbeatIntervalMs, maxPollIntervalMs };
}
