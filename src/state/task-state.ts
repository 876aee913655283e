/**
 * A task's stores and the database behind them: one LevelDB per task, one batch per commit. The batch carries the
 * changelog positions it reflects, so that after a crash the changelog is replayed from there.
 *
 *     database: [0,0] "meta" → JSON { version, stores: name → { id, observedTimeMs }, positions: topic → offset, committedAtMs }
 *               [id int16] | … → the stores' entries
 */
import type { BackendBatch, StateBackend } from './backend.ts';
import { MemoryBackend } from './backend.ts';
import type { CacheBudget } from './cache.ts';
import { CorruptStateError } from './errors.ts';
import type { ChangelogSink, WriteContext } from './live-entry.ts';
import { LiveStore } from './live-store.ts';
import { levelStorage, type StateStorage } from './storage.ts';
import type { AnyStoreDescription } from './store.ts';
import { StoreBytes } from './store-bytes.ts';

const META_KEY = Buffer.from('\0\0meta', 'latin1');
const VERSION = 1;
/** Entries deleted per commit of windows whose retention has ended. */
const EXPIRE_STEP = 10_000;

interface Metadata {
  version: number;
  stores: Record<string, { id: number; observedTimeMs: number }>;
  /** Changelog topic → offset of the first record not reflected. */
  positions: Record<string, number>;
  committedAtMs: number;
}

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
  onExpired(store: string): void;
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
  readonly #metadata: Metadata;

  private constructor(options: TaskStateOptions<C>, database: StateBackend, metadata: Metadata, rebuilt: boolean) {
    this.#options = options;
    this.#database = database;
    this.#metadata = metadata;
    this.rebuilt = rebuilt;
    for (const description of options.stores) this.#createStore(description);
  }

  /** Opens the task's database. One that is damaged is deleted and made anew. @throws StateDirectoryLockedError */
  static async open<C extends WriteContext>(options: TaskStateOptions<C>): Promise<TaskState<C>> {
    const { directory, storage = levelStorage } = options;
    const persistent = directory !== undefined && options.stores.some((store) => store.kind === 'persistent');
    if (!persistent) return new TaskState(options, new MemoryBackend(), newMetadata(), false);
    try {
      const database = await storage.open(directory);
      try {
        return new TaskState(options, database, readMetadata(database, directory), false);
      } catch (error) {
        await database.close();
        throw error;
      }
    } catch (error) {
      if (!(error instanceof CorruptStateError)) throw error;
      storage.destroy(directory);
      return new TaskState(options, await storage.open(directory), newMetadata(), true);
    }
  }

  /** The first changelog offset that the store's state does not reflect; undefined: restore from the beginning. */
  position(store: string): number | undefined {
    const description = this.stores.get(store)!.description;
    const topic = this.#options.changelogTopic(store);
    if (description.kind === 'in-memory' || topic === undefined) return undefined;
    return this.#metadata.positions[topic];
  }

  /** When the positions were written; ms since the epoch, 0 if never. */
  get committedAtMs(): number {
    return this.#metadata.committedAtMs;
  }

  get uncommittedBytes(): number {
    let bytes = 0;
    for (const store of this.#bytes) bytes += store.uncommittedBytes;
    return bytes;
  }

  /** Deletes a store's entries and position: it is restored from the beginning. */
  async wipe(store: string): Promise<void> {
    const live = this.stores.get(store)!;
    live.discard();
    live.observedTimeMs = -1;
    const { backend, prefix } = this.#bytesOf(store);
    await backend.clear({ gte: prefix, lt: Buffer.from([prefix[0]!, prefix[1]! + 1]) }, Number.MAX_SAFE_INTEGER);
    const topic = this.#options.changelogTopic(store);
    if (topic !== undefined) delete this.#metadata.positions[topic];
    this.#metadata.stores[store]!.observedTimeMs = -1;
    const batch = this.#database.batch();
    this.#addMetadata(batch);
    await batch.write();
  }

  /** A batch for restored entries of a store, see {@link restored}. */
  restoring(store: string): BackendBatch {
    return this.#bytesOf(store).backend.batch();
  }

  /** Writes a batch of restored entries and the position behind it. */
  restore(store: string, batch: BackendBatch, position: number): Promise<void> {
    this.#metadata.stores[store]!.observedTimeMs = this.stores.get(store)!.observedTimeMs;
    if (this.#bytesOf(store).backend === this.#database) {
      this.#metadata.positions[this.#options.changelogTopic(store)!] = position;
      this.#addMetadata(batch);
    }
    return batch.write();
  }

  /** To be called when every store is restored. */
  restored(): void {
    for (const [name, store] of this.stores)
      store.opened(Math.max(store.observedTimeMs, this.#metadata.stores[name]!.observedTimeMs));
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

  /**
   * Writes what was flushed, in one batch.
   * @param positions changelog topic → offset behind the last record acknowledged
   */
  async commit(positions: ReadonlyMap<string, number>, nowMs: number): Promise<void> {
    for (const [topic, offset] of positions) this.#metadata.positions[topic] = offset;
    this.#metadata.committedAtMs = nowMs;
    for (const [name, store] of this.stores) this.#metadata.stores[name]!.observedTimeMs = store.observedTimeMs;
    const database = this.#database.batch();
    const memory = this.#memory.batch();
    for (const bytes of this.#bytes) bytes.addTo(bytes.backend === this.#database ? database : memory);
    this.#addMetadata(database);
    await database.write();
    await memory.write();
    for (const bytes of this.#bytes) bytes.committed();
    await this.#expire();
  }

  /** Closes without flushing: what is not committed is dropped. */
  async close(): Promise<void> {
    for (const store of this.stores.values()) store.discard();
    await this.#database.close();
    await this.#memory.close();
  }

  async #expire(): Promise<void> {
    for (const [name, store] of this.stores) {
      const range = store.expire();
      if (range !== undefined) await this.#bytesOf(name).backend.clear(range, EXPIRE_STEP);
    }
  }

  #createStore(description: AnyStoreDescription): void {
    const { budget, changelog, context, onExpired, changelogTopic } = this.#options;
    const { name } = description;
    const known = this.#metadata.stores;
    const id = known[name]?.id ?? Math.max(0, ...Object.values(known).map((store) => store.id)) + 1;
    known[name] ??= { id, observedTimeMs: -1 };
    const bytes = new StoreBytes(description.kind === 'persistent' ? this.#database : this.#memory, id);
    this.#bytes.push(bytes);
    const topic = changelogTopic(name);
    const store = new LiveStore<unknown, unknown, C>(description, {
      bytes,
      budget,
      changelog: topic === undefined ? undefined : changelog,
      topic: topic ?? name,
      context,
      onExpired: () => onExpired(name),
    });
    if (description.kind === 'persistent') store.observedTimeMs = known[name].observedTimeMs;
    this.stores.set(name, store);
  }

  #bytesOf(store: string): StoreBytes {
    return this.#bytes[[...this.stores.keys()].indexOf(store)]!;
  }

  #addMetadata(batch: BackendBatch): void {
    batch.put(META_KEY, Buffer.from(JSON.stringify(this.#metadata)));
  }
}

function newMetadata(): Metadata {
  return { version: VERSION, stores: {}, positions: {}, committedAtMs: 0 };
}

function readMetadata(database: StateBackend, directory: string): Metadata {
  const stored = database.get(META_KEY);
  if (stored === undefined) return newMetadata();
  try {
    const metadata = JSON.parse(stored.toString('utf8')) as Metadata;
    if (metadata.version === VERSION) return metadata;
  } catch (error) {
    throw new CorruptStateError(directory, error);
  }
  throw new CorruptStateError(directory, new Error('written by another version'));
}
