/**
 * A topology in memory, without a broker. Mirrors `TopologyTestDriver`: every record is processed and committed at once,
 * repartition topics loop back, all topics have one partition, wall-clock time stands still until it is advanced.
 */
import { viewOf } from '../byte-views.ts';
import { partitionKey } from '../kafka/index.ts';
import { silentLogger } from '../logger.ts';
import { TopicNames } from '../runtime/assignment/internal-topics.ts';
import { Bell } from '../runtime/bell.ts';
import { loadExternalPositions } from '../runtime/external-positions.ts';
import { Metrics, type MetricsSnapshot } from '../runtime/metrics.ts';
import type { HandlerResponse, UndecodableRecord } from '../runtime/options.ts';
import { undecodable } from '../runtime/task/deserialization.ts';
import { RecordCollector } from '../runtime/task/record-collector.ts';
import type { RawRecord, RecordSource } from '../runtime/task/record-queue.ts';
import type { Task } from '../runtime/task/task.ts';
import { TaskManager, type TaskRestorer, type TaskSources } from '../runtime/task-manager.ts';
import { relieveCache } from '../runtime/task-scheduler.ts';
import type { Serde } from '../serdes/index.ts';
import { CacheBudget, type KeyValueStore, type WindowStore } from '../state/index.ts';
import type { Topology } from '../topology/index.ts';
import { TestDriverError } from './errors.ts';
import { type ProducedRecord, TestInputTopic, TestOutputTopic } from './test-topics.ts';

export interface TopologyTestDriverOptions {
  /** Default `test`. */
  readonly applicationId?: string;
  /** Where wall-clock time begins, ms since the epoch. Default: now. */
  readonly initialWallClockMs?: number;
  /** False: records are processed without a commit after each; `commit()` flushes caches. Default true. */
  readonly commitEachRecord?: boolean;
  /** Folder for LevelDB; default: all state in memory. */
  readonly stateDir?: string;
  /** Default 10 MiB; 0: no store caches. */
  readonly cacheMaxBytes?: number;
  readonly deserializationExceptionHandler?: HandlerResponse | ((record: UndecodableRecord) => HandlerResponse);
  readonly deadLetterTopic?: string;
}

/** ms between two looks at asynchronous work, which rings. */
const LOOK_MS = 1_000;

class MemorySource implements RecordSource {
  readonly topic: string;
  readonly partition = 0;
  readonly expectsMore = false;
  position: number;
  readonly #records: RawRecord[] = [];

  constructor(topic: string, position: number) {
    this.topic = topic;
    this.position = position;
  }

  push({ key, value, timestamp, headers }: ProducedRecord, offset: number): void {
    const buffer = Buffer.concat([key ?? Buffer.alloc(0), value ?? Buffer.alloc(0)]);
    this.#records.push({
      buffer,
      view: viewOf(buffer),
      offset,
      timestamp,
      keyStart: 0,
      keyLength: key?.length ?? -1,
      valueStart: key?.length ?? 0,
      valueLength: value?.length ?? -1,
      headerCount: headers.length,
      headers: () => headers,
    });
  }

  next(): RawRecord | undefined {
    const record = this.#records.shift();
    if (record !== undefined) this.position = record.offset + 1;
    return record;
  }
}

/** Stores are as they are: there is no changelog to read. */
class NothingToRestore implements TaskRestorer {
  #restored: Task[] = [];

  add(task: Task): void {
    task.state.restored();
    this.#restored.push(task);
  }

  async remove(): Promise<void> {}

  step(): readonly Task[] {
    return this.#restored.splice(0);
  }
}

export class TopologyTestDriver {
  readonly #options: TopologyTestDriverOptions;
  readonly #names: TopicNames;
  readonly #manager: TaskManager;
  readonly #collector: RecordCollector;
  readonly #metrics = new Metrics();
  readonly #budget: CacheBudget;
  readonly #sources = new Map<string, MemorySource>();
  readonly #produced: ProducedRecord[] = [];
  readonly #unread = new Map<string, ProducedRecord[]>();
  readonly #offsets = new Map<string, number>();
  readonly #bell = new Bell();
  #wallClockMs: number;

  private constructor(topology: Topology, options: TopologyTestDriverOptions) {
    this.#options = options;
    this.#names = new TopicNames(options.applicationId ?? 'test', topology);
    this.#budget = new CacheBudget(options.cacheMaxBytes ?? 10 * 1024 * 1024);
    this.#wallClockMs = options.initialWallClockMs ?? Date.now();
    this.#collector = new RecordCollector({
      send: (topic, _partition, timestamp, keys, keyStart, keyLength, values, valueStart, valueLength, headers) => {
        const key = copyOf(keys, keyStart, keyLength);
        this.#write({ topic, key, value: copyOf(values, valueStart, valueLength), timestamp, headers });
      },
      partitionCount: () => 1,
    });
    const { deserializationExceptionHandler: handler = 'fail', deadLetterTopic } = options;
    this.#manager = new TaskManager({
      topology,
      names: this.#names,
      directory: options.stateDir,
      collector: this.#collector,
      budget: this.#budget,
      metrics: this.#metrics,
      restorer: new NothingToRestore(),
      sources: this.#memorySources(topology),
      undecodable: (record, policy) =>
        undecodable(record, policy, { handler, deadLetterTopic, logger: silentLogger }, this.#collector),
      nowMs: () => this.#wallClockMs,
      asynchrony: {
        logger: silentLogger,
        commitsAtomically: false,
        deadLetterTopic,
        monotonicMs: () => this.#wallClockMs,
        // Tries follow each other at once: a test need not wait for a backoff.
        delay: async () => {},
        ring: () => this.#bell.ring(),
        written: async () => {},
      },
    });
  }

  /** Opens stores and starts processors. */
  static async create(written: Topology, options: TopologyTestDriverOptions = {}): Promise<TopologyTestDriver> {
    const topology = options.cacheMaxBytes === 0 ? written.withoutCaching() : written;
    const driver = new TopologyTestDriver(topology, options);
    const manager = driver.#manager;
    await manager.prepareSerdes();
    await manager.assign(
      topology.subTopologies.map(({ id }) => ({ id: { subTopology: id, partition: 0 }, partitions: [] })),
    );
    manager.advance();
    await manager.started();
    manager.advance();
    return driver;
  }

  get #tasks(): readonly Task[] {
    return this.#manager.running;
  }

  /** Each task reads the topics that it names; those of a pattern are connected as they come. */
  #memorySources(topology: Topology): TaskSources {
    const topicsOf = (subTopology: number): string[] =>
      topology.subTopologies[subTopology]!.sources.flatMap(({ topics }) =>
        topics instanceof RegExp ? [] : topics.map((topic) => this.#names.topic(topic)),
      );
    return {
      prepare: async (tasks, signal) => {
        const assignments = tasks.map(({ id }) => ({
          id,
          partitions: topicsOf(id.subTopology).map((topic) => ({ topic, partition: 0 })),
        }));
        const { applicationId } = this.#names;
        const remembered = await loadExternalPositions(assignments, topology, {
          applicationId,
          logger: silentLogger,
          signal,
        });
        return (task) => {
          for (const topic of topicsOf(task.id.subTopology)) {
            const offset = remembered.get(partitionKey({ topic, partition: 0 }));
            if (offset !== undefined) this.#offsets.set(topic, offset);
            this.#connect(task, topic);
          }
          return { operatorTimes: [], remembered };
        };
      },
      close: () => {},
    };
  }

  /** A topic to write to, with the serdes that the writer uses. */
  inputTopic<K, V>(topic: string, key: Serde<K>, value: Serde<V>): TestInputTopic<K, V> {
    return new TestInputTopic((record) => this.pipe(record), topic, key, value);
  }

  /** A topic to read, from the first record not read yet. */
  outputTopic<K, V>(topic: string, key: Serde<K>, value: Serde<V>): TestOutputTopic<K, V> {
    return new TestOutputTopic(() => this.#unread.get(topic) ?? [], topic, key, value);
  }

  /** Writes a record as bytes and processes it. */
  async pipe(record: ProducedRecord): Promise<void> {
    this.#deliver(record);
    await this.#processAll();
  }

  /** Moves wall-clock time on; punctuators that become due are called. */
  async advanceWallClockTime(ms: number): Promise<void> {
    this.#wallClockMs += ms;
    for (const task of this.#tasks) await task.punctuate('wall-clock-time', this.#wallClockMs);
    await this.#processAll();
    if (this.#options.commitEachRecord !== false) await this.#commitAll(false);
  }

  /** Flushes caches, ends batches and commits the stores; what flows out of the caches is processed. */
  async commit(): Promise<void> {
    await this.#commitAll(true);
  }

  keyValueStore<K, V>(
    name: string,
  ): KeyValueStore<K, V> & { getWithTimestamp(key: K): { value: V; timestamp: number } | null } {
    return this.#store(name) as unknown as KeyValueStore<K, V> & {
      getWithTimestamp(key: K): { value: V; timestamp: number } | null;
    };
  }

  windowStore<K, V>(
    name: string,
  ): WindowStore<K, V> & { getWithTimestamp(key: K, windowStartMs: number): { value: V; timestamp: number } | null } {
    return this.#store(name) as unknown as WindowStore<K, V> & {
      getWithTimestamp(key: K, windowStartMs: number): { value: V; timestamp: number } | null;
    };
  }

  /** Every record written so far to any topic, repartition and changelog topics among them. */
  get produced(): readonly ProducedRecord[] {
    return this.#produced;
  }

  metrics(): MetricsSnapshot {
    return this.#metrics.snapshot();
  }

  async close(): Promise<void> {
    await this.#manager.close();
  }

  async #commitAll(endsBatches: boolean): Promise<void> {
    for (const task of this.#tasks) task.flush();
    await this.#processAll(false);
    if (endsBatches) {
      for (const task of this.#tasks) if (!task.isCommittable) task.endBatch();
      await this.#processAll(false);
    }
    for (const task of this.#tasks) await this.#commitState(task);
  }

  async #processAll(commits = this.#options.commitEachRecord !== false): Promise<void> {
    for (let busy = true; busy; ) {
      busy = false;
      for (const task of this.#tasks) {
        while (task.isReady(false) || (await resolvePending(task))) {
          busy = true;
          task.process();
          await task.punctuate('stream-time', task.streamTimeMs);
          if (commits) await this.#commitTask(task);
          else if (this.#budget.isOver) relieveCache(this.#tasks, this.#budget);
        }
        if (task.isBatchDue(this.#wallClockMs)) task.endBatch();
        if (await this.#afterAsynchronousWork(task)) {
          busy = true;
          if (commits) await this.#commitTask(task);
        }
      }
    }
  }

  /** Waits for what goes on beside the record path, and hands it on. @returns true where there was something */
  async #afterAsynchronousWork(task: Task): Promise<boolean> {
    let isAny = false;
    for (let delivered = task.deliver(); delivered > 0 || task.work?.isBusy === true; delivered = task.deliver()) {
      isAny = true;
      if (delivered === 0) await this.#bell.wait(LOOK_MS);
    }
    if (task.work?.isHandled !== true) return isAny;
    task.committed();
    return true;
  }

  async #commitTask(task: Task): Promise<void> {
    task.flush();
    await this.#commitState(task);
    if (task.isCommittable) task.committed();
  }

  /** What comes next reads state back from its bytes: what would break after an eviction breaks in the test. */
  async #commitState(task: Task): Promise<void> {
    await task.state.commit(new Map(), this.#wallClockMs);
    task.state.dropLive();
  }

  #connect(task: Task, topic: string): void {
    const source = new MemorySource(topic, this.#offsets.get(topic) ?? 0);
    this.#sources.set(topic, source);
    task.addSource(source);
  }

  #write(record: ProducedRecord): void {
    this.#produced.push(record);
    const unread = this.#unread.get(record.topic);
    if (unread === undefined) this.#unread.set(record.topic, [record]);
    else unread.push(record);
    if (this.#sources.has(record.topic)) this.#deliver(record);
  }

  #deliver(record: ProducedRecord): void {
    const { topic } = record;
    if (!this.#sources.has(topic)) {
      const task = this.#tasks.find(({ options }) =>
        options.subTopology.sources.some(({ topics }) => topics instanceof RegExp && topics.test(topic)),
      );
      if (task === undefined) {
        throw new TestDriverError('MILLRACE_TESTING_UNKNOWN_TOPIC', `No source of the topology reads topic ${topic}.`, {
          context: { topic },
        });
      }
      this.#connect(task, topic);
    }
    const offset = this.#offsets.get(topic) ?? 0;
    this.#offsets.set(topic, offset + 1);
    this.#sources.get(topic)!.push(record, offset);
  }

  #store(name: string) {
    for (const task of this.#tasks) {
      const store = task.facade(name);
      if (store !== undefined) return store;
    }
    throw new TestDriverError('MILLRACE_TESTING_UNKNOWN_STORE', `The topology has no store named ${name}.`, {
      context: { store: name },
    });
  }
}

function copyOf(bytes: Uint8Array, start: number, length: number): Buffer | null {
  return length < 0 ? null : Buffer.from(bytes.subarray(start, start + length));
}

/** Fetches schemas that heads wait for; true where a record may be ready now. */
async function resolvePending(task: Task): Promise<boolean> {
  let resolved = false;
  for (const queue of task.queues) {
    if (!queue.isPending) continue;
    await queue.resolvePending();
    queue.fill();
    resolved = true;
  }
  return resolved && task.isReady(false);
}
