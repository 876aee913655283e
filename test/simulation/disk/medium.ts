/** What a disk's databases are kept in: a map in memory, or LevelDB. It knows nothing of time, processes and faults. */
import { latin1 } from '../../../src/bytes.ts';
import type { KeyRange } from '../../../src/state/backend.ts';

export type Change = readonly [key: Buffer, value: Buffer | null];

export interface MediumDatabase {
  get(key: Buffer): Buffer | undefined;
  /** A snapshot as of the call, in the order that the range asks for. */
  entries(range: KeyRange): Promise<(readonly [Buffer, Buffer])[]>;
  /** Atomic. */
  write(changes: readonly Change[]): Promise<void>;
  close(): Promise<void>;
}

export interface Medium {
  open(directory: string): Promise<MediumDatabase>;
  destroy(directory: string): void;
}

export class MemoryMedium implements Medium {
  readonly #databases = new Map<string, MemoryDatabase>();

  async open(directory: string): Promise<MediumDatabase> {
    let database = this.#databases.get(directory);
    if (database === undefined) this.#databases.set(directory, (database = new MemoryDatabase()));
    return database;
  }

  destroy(directory: string): void {
    for (const name of this.#databases.keys())
      if (name === directory || name.startsWith(`${directory}/`)) this.#databases.delete(name);
  }
}

class MemoryDatabase implements MediumDatabase {
  /** Keys as latin-1, which sorts as the bytes do. */
  readonly #entries = new Map<string, Buffer>();

  get(key: Buffer): Buffer | undefined {
    return this.#entries.get(latin1(key));
  }

  async entries({ gte, lt, reverse = false }: KeyRange): Promise<(readonly [Buffer, Buffer])[]> {
    const from = latin1(gte);
    const to = lt === undefined ? undefined : latin1(lt);
    const keys = [...this.#entries.keys()].filter((key) => key >= from && (to === undefined || key < to)).sort();
    if (reverse) keys.reverse();
    return keys.map((key) => [Buffer.from(key, 'latin1'), this.#entries.get(key)!] as const);
  }

  async write(changes: readonly Change[]): Promise<void> {
    for (const [key, value] of changes) {
      if (value === null) this.#entries.delete(latin1(key));
      else this.#entries.set(latin1(key), value);
    }
  }

  /** The disk keeps what is on it. */
  async close(): Promise<void> {}
}
