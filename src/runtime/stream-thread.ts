/**
 * The stream thread: a member of the group that fetches, runs its tasks and commits. One loop; everything between a
 * fetch and the producer is synchronous, promises are awaited a few times a commit. The thread keeps the turn; what tasks
 * there are is the task manager's, what a commit is the committer's. Mirrors `StreamThread`.
 */
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { abortController, atMost, delay, settlesBefore } from '../backoff.ts';
import { MillraceError } from '../errors.ts';
import { decodeAssignment, Fetcher, type Generation, GroupMember, KafkaCluster, Producer } from '../kafka/index.ts';
import { monotonicMs } from '../monotonic.ts';
import { SchemaPendingError } from '../serdes/index.ts';
import { CacheBudget, type StateStorage } from '../state/index.ts';
import { BatchFencedError, type Topology } from '../topology/index.ts';
import { TopicNames } from './assignment/internal-topics.ts';
import { StartPositions } from './assignment/start-positions.ts';
import { TaskAssignor } from './assignment/task-assignor.ts';
import { AsynchronousTurns } from './asynchronous-turns.ts';
import { Bell } from './bell.ts';
import { Committer } from './commit/committer.ts';
import { changelogPositions, positionsOf } from './commit/positions.ts';
import { RepartitionPurge } from './commit/repartition-purge.ts';
import { Fences } from './fences.ts';
import { FetchedSources } from './fetched-sources.ts';
import type { Metrics } from './metrics.ts';
import type { ResolvedOptions } from './options.ts';
import { ChangelogReader, type RestoreListener } from './restore/changelog-reader.ts';
import { interrupted } from './retry.ts';
import { undecodable } from './task/deserialization.ts';
import { RecordCollector } from './task/record-collector.ts';
import type { Task } from './task/task.ts';
import { TaskManager } from './task-manager.ts';
import { relieveCache } from './task-scheduler.ts';

const PROTOCOL = 'millrace';
/** ms of processing for each sub-topology before I/O gets its turn. */
const TURN_MS = 5;
/** ms to wait for data where nothing can be processed (poll.ms). */
const POLL_MS = 100;
/** ms that closing waits for records to be written and positions to be committed. */
const CLOSE_MS = 10_000;
/** ms that closing waits for a client's connections. */
const CLOSE_CLIENT_MS = 3_000;

export interface StreamThreadOptions {
  readonly topology: Topology;
  readonly options: ResolvedOptions;
  readonly storage: StateStorage;
  readonly metrics: Metrics;
  readonly processId: string;
  readonly restoreListener: RestoreListener | undefined;
  onState(state: 'rebalancing' | 'running'): void;
}

export class StreamThread {
  readonly #options: ResolvedOptions;
  readonly #settings: StreamThreadOptions;
  readonly #assignor: TaskAssignor;
  readonly #purge: RepartitionPurge;
  readonly #budget: CacheBudget;
  readonly #admin: KafkaCluster;
  readonly #producer: Producer;
  readonly #collector: RecordCollector;
  readonly #fetcher: Fetcher;
  readonly #sources: FetchedSources;
  readonly #restorer: ChangelogReader;
  readonly #tasks: TaskManager;
  readonly #asynchronous: AsynchronousTurns;
  readonly #fences: Fences;
  readonly #committer: Committer;
  readonly #member: GroupMember;
  readonly #bell = new Bell();
  /** Aborts when the thread is to end. */
  readonly #stop = abortController();
  /** Aborts when an ending thread has waited long enough for what it would like to finish. */
  readonly #giveUp = abortController();
  #giveUpTimer: NodeJS.Timeout | undefined;
  #generation: Generation | undefined;
  #isRunning = false;
  #nextCommitMs = 0;
  #commitSoon = false;

  constructor(settings: StreamThreadOptions) {
    this.#settings = settings;
    const { options, topology, metrics } = settings;
    this.#options = options;
    const names = new TopicNames(options.applicationId, topology);
    this.#budget = new CacheBudget(options.cacheMaxBytes);
    // A parked request of one role must not hold another up: a cluster each. Purging, too, goes on beside commits.
    this.#admin = this.#cluster();
    this.#purge = new RepartitionPurge(topology, names, options, this.#cluster());
    const { signal } = this.#stop;
    this.#assignor = new TaskAssignor(topology, names, options, this.#admin, settings.processId, signal);
    const { lingerMs, compression, deliveryTimeoutMs, metadataMaxAgeMs } = options;
    this.#producer = new Producer(this.#cluster(), { lingerMs, compression, deliveryTimeoutMs, metadataMaxAgeMs });
    this.#collector = new RecordCollector(this.#producer);
    const startPositions = new StartPositions(topology, names, options, this.#admin);
    const commitSoon = (): void => {
      this.#commitSoon = true;
    };
    this.#fetcher = new Fetcher(this.#cluster(), {
      resetPolicy: (topic) => startPositions.resetPolicy(topic),
      onReset: (_at, _offset, policy) => {
        if (policy === 'latest') commitSoon();
      },
      onTruncated: (at, _position, offset) => this.#sources.truncated(at, offset),
      onData: () => this.#bell.ring(),
      metadataMaxAgeMs,
    });
    this.#sources = new FetchedSources({
      topology,
      names,
      options,
      fetcher: this.#fetcher,
      producer: this.#producer,
      startPositions,
      onLatest: commitSoon,
    });
    this.#restorer = new ChangelogReader({
      options,
      admin: this.#admin,
      metrics,
      listener: settings.restoreListener,
      onProgress: () => this.#bell.ring(),
    });
    const { deserializationExceptionHandler: handler } = options;
    this.#tasks = new TaskManager({
      topology,
      names,
      directory: join(options.stateDir, options.applicationId),
      storage: settings.storage,
      collector: this.#collector,
      budget: this.#budget,
      metrics,
      restorer: this.#restorer,
      sources: this.#sources,
      undecodable: (record, policy) => undecodable(record, policy, { ...options, handler }, this.#collector),
      onWiped: (task, store, logged) =>
        options.logger.warn(
          { task, store },
          logged
            ? 'local state of another shape, rebuilding it from its changelog'
            : 'local state of another shape was deleted; the store is not logged, it is empty now',
        ),
      onProgress: () => this.#bell.ring(),
      nowMs: Date.now,
      asynchrony: {
        logger: options.logger,
        commitsAtomically: false,
        deadLetterTopic: options.deadLetterTopic,
        monotonicMs,
        delay,
        ring: () => this.#bell.ring(),
        written: () => this.#producer.flush(),
      },
    });
    this.#fences = new Fences(options.taskTimeoutMs);
    this.#asynchronous = new AsynchronousTurns({
      tasks: () => this.#tasks.running,
      drainTimeoutMs: options.drainTimeoutMs,
      wait: (ms) => this.#bell.wait(ms),
      alive: () => this.#member.progress(),
    });
    this.#committer = new Committer({
      cluster: this.#admin,
      logger: options.logger,
      signal: this.#giveUp.signal,
      taskTimeoutMs: options.taskTimeoutMs,
      finish: () => this.#producer.flush(),
      changelogPositions: (task) => changelogPositions(task, this.#producer),
      onGone: () => this.#member.requestRejoin(),
      alive: () => this.#member.progress(),
    });
    const { sessionTimeoutMs, heartbeatIntervalMs, maxPollIntervalMs } = options;
    this.#member = new GroupMember(
      this.#cluster(),
      {
        groupId: options.applicationId,
        protocolName: PROTOCOL,
        sessionTimeoutMs,
        heartbeatIntervalMs,
        maxPollIntervalMs,
      },
      {
        subscription: () => this.#assignor.subscription(this.#tasks.names),
        assign: (members) => this.#assignor.assign(members),
        onRevoked: (lost) => this.#revoked(lost),
        onAssigned: (assignment, generation) => this.#assigned(assignment, generation),
      },
      this.#admin,
    );
  }

  /** The tasks that run. */
  get tasks(): readonly Task[] {
    return this.#tasks.running;
  }

  /** Reaches the cluster and checks the topics that are not the application's own. */
  async start(): Promise<void> {
    await this.#admin.connect(this.#options.startTimeoutMs);
    await this.#assignor.checkTopics();
    await this.#producer.start();
    await this.#tasks.prepareSerdes(this.#stop.signal);
    await this.#fetcher.start();
  }

  /** Runs until `shutdown`; rejects with what it cannot wait out. Closes everything in both cases. */
  async run(): Promise<void> {
    try {
      while (!this.#stop.signal.aborted) await this.#turn().catch((error: unknown) => this.#beginAnew(error));
      await this.#closeCleanly();
    } catch (error) {
      await this.#closeDirty();
      if (!this.#stop.signal.aborted || !(error instanceof MillraceError) || !error.retriable) throw error;
      this.#options.logger.warn({ code: error.code }, error.message);
    } finally {
      clearTimeout(this.#giveUpTimer);
    }
  }

  /** Lets `run` commit, close, leave the group and end. */
  shutdown(): void {
    if (this.#stop.signal.aborted) return;
    this.#giveUpTimer = setTimeout(() => this.#giveUp.abort(), CLOSE_MS);
    this.#stop.abort();
    this.#member.interrupt();
    this.#bell.ring();
  }

  /** Closes a thread that never ran. */
  async abandon(): Promise<void> {
    this.#stop.abort();
    this.#giveUp.abort();
    await this.#closeDirty();
  }

  async #turn(): Promise<void> {
    await this.#member.poll();
    if (this.#stop.signal.aborted) return;
    this.#advanceTasks();
    const now = monotonicMs();
    const processed = this.#asynchronous.deliver() + this.#process();
    this.#fetchSchemas();
    await this.#punctuate(Date.now());
    if (this.#budget.isOver) this.#relieve();
    this.#asynchronous.endBatches(monotonicMs());
    if (now >= this.#nextCommitMs || this.#commitSoon) await this.#commit();
    else await this.#commitTasks(this.#asynchronous.handled());
    if (this.#producer.isFull) await this.#untilDrained();
    if (this.#producer.failure !== undefined) throw this.#producer.failure;
    if (this.#fetcher.failure !== undefined) throw this.#fetcher.failure;
    if (this.#assignor.isOutdated(now)) this.#member.requestRejoin();
    this.#fetcher.wake();
    if (processed === 0 && !this.#member.needsRejoin && !this.#restorer.hasWork) {
      await this.#bell.wait(Math.max(1, Math.min(POLL_MS, this.#nextCommitMs - monotonicMs())));
    } else await nextTurn();
  }

  /** Restoring goes on, what is restored starts; once all run, the application does. */
  #advanceTasks(): void {
    this.#tasks.advance();
    if (this.#isRunning || !this.#tasks.isSettled) return;
    this.#isRunning = true;
    this.#options.logger.info({ tasks: this.#tasks.names }, 'all tasks run');
    this.#settings.onState('running');
  }

  /** Each sub-topology gets its share of time: the first must not leave the rest of a pipeline to fall behind. */
  #process(): number {
    let untilMs = 0;
    const turn = {
      shouldYield: () =>
        monotonicMs() >= untilMs || this.#producer.isFull || this.#commitSoon || this.#member.needsRejoin,
      maxTaskIdleMs: this.#options.maxTaskIdleMs,
      afterRecord: (task: Task) => {
        if (task.commitRequested && task.isCommittable) this.#commitSoon = true;
        if (this.#budget.isOver) this.#relieve();
      },
    };
    let processed = 0;
    for (const group of this.#tasks.groups) {
      untilMs = monotonicMs() + TURN_MS;
      processed += group.run(turn);
    }
    return processed;
  }

  async #punctuate(nowMs: number): Promise<void> {
    for (const task of this.#tasks.running) {
      // Nothing may come between the end of a batch and its commit.
      if (task.work?.isFrozen === true) continue;
      if (task.isPunctuationDue('stream-time', task.streamTimeMs))
        await this.#unlessGivenUp('punctuating', task.punctuate('stream-time', task.streamTimeMs));
      if (task.isPunctuationDue('wall-clock-time', nowMs))
        await this.#unlessGivenUp('punctuating', task.punctuate('wall-clock-time', nowMs));
      if (task.commitRequested && task.isCommittable) this.#commitSoon = true;
    }
  }

  /** The cache's budget is spent: serialise and drop. Past the bound of uncommitted bytes a commit comes early (KIP-892). */
  #relieve(): void {
    const { running } = this.#tasks;
    relieveCache(running, this.#budget);
    const uncommitted = running.reduce((sum, task) => sum + task.state.uncommittedBytes, 0);
    if (uncommitted <= this.#options.maxUncommittedBytes) return;
    this.#commitSoon = true;
    // Those in the middle of a batch end it.
    for (const task of running) if (!task.isCommittable) task.commitRequested = true;
  }

  /** Schemas that records wait for are fetched beside the turn: a registry that is away must not hold up the group. */
  #fetchSchemas(): void {
    for (const task of this.#tasks.running) {
      for (const queue of task.queues) {
        if (queue.isPending) void queue.resolvePending(this.#stop.signal)?.then(() => this.#bell.ring());
      }
    }
  }

  /**
   * What is mended by dropping the tasks, as after a crash, and going on from what was committed: a store holds values of a
   * schema that was not read yet, and a record in the middle of its processing cannot wait; or a batch begins elsewhere than
   * its target system remembers.
   */
  async #beginAnew(error: unknown): Promise<void> {
    const { logger } = this.#options;
    if (error instanceof SchemaPendingError) {
      logger.info({ code: error.code }, 'a store has values of a schema not seen before, fetching it');
      this.#member.lose();
      await settlesBefore(error.resolve(this.#stop.signal), this.#stop.signal);
    } else if (error instanceof BatchFencedError) {
      this.#fences.met(error, monotonicMs());
      logger.warn({ code: error.code }, error.message);
      this.#member.lose();
      await this.#fences.wait(this.#stop.signal);
    } else throw error;
  }

  async #untilDrained(): Promise<void> {
    const generation = this.#generation;
    if (generation === undefined) return;
    const drained = await settlesBefore(this.#producer.drained(), generation.lost, this.#giveUp.signal);
    if (!drained && !generation.lost.aborted) throw interrupted('writing');
  }

  #commit(): Promise<void> {
    this.#commitSoon = false;
    this.#nextCommitMs = monotonicMs() + this.#options.commitIntervalMs;
    return this.#commitTasks(this.#tasks.running.filter((task) => task.isCommittable));
  }

  /** @throws what a commit cannot wait out; a member that was fenced loses its tasks with the next turn */
  async #commitTasks(tasks: readonly Task[]): Promise<void> {
    if (tasks.length === 0 || this.#generation === undefined) return;
    this.#member.checkSession();
    if ((await this.#committer.commit(tasks, this.#generation)) === 'fenced') {
      this.#member.lose();
      return;
    }
    this.#settings.metrics.commits++;
    // One that began a batch while it was flushed was left out.
    this.#purge.run(tasks.filter((task) => task.isCommittable).flatMap(positionsOf), monotonicMs());
  }

  /** Before the group rebalances: commit; tasks stay open, since most of them come back. Lost ones are dropped as they are. */
  async #revoked(lost: boolean): Promise<void> {
    this.#isRunning = false;
    this.#settings.onState('rebalancing');
    this.#assignor.stopLeading();
    if (!lost) return this.#handBack();
    this.#generation = undefined;
    // Others may have the tasks: what was not acknowledged must not come after what they write.
    this.#producer.discard();
    await this.#tasks.close();
  }

  async #assigned(bytes: Buffer, generation: Generation): Promise<void> {
    this.#generation = generation;
    this.#committer.forgetGone();
    const tasks = this.#tasks.tasksOf(decodeAssignment(bytes));
    await this.#tasks.assign(tasks);
    this.#asynchronous.hold(false);
    this.#nextCommitMs = Math.min(
      this.#nextCommitMs || Number.POSITIVE_INFINITY,
      monotonicMs() + this.#options.commitIntervalMs,
    );
    this.#options.logger.info({ tasks: this.#tasks.names, generation: generation.generationId }, 'tasks assigned');
  }

  /** What user code waits for may never come: a thread that ends does not wait for it for ever. */
  async #unlessGivenUp(what: string, waiting: Promise<void>): Promise<void> {
    if (!(await settlesBefore(waiting, this.#giveUp.signal))) throw interrupted(what);
  }

  /** What is under way is finished, within its bound, and committed: the tasks may be another's next. */
  async #handBack(): Promise<void> {
    const generation = this.#generation;
    if (generation === undefined) return;
    const ends = [generation.lost, this.#giveUp.signal];
    await this.#asynchronous.drain(...ends);
    if (generation.lost.aborted) return;
    await this.#commit();
    // Who has them next shall not call again for what is done: that went out behind what the commit waited for.
    if (this.#asynchronous.isAny) await settlesBefore(this.#producer.flush(), ...ends);
  }

  async #closeCleanly(): Promise<void> {
    await this.#handBack();
    // Others may have the tasks: as when they are lost on the way.
    if (this.#generation?.lost.aborted === true) this.#producer.discard();
    await this.#tasks.close();
    await this.#closeClients();
  }

  async #closeDirty(): Promise<void> {
    this.#producer.discard();
    await this.#tasks.close().catch(() => undefined);
    await this.#closeClients();
  }

  async #closeClients(): Promise<void> {
    await this.#member.close().catch(() => undefined);
    const clients = [this.#restorer, this.#fetcher, this.#producer, this.#purge, this.#admin];
    await Promise.all(clients.map((client) => atMost(CLOSE_CLIENT_MS, client.close())));
  }

  #cluster(): KafkaCluster {
    const { kafka, logger, applicationId } = this.#options;
    return new KafkaCluster({ kafka: { clientId: applicationId, ...kafka }, logger });
  }
}
