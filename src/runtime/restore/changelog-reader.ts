/**
 * Brings stores up to date from their changelogs: from the position the local database carries to the end of the log as
 * it was when the task came, in batches, one at a time a database. Where the position cannot be trusted, the store is
 * rebuilt from the beginning. It is a step of the thread's turn: nothing here waits for a broker, so that other tasks,
 * rebalances and a close go on meanwhile. Mirrors `StoreChangelogReader`.
 */
import { abortController, Backoff, settlesBefore } from '../../backoff.ts';
import { nowReading } from '../../byte-views.ts';
import { messageOf } from '../../errors.ts';
import {
  describeTopicConfigs,
  Fetcher,
  KafkaCluster,
  KafkaError,
  listOffsets,
  type PartitionBuffer,
  partitionKey,
  type TopicPartition,
} from '../../kafka/index.ts';
import { monotonicMs } from '../../monotonic.ts';
import type { BackendBatch } from '../../state/index.ts';
import type { Metrics } from '../metrics.ts';
import type { ResolvedOptions } from '../options.ts';
import { retry, timedOut } from '../retry.ts';
import type { Task } from '../task/task.ts';
import type { TaskRestorer } from '../task-manager.ts';
import { restoreFrom } from './restore-plan.ts';

export interface RestoreListener {
  /** Called as restoring gets on, and when it ends (`remaining` 0). */
  onProgress(topic: string, partition: number, restored: number, remaining: number): void;
}

export interface ChangelogReaderOptions {
  readonly options: ResolvedOptions;
  readonly admin: KafkaCluster;
  readonly metrics: Metrics;
  readonly listener: RestoreListener | undefined;
  /** Something may go on: the thread is to take another turn. */
  onProgress(): void;
}

const BATCH_RECORDS = 10_000;
/** ms of a turn that restoring may take from tasks that are ready. */
const STEP_MS = 20;
const LOG_EVERY_MS = 5_000;
/** ms between two looks at the end of a log that seems to have moved back. */
const CHECK_END_MS = 1_000;

/** A store that is being restored. */
interface Restoring {
  readonly store: string;
  readonly topic: string;
  readonly buffer: PartitionBuffer;
  readonly from: number;
  end: number;
  /** When the end was read. */
  readonly readAtMs: number;
  /** From the beginning of the log. */
  readonly isWhole: boolean;
  /** The log began anew, or lost its end: what was read cannot be trusted. */
  broken: boolean;
}

interface RestoringTask {
  readonly task: Task;
  /** Undefined while it is being planned. */
  stores: Restoring[] | undefined;
  /** A plan or a batch under way: one at a time a database. */
  busy: Promise<void> | undefined;
  /** The batch to write next, prepared while another is written: LevelDB writes in a thread of its own. */
  prepared: (() => Promise<void>) | undefined;
  /** Aborts when the task has gone. */
  readonly gone: AbortController;
  progressMs: number;
}

export class ChangelogReader implements TaskRestorer {
  readonly #settings: ChangelogReaderOptions;
  readonly #stop = abortController();
  readonly #tasks = new Map<Task, RestoringTask>();
  #fetcher: Fetcher | undefined;
  #fetching: Promise<void> | undefined;
  #failure: unknown;
  #nextLogMs = 0;
  #nextCheckMs = 0;

  constructor(settings: ChangelogReaderOptions) {
    this.#settings = settings;
  }

  /** True while a task is not up to date: `step` is to be called. */
  get isRestoring(): boolean {
    return this.#tasks.size > 0;
  }

  /** True where a step would find something to do now. */
  get hasWork(): boolean {
    for (const { busy, prepared, stores } of this.#tasks.values()) {
      if (stores === undefined) continue;
      if (prepared === undefined && stores.some(hasRecords)) return true;
      if (busy !== undefined) continue;
      if (prepared !== undefined || stores.length === 0 || stores.some(isOver)) return true;
    }
    return false;
  }

  add(task: Task): void {
    const entry = {
      task,
      stores: undefined,
      busy: undefined,
      prepared: undefined,
      gone: abortController(),
      progressMs: monotonicMs(),
    };
    this.#tasks.set(task, entry);
    this.#run(entry, this.#plan(entry));
  }

  async remove(task: Task): Promise<void> {
    const entry = this.#tasks.get(task);
    if (entry === undefined) return;
    this.#forget(entry);
    await entry.busy;
  }

  step(): Task[] {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#fetcher?.failure !== undefined) throw this.#fetcher.failure;
    const done: Task[] = [];
    const until = monotonicMs() + STEP_MS;
    for (const entry of this.#tasks.values()) {
      if (entry.stores === undefined) continue;
      if (entry.busy !== undefined) {
        if (entry.prepared === undefined && monotonicMs() < until) this.#prepareNext(entry);
      } else if (entry.prepared === undefined && this.#isDone(entry)) {
        this.#forget(entry);
        entry.task.state.restored();
        done.push(entry.task);
      } else if (monotonicMs() < until) this.#goOn(entry);
    }
    this.#fetcher?.wake();
    this.#report();
    if (this.#tasks.size === 0) this.#stopFetching();
    return done;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    const busy = [...this.#tasks.values()].map((entry) => entry.busy);
    for (const entry of this.#tasks.values()) this.#forget(entry);
    this.#stopFetching();
    await Promise.all([...busy, this.#fetching]);
  }

  /** Work on a task's database that goes on by itself; the next step sees what came of it. */
  #run(entry: RestoringTask, work: Promise<void>): void {
    entry.busy = work
      .catch((error: unknown) => {
        if (!entry.gone.signal.aborted) this.#failure ??= error;
      })
      .finally(() => {
        entry.busy = undefined;
        this.#settings.onProgress();
      });
  }

  /** Looks up each log's ends and decides where to begin; a state that does not fit its log is deleted. */
  async #plan(entry: RestoringTask): Promise<void> {
    const { task } = entry;
    const { options } = this.#settings;
    const logged = [...task.state.stores.keys()].flatMap((store) => {
      const topic = task.options.changelogTopic(store);
      return topic === undefined ? [] : [{ store, topic, partition: task.id.partition }];
    });
    if (logged.length === 0) {
      entry.stores = [];
      return;
    }
    const { signal } = entry.gone;
    const readAtMs = Date.now();
    const lookingUp = this.#lookUp(entry, logged);
    // A request on its way may take its time-out: whoever closes the task does not wait for it.
    if (!(await settlesBefore(lookingUp, signal))) return;
    const { starts, ends, configs } = await lookingUp;
    const stores: Restoring[] = [];
    for (const { store, topic, partition } of logged) {
      if (signal.aborted) return;
      const key = partitionKey({ topic, partition });
      const start = starts.get(key)!;
      const end = ends.get(key)!;
      const deleteRetentionMs = Number(configs.get(topic)?.get('delete.retention.ms') ?? 86_400_000);
      const local = task.state.position(store);
      const ageMs = readAtMs - (local?.asOfMs ?? 0);
      const plan = restoreFrom(local?.offset, start, end, ageMs, deleteRetentionMs);
      if (plan.wipe) {
        options.logger.warn(
          { topic, partition, store },
          'local state does not fit its changelog any more, rebuilding it',
        );
        await task.state.wipe(store);
      }
      if (signal.aborted) return;
      if (plan.offset >= end) {
        // Nothing came since: the state is as of now.
        if (local?.offset === end) await task.state.restore(store, task.state.restoring(store), end, readAtMs);
        continue;
      }
      const buffer = this.#fetch({ topic, partition }, plan.offset);
      const isWhole = local === undefined || plan.wipe;
      stores.push({ store, topic, buffer, from: plan.offset, end, readAtMs, isWhole, broken: false });
    }
    entry.stores = stores;
  }

  #lookUp(entry: RestoringTask, logged: readonly TopicPartition[]) {
    const { options, admin } = this.#settings;
    const topics = [...new Set(logged.map(({ topic }) => topic))];
    return retry(
      async () => ({
        starts: await listOffsets(admin, logged, 'earliest'),
        ends: await listOffsets(admin, logged, 'latest'),
        configs: await describeTopicConfigs(admin, topics),
      }),
      {
        what: `Restoring task ${entry.task.name}`,
        logger: options.logger,
        signal: entry.gone.signal,
        timeoutMs: options.taskTimeoutMs,
      },
    );
  }

  #isDone(entry: RestoringTask): boolean {
    entry.stores = entry.stores!.filter(({ buffer, end, broken }) => {
      if (broken || buffer.position < end) return true;
      this.#fetcher?.remove(buffer);
      return false;
    });
    return entry.stores.length === 0;
  }

  /** One store's batch, or a new plan where a log is not what it was. */
  #goOn(entry: RestoringTask): void {
    const { taskTimeoutMs } = this.#settings.options;
    const stores = entry.stores!;
    if (stores.some(({ broken }) => broken)) {
      for (const { buffer } of stores) this.#fetcher?.remove(buffer);
      entry.stores = undefined;
      entry.prepared = undefined;
      this.#run(entry, this.#plan(entry));
      return;
    }
    if (entry.prepared === undefined) this.#prepareNext(entry);
    const write = entry.prepared;
    if (write !== undefined) {
      entry.prepared = undefined;
      this.#run(entry, write());
    } else if (stores.some(isAtEnd) && monotonicMs() > this.#nextCheckMs) {
      this.#nextCheckMs = monotonicMs() + CHECK_END_MS;
      this.#run(entry, this.#checkEnds(stores.filter(isAtEnd), entry.gone.signal));
    } else if (monotonicMs() - entry.progressMs > taskTimeoutMs) {
      const { topic, buffer, end } = stores[0]!;
      const where = `at offset ${buffer.position} of ${end} of ${topic}-${buffer.partition}`;
      throw timedOut(`Restoring task ${entry.task.name}`, taskTimeoutMs, new Error(`no records ${where}`));
    }
  }

  /** One store's next batch, where records for one have come. */
  #prepareNext(entry: RestoringTask): void {
    const item = entry.stores!.find(hasRecords);
    if (item === undefined) return;
    entry.progressMs = monotonicMs();
    entry.prepared = this.#prepare(entry.task, item);
  }

  /** Takes what is in the buffer; returns how it is written, with the position behind it. */
  #prepare(task: Task, item: Restoring): () => Promise<void> {
    const { store, topic, buffer, from, end } = item;
    const { metrics, listener } = this.#settings;
    const batch = task.state.restoring(store);
    metrics.restored += takeBatch(task, item, batch);
    const { position } = buffer;
    const asOfMs = item.isWhole || position >= end ? item.readAtMs : undefined;
    return async () => {
      await task.state.restore(store, batch, position, asOfMs);
      listener?.onProgress(topic, buffer.partition, position - from, Math.max(0, end - position));
    };
  }

  /** A log that ends before the end it had when the task came lost records with its leader: there are no more to wait for. */
  async #checkEnds(stores: readonly Restoring[], signal: AbortSignal): Promise<void> {
    try {
      const partitions = stores.map(({ buffer }) => buffer);
      const looking = listOffsets(this.#settings.admin, partitions, 'latest');
      if (!(await settlesBefore(looking, signal))) return;
      const ends = await looking;
      for (const item of stores) {
        const end = ends.get(partitionKey(item.buffer)) ?? item.end;
        // What was read beyond the end is not in the log any more.
        if (end < item.buffer.position) item.broken = true;
        else if (end < item.end) item.end = end;
      }
    } catch (error) {
      if (!(error instanceof KafkaError) || !error.retriable) throw error;
    }
  }

  #fetch(at: TopicPartition, offset: number): PartitionBuffer {
    const { options, onProgress } = this.#settings;
    if (this.#fetcher === undefined) {
      this.#fetcher = new Fetcher(new KafkaCluster({ kafka: options.kafka, logger: options.logger }), {
        resetPolicy: () => 'earliest',
        maxBufferedBytesPerPartition: 2 * 1024 * 1024,
        onReset: (where) => this.#onReset(where),
        onData: onProgress,
      });
      this.#fetching = this.#startFetching(this.#fetcher);
    }
    return this.#fetcher.add(at, offset);
  }

  async #startFetching(fetcher: Fetcher): Promise<void> {
    const backoff = new Backoff();
    while (this.#fetcher === fetcher && !this.#stop.signal.aborted) {
      try {
        await fetcher.start();
        return;
      } catch (error) {
        if (!(error instanceof KafkaError) || !error.retriable) {
          this.#failure ??= error;
          return;
        }
        this.#settings.options.logger.debug({ error: messageOf(error) }, 'restoring failed, trying again');
        await backoff.wait(this.#stop.signal);
      }
    }
  }

  #stopFetching(): void {
    const fetcher = this.#fetcher;
    if (fetcher === undefined) return;
    this.#fetcher = undefined;
    this.#fetching = Promise.all([this.#fetching, fetcher.close()]).then(() => undefined);
  }

  #onReset({ topic, partition }: TopicPartition): void {
    for (const { stores } of this.#tasks.values()) {
      for (const item of stores ?? [])
        if (item.topic === topic && item.buffer.partition === partition) item.broken = true;
    }
  }

  #forget(entry: RestoringTask): void {
    entry.gone.abort();
    this.#tasks.delete(entry.task);
    for (const { buffer } of entry.stores ?? []) this.#fetcher?.remove(buffer);
  }

  #report(): void {
    if (this.#tasks.size === 0 || monotonicMs() < this.#nextLogMs) return;
    const first = this.#nextLogMs === 0;
    this.#nextLogMs = monotonicMs() + LOG_EVERY_MS;
    if (first) return;
    const stores = [...this.#tasks.values()].flatMap((entry) => entry.stores ?? []);
    const remaining = stores.reduce((sum, { end, buffer }) => sum + Math.max(0, end - buffer.position), 0);
    this.#settings.options.logger.info({ stores: stores.length, remaining }, 'restoring state');
  }
}

/** There is nothing more to take: it has been read, or has to be planned anew. */
function isOver({ buffer, end, broken }: Restoring): boolean {
  return broken || buffer.position >= end;
}

/** What is buffered behind the end is not this restore's. */
function hasRecords(item: Restoring): boolean {
  return !isOver(item) && item.buffer.bufferedBytes > 0;
}

/** Everything that the broker shows was read, and yet the end was not reached. */
function isAtEnd({ buffer, end }: Restoring): boolean {
  return buffer.highWatermark >= 0 && buffer.position < end && buffer.position >= buffer.highWatermark;
}

/** Moves on by at most BATCH_RECORDS; returns how many there were. */
function takeBatch(task: Task, { store, buffer, end }: Restoring, batch: BackendBatch): number {
  const live = task.state.stores.get(store)!;
  let records = 0;
  while (records < BATCH_RECORDS && buffer.position < end) {
    const cursor = buffer.next();
    if (cursor === undefined) break;
    records++;
    // Nothing of ours is written without a key.
    if (cursor.keyLength < 0) continue;
    const { buffer: bytes, view, keyStart, keyLength, valueStart, valueLength, timestamp } = cursor;
    nowReading(bytes, view);
    live.restore(batch, bytes, keyStart, keyLength, valueStart, valueLength, timestamp);
  }
  return records;
}
