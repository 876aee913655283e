/**
 * A task's stores and the database behind them: one LevelDB per task, one batch per commit. The batch carries the
 * changelog positions it reflects, so that after a crash the changelog is replayed from there.
 *
 *     database: [0,0] "meta" → task-metadata.ts
 *               [id int16] | … → the stores' entries, store-layout.ts
 *
 * One batch at a time: what it says of positions and stores becomes what is known once it is written, and not before.
 */
import { type BackendBatch, prefixEnd, type StateBackend } from './backend.ts';
import type { CacheBudget } from './cache.ts';
import { CorruptStateError, StateStoreClosedError } from './errors.ts';
import type { ChangelogSink, WriteContext } from './live-entry.ts';
import { LiveStore } from './live-store.ts';
import { MemoryBackend } from './memory-backend.ts';
import { levelStorage, type StateStorage } from './storage.ts';
import type { AnyStoreDescription } from './store.ts';
import { StoreBytes } from './store-bytes.ts';
import {
  type ChangelogPosition,
  canKeep,
  decodeMetadata,
  encodeMetadata,
  NO_METADATA,
  shapeOf,
  type TaskMetadata,
  withPosition,
  withStore,
} from './task-metadata.ts';

const META_KEY = Buffer.from('\0\0meta', 'latin1');
/** Entries of windows whose retention has ended that a commit deletes at least; more where it writes more. */
const EXPIRE_STEP = 10_000;

export interface TaskStateOptions<C extends WriteContext> {
  /** The task's folder; undefined keeps everything in memory. */
  readonly directory: string | undefined;
  /** Where the folder is. Default: LevelDB. */
  readonly storage?: StateStorage;
  readonly stores: readonly AnyStoreDescription[];
  readonly budget: CacheBudget;
  /** The changelog topic of a store; undefined where it is not logged. */
  changelogTopic(store: string): string | undefined;
  readonly changelog: ChangelogSink | undefined;
  context(): C;
  /** What a dirty entry keeps of a context, so that it does not keep the record; left out: the context itself. */
  keepContext?(context: C, kept: C | undefined): C;
  /** The node at work, for errors. */
  node?(): string | undefined;
  onExpired(store: string): void;
  /**
   * A store's bytes did not fit it any more, by type, retention or layout, and were deleted. Logged, it is rebuilt from
   * its changelog; not logged, it is empty now.
   */
  onWiped?(store: string, logged: boolean): void;
}

export class TaskState<C extends WriteContext> {
  // biome-ignore lint/suspicious/noExplicitAny: stores of any types; typed where a processor asks for one
  readonly stores = new Map<string, LiveStore<any, any, C>>();
  /** True where the database was damaged and has been made anew: it is to be rebuilt from the changelog. */
  readonly rebuilt: boolean;
  readonly #options: TaskStateOptions<C>;
  readonly #database: StateBackend;
  readonly #memory = new MemoryBackend();
  readonly #bytes: StoreBytes[] = [];
  #metadata: TaskMetadata;
  /** Settles with the last of the writes under way, whatever becomes of it; undefined where there is none. */
  #lastWrite: Promise<void> | undefined;
  #isRestored = false;
  #closed = false;

  private constructor(options: TaskStateOptions<C>, database: StateBackend, metadata: TaskMetadata, rebuilt: boolean) {
    this.#options = options;
    this.#database = database;
    this.#metadata = metadata;
    this.rebuilt = rebuilt;
    for (const description of options.stores) this.#createStore(description);
  }

  /**
   * Opens the task's database. One that is damaged is deleted and made anew; a store whose bytes are of another shape is
   * wiped, so that it is rebuilt.
   * @throws StateDirectoryLockedError, StateWriteError
   */
  static async open<C extends WriteContext>(options: TaskStateOptions<C>): Promise<TaskState<C>> {
    const { directory, storage = levelStorage } = options;
    const persistent = directory !== undefined && options.stores.some((store) => store.kind === 'persistent');
    if (!persistent) return new TaskState(options, new MemoryBackend(), NO_METADATA, false);
    try {
      return await TaskState.#openDatabase(options, directory, storage, false);
    } catch (error) {
      if (!(error instanceof CorruptStateError)) throw error;
      storage.destroy(directory);
      return TaskState.#openDatabase(options, directory, storage, true);
    }
  }

  static async #openDatabase<C extends WriteContext>(
    options: TaskStateOptions<C>,
    directory: string,
    storage: StateStorage,
    rebuilt: boolean,
  ): Promise<TaskState<C>> {
    const database = await storage.open(directory);
    try {
      const stored = database.get(META_KEY);
      const metadata = stored === undefined ? NO_METADATA : decodeMetadata(stored, directory);
      const state = new TaskState(options, database, metadata, rebuilt);
      await state.#wipeOtherShapes();
      return state;
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  /** How far into its changelog the store's bytes reach; undefined: restore from the beginning. */
  position(store: string): ChangelogPosition | undefined {
    const topic = this.#positionTopic(store);
    return topic === undefined ? undefined : this.#metadata.positions.get(topic);
  }

  get uncommittedBytes(): number {
    let bytes = 0;
    for (const store of this.#bytes) bytes += store.uncommittedBytes;
    return bytes;
  }

  /** Deletes a store's entries and position: it is restored from the beginning. */
  wipe(store: string): Promise<void> {
    const live = this.stores.get(store)!;
    live.discard();
    live.observedTimeMs = -1;
    const bytes = this.#bytesOf(store);
    bytes.discard();
    return this.#inTurn(async () => {
      const known = this.#metadata.stores.get(store)!;
      const empty = { id: known.id, observedTimeMs: -1 };
      const metadata = withPosition(this.#metadata, this.#options.changelogTopic(store), undefined);
      // Until it is empty nothing may take it for a store: a crash in between leaves a part of the entries.
      await this.#writeMetadata(withStore(metadata, store, { ...empty, shape: null }));
      const { backend, prefix } = bytes;
      await backend.clear({ gte: prefix, lt: prefixEnd(prefix) }, Number.MAX_SAFE_INTEGER);
      await this.#writeMetadata(withStore(this.#metadata, store, { ...empty, shape: shapeOf(live.description) }));
    });
  }

  /** A batch for restored entries of a store, see {@link restore}. */
  restoring(store: string): BackendBatch {
    return this.#bytesOf(store).backend.batch();
  }

  /**
   * Writes a batch of restored entries and the position behind it, after the writes that are under way.
   * @param asOfMs where the position now reaches the end of the log, when that end was read; with the first batch of a
   * restore from the beginning, when that began. Left out: the time stays as it is.
   */
  restore(store: string, batch: BackendBatch, position: number, asOfMs?: number): Promise<void> {
    const { observedTimeMs } = this.stores.get(store)!;
    return this.#inTurn(async () => {
      const topic = this.#positionTopic(store);
      if (topic === undefined) return batch.write();
      const before = this.#metadata.positions.get(topic);
      const metadata = withStore(
        withPosition(this.#metadata, topic, { offset: position, asOfMs: asOfMs ?? before?.asOfMs ?? 0 }),
        store,
        { ...this.#metadata.stores.get(store)!, observedTimeMs },
      );
      return this.#write(batch, metadata);
    });
  }

  /** To be called when every store is restored. */
  restored(): void {
    this.#isRestored = true;
    for (const [name, store] of this.stores)
      store.opened(Math.max(store.observedTimeMs, this.#metadata.stores.get(name)!.observedTimeMs));
  }

  /** Serialises what is dirty. A flush may write to stores flushed before: repeated until nothing is left. */
  flush(): void {
    for (let dirty = true; dirty; ) {
      dirty = false;
      for (const store of this.stores.values()) {
        if (store.isDirty) {
          dirty = true;
          store.flush();
        }
      }
    }
  }

  /** Frees cache memory, where the budget is spent: flush first, dirty entries stay. */
  evict(idleOnly: boolean): void {
    for (const store of this.stores.values()) store.evict(idleOnly);
  }

  /** Drops every clean live object: what is read next is read from its bytes. For tests of what an eviction would do. */
  dropLive(): void {
    for (const store of this.stores.values()) store.dropLive();
  }

  /**
   * Writes what was flushed up to this call, in one batch. Where that fails everything is as it was, and the next commit
   * writes it.
   * @param positions changelog topic → offset behind the last record acknowledged
   */
  commit(positions: ReadonlyMap<string, number>, nowMs: number): Promise<void> {
    const frozen = this.#bytes.map((bytes) => ({ bytes: bytes.freeze(), backend: bytes.backend }));
    const observed = new Map([...this.stores].map(([name, store]) => [name, store.observedTimeMs]));
    return this.#inTurn(async () => {
      let metadata = this.#asOf(nowMs, positions);
      for (const [name, observedTimeMs] of observed) {
        metadata = withStore(metadata, name, { ...metadata.stores.get(name)!, observedTimeMs });
      }
      const database = this.#database.batch();
      const memory = this.#memory.batch();
      let entries = 0;
      for (const { bytes, backend } of frozen) entries += bytes.addTo(backend === this.#database ? database : memory);
      await this.#write(database, metadata);
      await memory.write();
      for (const { bytes } of frozen) bytes.written();
      await this.#expire(Math.max(EXPIRE_STEP, entries * 2));
    });
  }

  /**
   * Says that the positions were the logs' ends at this time as well; for tasks that have long had nothing to commit, so
   * that their state is not rebuilt for its age. Does nothing where there is something to commit, or to restore.
   */
  async touch(nowMs: number): Promise<void> {
    const hasChanges = [...this.stores.values()].some((store) => store.isDirty) || this.uncommittedBytes > 0;
    if (hasChanges || !this.#isRestored) return;
    await this.#inTurn(() => this.#writeMetadata(this.#asOf(nowMs, new Map())));
  }

  /** Closes without flushing: what is not committed is dropped. Writes under way are waited for. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const store of this.stores.values()) store.discard();
    await this.#lastWrite;
    await this.#database.close();
    await this.#memory.close();
  }

  /** The metadata with these positions, all of this task's as of now: nobody else writes to its changelogs. */
  #asOf(nowMs: number, positions: ReadonlyMap<string, number>): TaskMetadata {
    let metadata = this.#metadata;
    for (const name of this.stores.keys()) {
      const topic = this.#positionTopic(name);
      if (topic === undefined) continue;
      const offset = positions.get(topic) ?? metadata.positions.get(topic)?.offset;
      if (offset !== undefined) metadata = withPosition(metadata, topic, { offset, asOfMs: nowMs });
    }
    return metadata;
  }

  async #expire(limit: number): Promise<void> {
    for (const [name, store] of this.stores) {
      const range = store.expire();
      if (range !== undefined) await this.#bytesOf(name).backend.clear({ gte: range.from, lt: range.to }, limit);
    }
  }

  async #wipeOtherShapes(): Promise<void> {
    for (const [name, { description }] of this.stores) {
      const known = this.#metadata.stores.get(name)!;
      const wanted = shapeOf(description);
      const logged = this.#options.changelogTopic(name) !== undefined;
      if (canKeep(known, wanted, logged)) {
        this.#metadata = withStore(this.#metadata, name, { ...known, shape: wanted });
        continue;
      }
      await this.wipe(name);
      if (description.kind === 'persistent') this.#options.onWiped?.(name, logged);
    }
  }

  /** Runs a step after those before it, whether they failed or not; at once where there is none. */
  #inTurn(step: () => Promise<void>): Promise<void> {
    if (this.#closed) return Promise.reject(new StateStoreClosedError([...this.stores.keys()].join(', ')));
    const turn = this.#lastWrite === undefined ? step() : this.#lastWrite.then(step);
    const done = (): void => {
      if (this.#lastWrite === settled) this.#lastWrite = undefined;
    };
    const settled = turn.then(done, done);
    this.#lastWrite = settled;
    return turn;
  }

  #writeMetadata(metadata: TaskMetadata): Promise<void> {
    return this.#write(this.#database.batch(), metadata);
  }

  /** Writes a batch with the metadata that it makes true. */
  async #write(batch: BackendBatch, metadata: TaskMetadata): Promise<void> {
    batch.put(META_KEY, encodeMetadata(metadata));
    await batch.write();
    this.#metadata = metadata;
  }

  /** The changelog whose position the database keeps; undefined where it has nothing to do with one. */
  #positionTopic(store: string): string | undefined {
    const { kind } = this.stores.get(store)!.description;
    return kind === 'in-memory' ? undefined : this.#options.changelogTopic(store);
  }

  #createStore(description: AnyStoreDescription): void {
    const { budget, changelog, context, keepContext, node, onExpired, changelogTopic } = this.#options;
    const { name } = description;
    const ids = [...this.#metadata.stores.values()].map((store) => store.id);
    const known = this.#metadata.stores.get(name) ?? {
      id: Math.max(0, ...ids) + 1,
      observedTimeMs: -1,
      shape: shapeOf(description),
    };
    this.#metadata = withStore(this.#metadata, name, known);
    const bytes = new StoreBytes(description.kind === 'persistent' ? this.#database : this.#memory, known.id);
    this.#bytes.push(bytes);
    const topic = changelogTopic(name);
    const store = new LiveStore<unknown, unknown, C>(description, {
      bytes,
      budget,
      changelog: topic === undefined ? undefined : changelog,
      topic: topic ?? name,
      context,
      ...(keepContext === undefined ? {} : { keepContext }),
      ...(node === undefined ? {} : { node }),
      onExpired: () => onExpired(name),
    });
    if (description.kind === 'persistent') store.observedTimeMs = known.observedTimeMs;
    this.stores.set(name, store);
  }

  #bytesOf(store: string): StoreBytes {
    return this.#bytes[[...this.stores.keys()].indexOf(store)]!;
  }
}
