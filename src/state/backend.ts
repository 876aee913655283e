/**
 * Where a task's committed bytes are kept: a sorted map from key bytes to value bytes with an atomic batch. LevelDB for
 * persistent stores, memory for the others. Point reads are synchronous, all else is not: the record path only gets.
 */
import { mkdirSync } from 'node:fs';
import { Level } from 'level';
import { translateLevelError } from './errors.ts';

/** Collects changes; key and value are copied at once and may be reused. */
export interface BackendBatch {
  put(key: Buffer, value: Buffer): void;
  del(key: Buffer): void;
  /** Atomic: all of it or, after a crash, nothing. The batch is done with afterwards. */
  write(): Promise<void>;
}

export interface KeyRange {
  /** Inclusive. */
  readonly gte: Buffer;
  /** Exclusive; undefined: to the end. */
  readonly lt?: Buffer | undefined;
  readonly reverse?: boolean;
}

export type BackendEntries = AsyncIterableIterator<readonly [Buffer, Buffer]>;

export interface StateBackend {
  readonly persistent: boolean;
  get(key: Buffer): Buffer | undefined;
  /**
   * Ascending by bytes (or descending). A snapshot as of this call: what is written later is not seen. To be read to the
   * end, or ended with `return()`: it may hold resources.
   */
  entries(range: KeyRange): BackendEntries;
  batch(): BackendBatch;
  /** Deletes at most `limit` entries of the range, lowest first. */
  clear(range: KeyRange, limit: number): Promise<void>;
  close(): Promise<void>;
}

/** Opens or creates a database. @throws CorruptStateError, StateDirectoryLockedError */
export async function openLevelBackend(directory: string): Promise<StateBackend> {
  try {
    mkdirSync(directory, { recursive: true });
    const db = new Level<Buffer, Buffer>(directory, {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      cacheSize: 8 * 1024 * 1024,
      writeBufferSize: 8 * 1024 * 1024,
    });
    await db.open();
    return new LevelBackend(directory, db);
  } catch (error) {
    throw translateLevelError(directory, error);
  }
}

class LevelBackend implements StateBackend {
  readonly persistent = true;
  readonly #directory: string;
  readonly #db: Level<Buffer, Buffer>;

  constructor(directory: string, db: Level<Buffer, Buffer>) {
    this.#directory = directory;
    this.#db = db;
  }

  get(key: Buffer): Buffer | undefined {
    try {
      return this.#db.getSync(key);
    } catch (error) {
      throw translateLevelError(this.#directory, error);
    }
  }

  /** LevelDB's iterator has its snapshot from when it is made. */
  entries({ gte, lt, reverse = false }: KeyRange): BackendEntries {
    const options = { gte, ...(lt === undefined ? {} : { lt }), reverse };
    const iterator = this.#call(() => this.#db.iterator(options));
    const entries: BackendEntries = {
      [Symbol.asyncIterator]: () => entries,
      next: async () => {
        const entry = await this.#await(() => iterator.next());
        if (entry !== undefined) return { done: false, value: entry };
        await iterator.close();
        return { done: true, value: undefined };
      },
      return: async () => {
        await iterator.close();
        return { done: true, value: undefined };
      },
    };
    return entries;
  }

  /** A chained batch: half the cost of an array of operations, which the native side reads property by property. */
  batch(): BackendBatch {
    const batch = this.#call(() => this.#db.batch());
    return {
      put: (key, value) => void batch.put(key, value),
      del: (key) => void batch.del(key),
      write: () => this.#await(() => batch.write()),
    };
  }

  clear({ gte, lt }: KeyRange, limit: number): Promise<void> {
    return this.#await(() => this.#db.clear({ gte, ...(lt === undefined ? {} : { lt }), limit }));
  }

  close(): Promise<void> {
    return this.#await(() => this.#db.close());
  }

  #call<T>(step: () => T): T {
    try {
      return step();
    } catch (error) {
      throw translateLevelError(this.#directory, error);
    }
  }

  async #await<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      throw translateLevelError(this.#directory, error);
    }
  }
}

/** The first key behind all keys with this prefix. */
export function prefixEnd(prefix: Buffer): Buffer | undefined {
  const end = Buffer.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    if (end[i] !== 0xff) {
      end[i]!++;
      return end.subarray(0, i + 1);
    }
  }
  return undefined;
}
