/**
 * A task: one sub-topology at work on one partition number. Takes records from its queues, the lowest timestamp first,
 * and runs them through its own instances of the processors, synchronously. Mirrors `StreamTask`.
 */
import { abortController } from '../../backoff.ts';
import type { MillraceError } from '../../errors.ts';
import {
  type CacheBudget,
  KeyValueFacade,
  type LiveStore,
  type StateStorage,
  TaskState,
  WindowFacade,
  type WriteContext,
} from '../../state/index.ts';
import {
  type AnyProcessor,
  type AsynchronousEnvironment,
  type AsynchronousOperator,
  type ErrorPolicy,
  keepContext,
  type OperatorTime,
  type ProcessingContext,
  type ProcessorNode,
  type PunctuationType,
  type RecordBytes,
  type SinkNode,
  type StreamRecord,
  type SubTopology,
  type TopologyNode,
} from '../../topology/index.ts';
import { StreamsError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import type { HandlerResponse, UndecodableRecord } from '../options.ts';
import { AsynchronousWork } from './asynchronous-work.ts';
import { bytesOf, deadLetterTopicOf, guarded } from './dead-letters.ts';
import { NodeContext, type RuntimeNode } from './node-context.ts';
import { Punctuations } from './punctuation.ts';
import type { RecordCollector } from './record-collector.ts';
import { RecordQueue, type RecordSource } from './record-queue.ts';
import { processingFailed, stepFailed } from './task-errors.ts';

export interface TaskId {
  readonly subTopology: number;
  readonly partition: number;
}

export function taskName({ subTopology, partition }: TaskId): string {
  return `${subTopology}_${partition}`;
}

export interface TaskOptions {
  readonly id: TaskId;
  readonly applicationId: string;
  readonly subTopology: SubTopology;
  /** The task's folder; undefined keeps its state in memory. */
  readonly directory: string | undefined;
  /** Where the folder is. Default: LevelDB. */
  readonly storage?: StateStorage;
  readonly collector: RecordCollector;
  readonly budget: CacheBudget;
  readonly metrics: Metrics;
  /** Topic names as the cluster has them: repartition topics with the application id before them. */
  topicName(undecorated: string): string;
  changelogTopic(store: string): string | undefined;
  /** @param policy the source's own */
  undecodable(record: UndecodableRecord, policy: ErrorPolicy | undefined): HandlerResponse;
  /** A store's bytes did not fit it any more and were deleted; not logged, it is empty now. */
  onWiped?(store: string, logged: boolean): void;
  nowMs(): number;
  readonly asynchrony: Asynchrony;
}

/** What work beside the record path needs of whoever runs the tasks. */
export type Asynchrony = Omit<AsynchronousEnvironment, 'signal'>;

const NO_CONTEXT: ProcessingContext = { topic: null, partition: -1, offset: -1, timestamp: -1, headers: [] };

export class Task {
  readonly id: TaskId;
  readonly name: string;
  readonly queues: RecordQueue[] = [];
  readonly punctuations = new Punctuations();
  /** Highest timestamp processed; −1 before the first. */
  streamTimeMs = -1;
  commitRequested = false;
  /** Something was processed since the last commit. */
  dirty = false;
  /** When a commit last wrote to its database, by the monotonic clock, ms. */
  writtenAtMs = Number.NEGATIVE_INFINITY;
  /** Head timestamp of the queue that is next; Infinity where no queue has a head. */
  headTimestamp = Number.POSITIVE_INFINITY;
  context: ProcessingContext = NO_CONTEXT;
  /** The node entered last, for error messages. */
  currentNode = '';
  readonly operatorTimes: OperatorTime[] = [];
  readonly options: TaskOptions;
  /** Undefined: nothing goes on beside the record path. */
  work: AsynchronousWork | undefined;
  /** Aborts when the task is closed. */
  readonly #closed = abortController();
  readonly #nodes = new Map<string, RuntimeNode>();
  readonly #processors: { readonly node: string; readonly processor: AnyProcessor }[] = [];
  readonly #facades = new Map<string, KeyValueFacade<unknown, unknown> | WindowFacade<unknown, unknown>>();
  #state!: TaskState<ProcessingContext>;
  #next: RecordQueue | undefined;
  #current: RecordQueue | undefined;

  private constructor(options: TaskOptions) {
    this.id = options.id;
    this.name = taskName(options.id);
    this.options = options;
  }

  /** Opens the task's state; processors are started by `initialize`, after the state is restored. */
  static async open(options: TaskOptions): Promise<Task> {
    const task = new Task(options);
    const { collector, budget, changelogTopic, id } = options;
    task.#state = await TaskState.open<ProcessingContext>({
      directory: options.directory,
      ...(options.storage === undefined ? {} : { storage: options.storage }),
      stores: options.subTopology.stores,
      budget,
      changelogTopic,
      changelog: {
        log(store, key, keyStart, keyEnd, value, valueStart, valueLength, timestamp) {
          collector.sendChangelog(
            changelogTopic(store)!,
            id.partition,
            Math.max(timestamp, 0),
            key,
            keyStart,
            keyEnd,
            value,
            valueStart,
            valueLength,
          );
        },
      },
      context: () => task.context,
      keepContext,
      node: () => task.currentNode,
      onExpired: () => options.metrics.drop('expired'),
      onWiped: (store, logged) => options.onWiped?.(store, logged),
    });
    return task;
  }

  get state(): TaskState<ProcessingContext> {
    return this.#state;
  }

  /** Connects an input partition. */
  addSource(source: RecordSource): RecordQueue {
    const { subTopology, topicName, metrics, undecodable } = this.options;
    const node = subTopology.sources.find(({ topics }) =>
      topics instanceof RegExp ? topics.test(source.topic) : topics.some((topic) => topicName(topic) === source.topic),
    )!;
    const queue = new RecordQueue(node, source, {
      drop: (reason) => metrics.drop(reason),
      undecodable: (record) => undecodable(record, node.errorPolicy),
    });
    this.queues.push(queue);
    return queue;
  }

  /** The log of a queue lost its records from `offset` on: one that waits to be processed is none any more. */
  truncate(queue: RecordQueue, offset: number): void {
    queue.truncate(offset);
    this.#selectNext();
  }

  /** Creates the processors, children before parents, and calls their `init`. */
  initialize(operatorTimesMs: readonly number[] = []): void {
    const { nodes } = this.options.subTopology;
    for (const node of nodes) {
      const context = new NodeContext(this, node);
      if (node.kind === 'processor') {
        const processor = this.#supplied(node);
        this.#processors.push({ node: node.name, processor });
        this.#nodes.set(node.name, { name: node.name, context, processor: guarded(this, node, processor) });
      } else if (node.kind === 'sink') {
        const processor = guarded(this, node, { process: this.#sinkProcess(node) });
        this.#nodes.set(node.name, { name: node.name, context, processor });
      } else {
        this.#nodes.set(node.name, {
          name: node.name,
          context,
          processor: { process: (record) => context.forward(record) },
        });
      }
    }
    for (const node of nodes) {
      if (node.kind === 'source') continue;
      for (const parent of node.parents) this.#nodes.get(parent)!.context.addChild(this.#nodes.get(node.name)!);
    }
    let index = 0;
    for (const node of nodes) {
      if (node.kind !== 'processor') continue;
      this.currentNode = node.name;
      try {
        this.#processors[index++]!.processor.init?.(this.#nodes.get(node.name)!.context);
      } catch (error) {
        throw this.#failed('Starting', error);
      }
    }
    this.operatorTimes.forEach((time, operator) => {
      time.observedMs = Math.max(time.observedMs, operatorTimesMs[operator] ?? -1);
    });
  }

  /**
   * True where a record may be processed: each queue has a head, or is not worth waiting for.
   * @param idleMs −1: never waits
   */
  isReady(waits: boolean): boolean {
    if (this.work?.isFull === true) return false;
    // Of one queue with a head there is nothing to select.
    if (this.#next === undefined || this.queues.length > 1) this.#selectNext();
    if (this.#next === undefined) return false;
    if (!waits || this.queues.length === 1) return true;
    return this.queues.every((queue) => queue.head !== undefined || !queue.source.expectsMore);
  }

  /** Hot. Processes the head of the queue with the lowest timestamp; there must be one (`isReady`). */
  process(): void {
    const queue = this.#next!;
    const head = queue.head!;
    this.context = head;
    this.#current = queue;
    const timestamp = queue.headTimestamp;
    if (timestamp > queue.partitionTimeMs) queue.partitionTimeMs = timestamp;
    if (timestamp > this.streamTimeMs) this.streamTimeMs = timestamp;
    try {
      (queue.entry ??= this.#nodes.get(queue.node.name)!.context).forward(head);
    } catch (error) {
      throw processingFailed(error, { taskId: this.name, node: this.currentNode }, this.context);
    }
    this.#current = undefined;
    this.dirty = true;
    this.options.metrics.processed++;
    queue.advance();
    if (this.queues.length === 1) {
      this.headTimestamp = queue.headTimestamp;
      this.#next = queue.head === undefined ? undefined : queue;
    } else this.#selectNext();
  }

  /** True where no record is to be processed now, whatever there is. */
  get isHeld(): boolean {
    return this.work?.isFull === true;
  }

  /** True where its positions may be committed: they are not in the middle of a batch. */
  get isCommittable(): boolean {
    return this.work?.hasOpenBatch !== true;
  }

  /** Hands on what asynchronous operators have results for. @returns how many records */
  deliver(): number {
    if (this.work === undefined) return 0;
    this.#current = undefined;
    try {
      const delivered = this.work.deliver();
      if (delivered > 0) this.dirty = true;
      return delivered;
    } catch (error) {
      throw processingFailed(error, { taskId: this.name, node: this.currentNode }, this.context);
    }
  }

  /** True where its batches are to end: one is full or old enough, or the task is to be committed. */
  isBatchDue(nowMs: number): boolean {
    const { work } = this;
    if (work === undefined || work.isFrozen) return false;
    return work.isBatchDue(nowMs) || (this.commitRequested && work.hasOpenBatch);
  }

  /** Ends the batches that it has gathered; nothing is processed until they are handled and committed. */
  endBatch(): void {
    this.flush();
    const { written, ring: onEnd } = this.options.asynchrony;
    this.work!.endBatch(this.queues, { written, signal: this.#closed.signal, onEnd });
  }

  /** A commit is done: what was written before it is acknowledged, positions are sent, the database is written. */
  committed(): void {
    if (this.work?.committed(this.queues) === true) this.dirty = true;
  }

  /** It is to be closed: what goes on beside the record path ends, and is its next owner's. */
  giveUp(): void {
    this.#closed.abort();
  }

  /** Takes up what was under way when the state was last committed. */
  async resume(): Promise<void> {
    await this.work?.resume(this.#closed.signal);
  }

  asynchronous(node: TopologyNode, operator: AsynchronousOperator): AsynchronousEnvironment {
    this.work ??= new AsynchronousWork();
    this.work.add(operator);
    const deadLetterTopic = deadLetterTopicOf(this, node);
    return { ...this.options.asynchrony, signal: this.#closed.signal, deadLetterTopic };
  }

  /** The record being processed as its topic has it; null behind a flush, a result of an asynchronous call, a punctuator. */
  sourceBytes(): RecordBytes | null {
    const raw = this.#current?.raw;
    return raw === undefined ? null : bytesOf(raw);
  }

  /** Serialises what is dirty: downstream of caching stores, to changelogs, to the overlays. */
  flush(): void {
    this.#current = undefined;
    this.work?.beforeFlush();
    try {
      this.#state.flush();
    } catch (error) {
      throw processingFailed(error, { taskId: this.name, node: this.currentNode }, undefined);
    }
  }

  isPunctuationDue(type: PunctuationType, timeMs: number): boolean {
    return timeMs >= 0 && this.punctuations.isDue(type, timeMs);
  }

  async punctuate(type: PunctuationType, timeMs: number): Promise<void> {
    if (!this.isPunctuationDue(type, timeMs)) return;
    this.context = { ...NO_CONTEXT, timestamp: timeMs };
    this.#current = undefined;
    this.dirty = true;
    try {
      await this.punctuations.run(type, timeMs);
    } catch (error) {
      throw this.#failed('A punctuator of', error);
    }
  }

  liveStore(node: string, name: string): LiveStore<unknown, unknown, ProcessingContext> {
    const description = this.options.subTopology.nodes.find((other) => other.name === node);
    const store = this.#state.stores.get(name);
    if (store === undefined || description?.kind !== 'processor' || !description.stores.includes(name)) {
      throw new StreamsError(
        'MILLRACE_TOPOLOGY_STORE_NOT_CONNECTED',
        `${node} is not connected to a store ${name}. Name it in the stores of process().`,
        {
          context: { node, store: name },
        },
      );
    }
    return store;
  }

  /** The store as users see it. */
  facade(name: string): KeyValueFacade<unknown, unknown> | WindowFacade<unknown, unknown> | undefined {
    const live = this.#state.stores.get(name);
    if (live === undefined) return undefined;
    let facade = this.#facades.get(name);
    if (facade === undefined) {
      const now = (): number => this.context.timestamp;
      const store = live as unknown as LiveStore<unknown, unknown, WriteContext>;
      facade = live.description.type === 'window' ? new WindowFacade(store, now) : new KeyValueFacade(store, now);
      this.#facades.set(name, facade);
    }
    return facade;
  }

  /**
   * Closes the processors and the state, all of them whatever they throw; what is not committed is dropped.
   * @throws the first failure
   */
  async close(): Promise<void> {
    let failure: unknown;
    this.giveUp();
    for (const { node, processor } of this.#processors.splice(0)) {
      this.currentNode = node;
      try {
        processor.close?.();
      } catch (error) {
        failure ??= this.#failed('Closing', error);
      }
    }
    for (const facade of this.#facades.values()) facade.detach();
    await this.#state.close();
    if (failure !== undefined) throw failure;
  }

  #supplied(node: ProcessorNode): AnyProcessor {
    this.currentNode = node.name;
    try {
      return node.supplier();
    } catch (error) {
      throw this.#failed('Making', error);
    }
  }

  #selectNext(): void {
    const { queues } = this;
    let next: RecordQueue | undefined;
    let lowest = Number.POSITIVE_INFINITY;
    for (const queue of queues) {
      if (queue.head === undefined) queue.fill();
      if (queue.headTimestamp < lowest) {
        lowest = queue.headTimestamp;
        next = queue;
      }
    }
    this.#next = next;
    this.headTimestamp = lowest;
  }

  #sinkProcess(node: SinkNode): (record: StreamRecord<unknown, unknown>) => void {
    const { collector, topicName } = this.options;
    if (typeof node.topic === 'string') {
      const topic = topicName(node.topic);
      return (record) => collector.send(node, topic, record, this.#current);
    }
    const extract = node.topic;
    return (record) => collector.send(node, extract(record.key, record.value, record), record, this.#current);
  }

  #failed(doing: string, error: unknown): MillraceError {
    return stepFailed(doing, error, { taskId: this.name, node: this.currentNode });
  }
}
