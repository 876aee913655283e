/**
 * One store's bytes within its task: committed ones in the backend, uncommitted ones in an overlay that a commit writes
 * in one batch. Reads go overlay, then backend. LevelDB so holds committed state only: after a crash the changelog is
 * replayed from the position the last batch carried, and nothing is wiped.
 */
import { latin1 } from '../bytes.ts';
import type { BackendBatch, KeyRange, StateBackend } from './backend.ts';
import { prefixEnd } from './backend.ts';

/** Bookkeeping of a Map entry, on top of key and value. */
const OVERLAY_ENTRY_BYTES = 100;

export class StoreBytes {
  readonly backend: StateBackend;
  /** The store's id, before every key. */
  readonly prefix: Buffer;
  /** Keys (latin-1, with prefix) to uncommitted values; null is a delete. */
  readonly #overlay = new Map<string, Buffer | null>();
  #overlayBytes = 0;

  constructor(backend: StateBackend, storeId: number) {
    this.backend = backend;
    this.prefix = Buffer.from([storeId >> 8, storeId & 0xff]);
  }

  get uncommittedBytes(): number {
    return this.#overlayBytes;
  }

  /** @param key with prefix */
  get(key: Buffer): Buffer | undefined {
    if (this.#overlay.size > 0) {
      const pending = this.#overlay.get(latin1(key));
      if (pending !== undefined) return pending ?? undefined;
    }
    return this.backend.get(key);
  }

  /** @param key with prefix; both buffers are kept */
  set(key: Buffer, value: Buffer | null): void {
    const text = latin1(key);
    const previous = this.#overlay.get(text);
    if (previous === undefined) this.#overlayBytes += OVERLAY_ENTRY_BYTES + key.length;
    this.#overlayBytes += (value?.length ?? 0) - (previous?.length ?? 0);
    this.#overlay.set(text, value);
  }

  /** What a commit writes. */
  addTo(batch: BackendBatch): void {
    for (const [text, value] of this.#overlay) {
      const key = Buffer.from(text, 'latin1');
      if (value === null) batch.del(key);
      else batch.put(key, value);
    }
  }

  /** After the commit's batch is written. */
  committed(): void {
    this.#overlay.clear();
    this.#overlayBytes = 0;
  }

  /** Entries of a range of keys (with prefix), uncommitted ones included, in the order of their bytes. */
  async *entries(range: KeyRange): AsyncIterable<readonly [Buffer, Buffer]> {
    const from = latin1(range.gte);
    const lt = range.lt ?? prefixEnd(this.prefix);
    const to = lt === undefined ? undefined : latin1(lt);
    const pending = [...this.#overlay].filter(([key]) => key >= from && (to === undefined || key < to));
    pending.sort(([a], [b]) => (a < b ? -1 : 1) * (range.reverse === true ? -1 : 1));
    let next = 0;
    for await (const [key, value] of this.backend.entries({ ...range, lt })) {
      const text = latin1(key);
      while (next < pending.length && isBefore(pending[next]![0], text, range.reverse === true)) {
        const [pendingKey, pendingValue] = pending[next++]!;
        if (pendingValue !== null) yield [Buffer.from(pendingKey, 'latin1'), pendingValue];
      }
      if (next < pending.length && pending[next]![0] === text) continue;
      if (!this.#overlay.has(text)) yield [key, value];
    }
    for (; next < pending.length; next++) {
      const [pendingKey, pendingValue] = pending[next]!;
      if (pendingValue !== null) yield [Buffer.from(pendingKey, 'latin1'), pendingValue];
    }
  }
}

function isBefore(a: string, b: string, reverse: boolean): boolean {
  return reverse ? a > b : a < b;
}
