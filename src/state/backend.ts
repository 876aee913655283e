/**
 * Where a task's committed bytes are kept: a sorted map from key bytes to value bytes with an atomic batch. LevelDB for
 * persistent stores, memory for the others. Point reads are synchronous, all else is not: the record path only gets.
 */
import { mkdirSync } from 'node:fs';
import { Level } from 'level';
import { latin1 } from '../bytes.ts';
import { StateStoreClosedError, translateLevelError } from './errors.ts';

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

export interface StateBackend {
  readonly persistent: boolean;
  get(key: Buffer): Buffer | undefined;
  /** Ascending by bytes (or descending); a snapshot as of the first step. */
  entries(range: KeyRange): AsyncIterable<readonly [Buffer, Buffer]>;
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
      if (this.#db.status !== 'open') throw new StateStoreClosedError(this.#directory);
      throw translateLevelError(this.#directory, error);
    }
  }

  async *entries({ gte, lt, reverse = false }: KeyRange): AsyncIterable<readonly [Buffer, Buffer]> {
    try {
      yield* this.#db.iterator({ gte, ...(lt === undefined ? {} : { lt }), reverse });
    } catch (error) {
      throw translateLevelError(this.#directory, error);
    }
  }

  /** A chained batch: half the cost of an array of operations, which the native side reads property by property. */
  batch(): BackendBatch {
    const directory = this.#directory;
    const batch = this.#db.batch();
    return {
      put: (key, value) => void batch.put(key, value),
      del: (key) => void batch.del(key),
      async write() {
        try {
          await batch.write();
        } catch (error) {
          throw translateLevelError(directory, error);
        }
      },
    };
  }

  async clear({ gte, lt }: KeyRange, limit: number): Promise<void> {
    await this.#db.clear({ gte, ...(lt === undefined ? {} : { lt }), limit });
  }

  close(): Promise<void> {
    return this.#db.close();
  }
}

export class MemoryBackend implements StateBackend {
  readonly persistent = false;
  readonly #entries = new Map<string, Buffer>();

  get(key: Buffer): Buffer | undefined {
    return this.#entries.get(latin1(key));
  }

  async *entries(range: KeyRange): AsyncIterable<readonly [Buffer, Buffer]> {
    for (const key of this.#keys(range)) {
      const value = this.#entries.get(key);
      if (value !== undefined) yield [Buffer.from(key, 'latin1'), value];
    }
  }

  batch(): BackendBatch {
    const changes: [string, Buffer | null][] = [];
    return {
      put: (key, value) => void changes.push([latin1(key), Buffer.from(value)]),
      del: (key) => void changes.push([latin1(key), null]),
      write: async () => {
        for (const [key, value] of changes) {
          if (value === null) this.#entries.delete(key);
          else this.#entries.set(key, value);
        }
      },
    };
  }

  async clear(range: KeyRange, limit: number): Promise<void> {
    for (const key of this.#keys(range).slice(0, limit)) this.#entries.delete(key);
  }

  async close(): Promise<void> {
    this.#entries.clear();
  }

  /** Latin-1 strings sort as their bytes. Sorting per scan: scans are rare, and never on the record path. */
  #keys({ gte, lt, reverse = false }: KeyRange): string[] {
    const from = latin1(gte);
    const to = lt === undefined ? undefined : latin1(lt);
    const keys = [...this.#entries.keys()].filter((key) => key >= from && (to === undefined || key < to)).sort();
    return reverse ? keys.reverse() : keys;
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
