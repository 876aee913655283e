/** A disk in memory for task databases: keeps what was written over close and open, and can hold or refuse writes. */
import { latin1 } from '../../src/bytes.ts';
import type { BackendBatch, BackendEntries, KeyRange, StateBackend, StateStorage } from '../../src/state/index.ts';

type Entries = Map<string, Buffer>;

export class MemoryStorage implements StateStorage {
  readonly #folders = new Map<string, Entries>();
  #held: (() => void)[] | undefined;
  #failures = 0;
  /** Writes of batches that are under way, and the most there ever were at once. */
  writing = 0;
  mostWriting = 0;
  /** Batches and clears that took effect. */
  written = 0;
  /** Entries that iterations handed out or could have. */
  scanned = 0;
  /** Called before each batch and clear takes effect; may throw, as a process that dies there. */
  beforeWrite: (() => void) | undefined;

  async open(directory: string): Promise<StateBackend> {
    const entries: Entries = this.#folders.get(directory) ?? new Map();
    this.#folders.set(directory, entries);
    return new StoredBackend(
      entries,
      (effect) => this.#write(effect),
      (count) => {
        this.scanned += count;
      },
    );
  }

  destroy(directory: string): void {
    this.#folders.delete(directory);
  }

  /** The folder's entries by key text. */
  contents(directory: string): Entries {
    return this.#folders.get(directory)!;
  }

  /** From now on writes wait for `release`. */
  hold(): void {
    this.#held = [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const go of held) go();
  }

  failNext(writes = 1): void {
    this.#failures = writes;
  }

  async #write(effect: () => void): Promise<void> {
    this.writing++;
    this.mostWriting = Math.max(this.mostWriting, this.writing);
    try {
      await new Promise<void>((resolve) =>
        this.#held === undefined ? setImmediate(resolve) : this.#held.push(resolve),
      );
      if (this.#failures > 0) {
        this.#failures--;
        throw new Error('the disk refused');
      }
      this.beforeWrite?.();
      effect();
      this.written++;
    } finally {
      this.writing--;
    }
  }
}

class StoredBackend implements StateBackend {
  readonly persistent = true;
  readonly #entries: Entries;
  readonly #write: (effect: () => void) => Promise<void>;

  readonly #scanned: (count: number) => void;

  constructor(entries: Entries, write: (effect: () => void) => Promise<void>, scanned: (count: number) => void) {
    this.#entries = entries;
    this.#write = write;
    this.#scanned = scanned;
  }

  get(key: Buffer): Buffer | undefined {
    return this.#entries.get(latin1(key));
  }

  entries(range: KeyRange): BackendEntries {
    const snapshot = this.#keys(range).map((key) => [Buffer.from(key, 'latin1'), this.#entries.get(key)!] as const);
    this.#scanned(snapshot.length);
    return (async function* () {
      yield* snapshot;
    })();
  }

  batch(): BackendBatch {
    const changes: [string, Buffer | null][] = [];
    return {
      put: (key, value) => void changes.push([latin1(key), Buffer.from(value)]),
      del: (key) => void changes.push([latin1(key), null]),
      write: () =>
        this.#write(() => {
          for (const [key, value] of changes)
            value === null ? this.#entries.delete(key) : this.#entries.set(key, value);
        }),
    };
  }

  clear(range: KeyRange, limit: number): Promise<void> {
    return this.#write(() => {
      for (const key of this.#keys(range).slice(0, limit)) this.#entries.delete(key);
    });
  }

  async close(): Promise<void> {}

  #keys({ gte, lt, reverse = false }: KeyRange): string[] {
    const [from, to] = [latin1(gte), lt === undefined ? undefined : latin1(lt)];
    const keys = [...this.#entries.keys()].filter((key) => key >= from && (to === undefined || key < to)).sort();
    return reverse ? keys.reverse() : keys;
  }
}
