/** An application at work: starts, watches and stops the stream thread. Mirrors `KafkaStreams`. */
import { abortController, Backoff, settlesBefore } from '../backoff.ts';
import { asError, MillraceError, messageOf } from '../errors.ts';
import { monotonicMs } from '../monotonic.ts';
import {
  KeyValueFacade,
  levelStorage,
  type ReadOnlyKeyValueStore,
  type ReadOnlyWindowStore,
  type StateStorage,
  WindowFacade,
} from '../state/index.ts';
import type { Topology } from '../topology/index.ts';
import { StreamsError } from './errors.ts';
import { type KafkaStreamsState, Lifecycle, type StateListener } from './lifecycle.ts';
import { Metrics, type MetricsSnapshot } from './metrics.ts';
import { type ResolvedOptions, resolveOptions, type StreamsOptions } from './options.ts';
import type { RestoreListener } from './restore/changelog-reader.ts';
import { interrupted, retry } from './retry.ts';
import { StateDirectory } from './state-directory.ts';
import { StreamThread } from './stream-thread.ts';

/** What to do about an error that the thread cannot wait out. */
export type UncaughtErrorResponse = 'shutdown-client' | 'replace-thread';

/** ms before a failed thread is replaced, growing while replacements fail as well: a poison record must not spin. */
const REPLACE_BACKOFF = { initialMs: 500, maxMs: 30_000 };
/** ms after which a thread that fails is counted as a first failure again. */
const PROVEN_MS = 60_000;

export class KafkaStreams {
  readonly #topology: Topology;
  readonly #options: ResolvedOptions;
  readonly #storage: StateStorage;
  readonly #metrics = new Metrics();
  readonly #lifecycle: Lifecycle;
  readonly #stop = abortController();
  #restoreListener: RestoreListener | undefined;
  #uncaught: (error: Error) => UncaughtErrorResponse = () => 'shutdown-client';
  #thread: StreamThread | undefined;
  /** Resolves when everything is closed; never rejects. */
  #ended: Promise<void> = Promise.resolve();

  /**
   * @param storage not for users: what a simulation puts in the place of LevelDB
   * @throws StreamsError MILLRACE_RUNTIME_INVALID_OPTIONS, MILLRACE_RUNTIME_EMPTY_TOPOLOGY
   */
  constructor(topology: Topology, options: StreamsOptions, storage: StateStorage = levelStorage) {
    this.#storage = storage;
    this.#options = resolveOptions(options);
    // As in Java: without room for a cache, stores behave as those that do not cache.
    this.#topology = this.#options.cacheMaxBytes === 0 ? topology.withoutCaching() : topology;
    this.#lifecycle = new Lifecycle(this.#options.logger);
    if (topology.subTopologies.length === 0) {
      throw new StreamsError(
        'MILLRACE_RUNTIME_EMPTY_TOPOLOGY',
        'The topology reads nothing: add a stream or a table to the builder before build().',
      );
    }
  }

  get state(): KafkaStreamsState {
    return this.#lifecycle.state;
  }

  /** Called after each change of state. Set it before `start`. What it throws is logged. */
  setStateListener(listener: StateListener): void {
    this.#lifecycle.listener = listener;
  }

  /** Called as stores are restored. Set it before `start`. What it throws is logged. */
  setRestoreListener(listener: RestoreListener): void {
    const { logger } = this.#options;
    this.#restoreListener = {
      onProgress(topic, partition, restored, remaining) {
        try {
          listener.onProgress(topic, partition, restored, remaining);
        } catch (error) {
          logger.error({ topic, partition }, `The restore listener threw: ${messageOf(error)}`);
        }
      },
    };
  }

  /**
   * Decides about errors of the thread, user code's among them. Default: the application shuts down. A replacement waits
   * half a second first, longer while replacements fail as well. A handler that throws shuts the application down.
   */
  setUncaughtErrorHandler(handler: (error: Error) => UncaughtErrorResponse): void {
    this.#uncaught = handler;
  }

  /**
   * Reaches the cluster, checks the topics, and begins to work; resolves when the thread runs, before its tasks are
   * restored (state RUNNING tells that). Where it fails the state is ERROR, and everything is closed.
   * @throws KafkaConnectionError, KafkaAuthenticationError, StateDirectoryLockedError, StreamsError
   *   MILLRACE_RUNTIME_TOPIC_MISSING, MILLRACE_RUNTIME_STARTED_TWICE, MILLRACE_RUNTIME_INTERRUPTED (`close()` came first)
   */
  async start(): Promise<void> {
    const { state } = this;
    if (!this.#lifecycle.to('REBALANCING')) {
      throw new StreamsError(
        'MILLRACE_RUNTIME_STARTED_TWICE',
        `This application is ${state} already; make another KafkaStreams to start again.`,
      );
    }
    await new Promise<void>((resolve, reject) => {
      this.#ended = this.#live(resolve, reject);
    });
  }

  /**
   * Commits, closes, leaves the group. Resolves when all is closed, after `ERROR` too; never rejects. Within some 20 s,
   * whatever the brokers do: what could not be written and committed in 10 s is processed again after the next start.
   */
  async close(): Promise<void> {
    const wasCreated = this.state === 'CREATED';
    if (this.#lifecycle.to('PENDING_SHUTDOWN')) {
      this.#stop.abort();
      this.#thread?.shutdown();
      if (wasCreated) this.#lifecycle.to('NOT_RUNNING');
    }
    await this.#ended;
  }

  /** Deletes the local state of an application that does not run. @throws StreamsError MILLRACE_RUNTIME_NOT_STOPPED */
  async cleanUp(): Promise<void> {
    if (this.state !== 'CREATED' && this.state !== 'NOT_RUNNING' && this.state !== 'ERROR') {
      throw new StreamsError('MILLRACE_RUNTIME_NOT_STOPPED', `cleanUp() while ${this.state}: close() first.`);
    }
    await StateDirectory.cleanUp(this.#storage, this.#options.stateDir, this.#options.applicationId);
  }

  metrics(): MetricsSnapshot {
    return this.#metrics.snapshot();
  }

  /** The local parts of a key-value store, one per task; each knows the keys of its partition only. */
  keyValueStores<K, V>(name: string): ReadOnlyKeyValueStore<K, V>[] {
    return this.#facades(name).filter((store) => store instanceof KeyValueFacade) as unknown as ReadOnlyKeyValueStore<
      K,
      V
    >[];
  }

  /** The local parts of a window store, one per task; each knows the keys of its partition only. */
  windowStores<K, V>(name: string): ReadOnlyWindowStore<K, V>[] {
    return this.#facades(name).filter((store) => store instanceof WindowFacade) as unknown as ReadOnlyWindowStore<
      K,
      V
    >[];
  }

  #facades(name: string) {
    return (this.#thread?.tasks ?? []).flatMap((task) => task.facade(name) ?? []);
  }

  /** From `start()` to the end. `started` and `failed` tell how the start went, once. */
  async #live(started: () => void, failed: (error: Error) => void): Promise<void> {
    let directory: StateDirectory | undefined;
    let failure: Error | undefined;
    try {
      directory = await StateDirectory.open(this.#storage, this.#options.stateDir, this.#options.applicationId);
      const thread = await this.#newThread(directory.processId);
      started();
      failure = await this.#watch(thread, directory.processId);
    } catch (error) {
      failure = asError(error);
    }
    if (failure !== undefined) this.#lifecycle.to('PENDING_ERROR');
    await directory?.close().catch((error: unknown) => {
      this.#options.logger.error({}, `Closing the state directory failed: ${messageOf(error)}`);
    });
    if (!this.#lifecycle.to('NOT_RUNNING')) this.#lifecycle.to('ERROR');
    if (failure !== undefined) failed(failure);
  }

  /** A thread that is connected and ready to run. @throws what kept it from it; MILLRACE_RUNTIME_INTERRUPTED */
  async #newThread(processId: string): Promise<StreamThread> {
    const thread = new StreamThread({
      topology: this.#topology,
      options: this.#options,
      storage: this.#storage,
      metrics: this.#metrics,
      processId,
      restoreListener: this.#restoreListener,
      onState: (state) => this.#lifecycle.to(state === 'running' ? 'RUNNING' : 'REBALANCING'),
    });
    try {
      const isStarted = await settlesBefore(thread.start(), this.#stop.signal);
      if (!isStarted || this.#stop.signal.aborted) throw interrupted('starting');
      this.#thread = thread;
      return thread;
    } catch (error) {
      await thread.abandon();
      throw error;
    }
  }

  /** Runs threads, one after the other, until one ends well or is not to be replaced. @returns what ended the last one */
  async #watch(first: StreamThread, processId: string): Promise<Error | undefined> {
    const backoff = new Backoff(REPLACE_BACKOFF);
    for (let thread: StreamThread | undefined = first; ; thread = undefined) {
      const since = monotonicMs();
      try {
        thread ??= await this.#replacement(processId);
        await thread.run();
        return undefined;
      } catch (error) {
        // Whoever closes now has nothing to shut down.
        this.#thread = undefined;
        const failure = asError(error);
        if (this.#stop.signal.aborted && failure instanceof MillraceError && failure.retriable) return undefined;
        if (this.#responseTo(failure) === 'shutdown-client') return failure;
      }
      if (monotonicMs() - since > PROVEN_MS) backoff.reset();
      this.#lifecycle.to('REBALANCING');
      await backoff.wait(this.#stop.signal);
      if (this.#stop.signal.aborted) return undefined;
    }
  }

  /** Brokers that are away are waited for, as by the thread before: the handler has had its say about what ended that one. */
  #replacement(processId: string): Promise<StreamThread> {
    const { logger } = this.#options;
    return retry(() => this.#newThread(processId), {
      what: 'starting a thread',
      logger,
      signal: this.#stop.signal,
      timeoutMs: Number.POSITIVE_INFINITY,
    });
  }

  #responseTo(failure: Error): UncaughtErrorResponse {
    const { logger } = this.#options;
    logger.error({ code: 'code' in failure ? failure.code : undefined }, failure.message);
    try {
      return this.#uncaught(failure);
    } catch (error) {
      logger.error({}, `The uncaught-error handler threw, shutting down: ${messageOf(error)}`);
      return 'shutdown-client';
    }
  }
}
