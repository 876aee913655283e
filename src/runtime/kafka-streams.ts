/** An application at work: starts, watches and stops the stream thread. Mirrors `KafkaStreams`. */
import { messageOf } from '../errors.ts';
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
import { Metrics, type MetricsSnapshot } from './metrics.ts';
import { type ResolvedOptions, resolveOptions, type StreamsOptions } from './options.ts';
import type { RestoreListener } from './restore/restore.ts';
import { StateDirectory } from './state-directory.ts';
import { StreamThread } from './stream-thread.ts';

/** `ERROR`: the application stopped by itself, see the uncaught-error handler. */
export type KafkaStreamsState =
  | 'CREATED'
  | 'REBALANCING'
  | 'RUNNING'
  | 'PENDING_SHUTDOWN'
  | 'NOT_RUNNING'
  | 'PENDING_ERROR'
  | 'ERROR';

export type StateListener = (next: KafkaStreamsState, previous: KafkaStreamsState) => void;

/** What to do about an error that the thread cannot ride out. */
export type UncaughtErrorResponse = 'shutdown-client' | 'replace-thread';

export class KafkaStreams {
  readonly #topology: Topology;
  readonly #options: ResolvedOptions;
  readonly #storage: StateStorage;
  readonly #metrics = new Metrics();
  #state: KafkaStreamsState = 'CREATED';
  #listener: StateListener | undefined;
  #restoreListener: RestoreListener | undefined;
  #uncaught: (error: Error) => UncaughtErrorResponse = () => 'shutdown-client';
  #directory: StateDirectory | undefined;
  #thread: StreamThread | undefined;
  #running: Promise<void> = Promise.resolve();

  /**
   * @param storage not for users: what a simulation puts in the place of LevelDB
   * @throws StreamsError MILLRACE_RUNTIME_INVALID_OPTIONS
   */
  constructor(topology: Topology, options: StreamsOptions, storage: StateStorage = levelStorage) {
    this.#topology = topology;
    this.#storage = storage;
    this.#options = resolveOptions(options);
  }

  get state(): KafkaStreamsState {
    return this.#state;
  }

  /** Called after each change of state. Set it before `start`. */
  setStateListener(listener: StateListener): void {
    this.#listener = listener;
  }

  /** Called as stores are restored. Set it before `start`. */
  setRestoreListener(listener: RestoreListener): void {
    this.#restoreListener = listener;
  }

  /** Decides about errors of the thread, user code's among them. Default: the application shuts down. */
  setUncaughtErrorHandler(handler: (error: Error) => UncaughtErrorResponse): void {
    this.#uncaught = handler;
  }

  /**
   * Reaches the cluster, checks the topics, and begins to work; resolves when the thread runs, before its tasks are
   * restored (state RUNNING tells that).
   * @throws KafkaConnectionError, KafkaAuthenticationError, StateDirectoryLockedError, StreamsError MILLRACE_RUNTIME_TOPIC_MISSING
   */
  async start(): Promise<void> {
    if (this.#state !== 'CREATED') {
      throw new StreamsError(
        'MILLRACE_RUNTIME_STARTED_TWICE',
        `This application is ${this.#state} already; make another KafkaStreams to start again.`,
      );
    }
    const { stateDir, applicationId } = this.#options;
    this.#directory = await StateDirectory.open(this.#storage, stateDir, applicationId);
    try {
      this.#thread = await this.#newThread();
    } catch (error) {
      await this.#directory.close();
      throw error;
    }
    this.#setState('REBALANCING');
    this.#running = this.#watch(this.#thread);
  }

  /** Commits, closes, leaves the group. Resolves when all is closed, after `ERROR` too. */
  async close(): Promise<void> {
    if (this.#state === 'CREATED') this.#setState('NOT_RUNNING');
    if (this.#state === 'REBALANCING' || this.#state === 'RUNNING') {
      this.#setState('PENDING_SHUTDOWN');
      this.#thread!.shutdown();
    }
    await this.#running;
  }

  /** Deletes the local state of an application that does not run. @throws StreamsError MILLRACE_RUNTIME_NOT_STOPPED */
  async cleanUp(): Promise<void> {
    if (this.#state !== 'CREATED' && this.#state !== 'NOT_RUNNING' && this.#state !== 'ERROR') {
      throw new StreamsError('MILLRACE_RUNTIME_NOT_STOPPED', `cleanUp() while ${this.#state}: close() first.`);
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

  async #newThread(): Promise<StreamThread> {
    const thread = new StreamThread({
      topology: this.#topology,
      options: this.#options,
      storage: this.#storage,
      metrics: this.#metrics,
      processId: this.#directory!.processId,
      restoreListener: this.#restoreListener,
      onState: (state) => {
        if (this.#state === 'REBALANCING' || this.#state === 'RUNNING')
          this.#setState(state === 'running' ? 'RUNNING' : 'REBALANCING');
      },
    });
    try {
      await thread.start();
      return thread;
    } catch (error) {
      await thread.abandon();
      throw error;
    }
  }

  async #watch(first: StreamThread): Promise<void> {
    let failure: Error | undefined;
    for (let thread: StreamThread | undefined = first; thread !== undefined; ) {
      try {
        await thread.run();
        failure = undefined;
        break;
      } catch (thrown) {
        failure = thrown instanceof Error ? thrown : new Error(messageOf(thrown));
      }
      thread = await this.#replacement(failure);
    }
    if (failure !== undefined) this.#setState('PENDING_ERROR');
    await this.#directory!.close();
    this.#setState(failure === undefined ? 'NOT_RUNNING' : 'ERROR');
  }

  /** Undefined: the application is to shut down. */
  async #replacement(failure: Error): Promise<StreamThread | undefined> {
    this.#options.logger.error({ code: 'code' in failure ? failure.code : undefined }, failure.message);
    if (this.#uncaught(failure) === 'shutdown-client' || this.#state === 'PENDING_SHUTDOWN') return undefined;
    try {
      this.#thread = await this.#newThread();
      return this.#thread;
    } catch (error) {
      this.#options.logger.error({}, `Replacing the thread failed: ${messageOf(error)}`);
      return undefined;
    }
  }

  #setState(next: KafkaStreamsState): void {
    const previous = this.#state;
    if (previous === next) return;
    this.#state = next;
    this.#options.logger.info({ from: previous, to: next }, 'state changed');
    this.#listener?.(next, previous);
  }
}
