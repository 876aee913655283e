/**
 * Bytes in memory: what in-memory stores and tasks without a folder stand on. A Map, with its keys in order beside it
 * from the first scan on.
 */
import { latin1 } from '../bytes.ts';
import type { BackendBatch, BackendEntries, KeyRange, StateBackend } from './backend.ts';
import { StateStoreClosedError } from './errors.ts';

export class MemoryBackend implements StateBackend {
  readonly persistent = false;
  /** By the key's bytes as Latin-1 text, which sorts as they do. */
  readonly #entries = new Map<string, Buffer>();
  /** Ascending; undefined before the first scan. May have keys that are deleted since. */
  #sorted: string[] | undefined;
  /** Put since `#sorted` was made; may be in it, where a key was deleted and put again. */
  #added: string[] = [];
  #closed = false;

  get(key: Buffer): Buffer | undefined {
    this.#checkOpen();
    return this.#entries.get(latin1(key));
  }

  entries(range: KeyRange): BackendEntries {
    this.#checkOpen();
    const snapshot: (readonly [string, Buffer])[] = [];
    for (const key of this.#keys(range)) {
      const value = this.#entries.get(key);
      if (value !== undefined) snapshot.push([key, value]);
    }
    if (range.reverse === true) snapshot.reverse();
    return this.#given(snapshot);
  }

  batch(): BackendBatch {
    this.#checkOpen();
    const changes: [string, Buffer | null][] = [];
    return {
      put: (key, value) => void changes.push([latin1(key), Buffer.from(value)]),
      del: (key) => void changes.push([latin1(key), null]),
      write: async () => {
        this.#checkOpen();
        for (const [key, value] of changes) {
          if (value === null) this.#entries.delete(key);
          else {
            if (this.#sorted !== undefined && !this.#entries.has(key)) this.#added.push(key);
            this.#entries.set(key, value);
          }
        }
      },
    };
  }

  async clear(range: KeyRange, limit: number): Promise<void> {
    this.#checkOpen();
    let left = limit;
    for (const key of this.#keys(range)) {
      if (left <= 0) return;
      if (this.#entries.delete(key)) left--;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#entries.clear();
    this.#sorted = undefined;
    this.#added = [];
  }

  async *#given(snapshot: readonly (readonly [string, Buffer])[]): BackendEntries {
    for (const [key, value] of snapshot) {
      this.#checkOpen();
      yield [Buffer.from(key, 'latin1'), value];
    }
  }

  /** The keys of a range, ascending; deleted ones may be among them. */
  #keys({ gte, lt }: KeyRange): readonly string[] {
    const sorted = this.#inOrder();
    const from = firstAtOrAfter(sorted, latin1(gte));
    const to = lt === undefined ? sorted.length : firstAtOrAfter(sorted, latin1(lt));
    return sorted.slice(from, to);
  }

  #inOrder(): readonly string[] {
    if (this.#sorted === undefined) this.#sorted = [...this.#entries.keys()].sort();
    else if (this.#added.length > 0) {
      this.#sorted = merged(this.#sorted, this.#added.sort(), (key) => this.#entries.has(key));
      this.#added = [];
    }
    return this.#sorted;
  }

  #checkOpen(): void {
    if (this.#closed) throw new StateStoreClosedError('(in memory)');
  }
}

function firstAtOrAfter(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Two ascending lists as one, each key once. */
function merged(a: readonly string[], b: readonly string[], isThere: (key: string) => boolean): string[] {
  const result: string[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const next = j >= b.length || (i < a.length && a[i]! <= b[j]!) ? a[i++]! : b[j++]!;
    if (next !== result[result.length - 1] && isThere(next)) result.push(next);
  }
  return result;
}
