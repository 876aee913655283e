/**
 * One store's bytes within its task: committed ones in the backend, uncommitted ones in an overlay that a commit writes
 * in one batch. Reads go overlay, then backend. LevelDB so holds committed state only: after a crash the changelog is
 * replayed from the position the last batch carried, and nothing is wiped.
 *
 * While a commit writes the overlay, what is flushed goes into another one above it. A commit that fails leaves its
 * overlay where it is, to be read and to be written by the next.
 */
import { latin1 } from '../bytes.ts';
import { type BackendBatch, type BackendEntries, prefixEnd, type StateBackend } from './backend.ts';
import type { LocalRange } from './store-layout.ts';

/** Bookkeeping of a Map entry, on top of key and value. */
const OVERLAY_ENTRY_BYTES = 100;

/** Keys (Latin-1, with prefix) to uncommitted values; null is a delete. */
class Overlay {
  readonly entries = new Map<string, Buffer | null>();
  bytes = 0;

  /** Both are kept. */
  set(key: string, value: Buffer | null): void {
    const previous = this.entries.get(key);
    if (previous === undefined) this.bytes += OVERLAY_ENTRY_BYTES + key.length;
    this.bytes += (value?.length ?? 0) - (previous?.length ?? 0);
    this.entries.set(key, value);
  }
}

/** What a commit writes of a store. */
export interface FrozenBytes {
  /** Returns how many entries they are. */
  addTo(batch: BackendBatch): number;
  /** To be called once the batch is written. */
  written(): void;
}

export class StoreBytes {
  readonly backend: StateBackend;
  /** The store's id, before every key. */
  readonly prefix: Buffer;
  /** The overlay that a flush writes to. */
  #top = new Overlay();
  /** Those below it that a commit is writing, or could not write; oldest first. */
  #frozen: readonly Overlay[] = [];

  constructor(backend: StateBackend, storeId: number) {
    this.backend = backend;
    this.prefix = Buffer.from([storeId >> 8, storeId & 0xff]);
  }

  get uncommittedBytes(): number {
    let { bytes } = this.#top;
    for (const overlay of this.#frozen) bytes += overlay.bytes;
    return bytes;
  }

  /** @param key with prefix */
  get(key: Buffer): Buffer | undefined {
    if (this.#top.entries.size > 0 || this.#frozen.length > 0) {
      const pending = this.#pending(latin1(key));
      if (pending !== undefined) return pending ?? undefined;
    }
    return this.backend.get(key);
  }

  /** @param key with prefix; both buffers are kept */
  set(key: Buffer, value: Buffer | null): void {
    this.#top.set(latin1(key), value);
  }

  /** Sets apart what there is to write: later changes go above it. */
  freeze(): FrozenBytes {
    if (this.#top.entries.size > 0) {
      this.#frozen = [...this.#frozen, this.#top];
      this.#top = new Overlay();
    }
    const frozen = this.#frozen;
    return {
      addTo: (batch) => {
        let count = 0;
        // What another commit has written since need not be written again.
        for (const { entries } of frozen.filter((overlay) => this.#frozen.includes(overlay))) {
          count += entries.size;
          for (const [text, value] of entries) {
            const key = Buffer.from(text, 'latin1');
            if (value === null) batch.del(key);
            else batch.put(key, value);
          }
        }
        return count;
      },
      written: () => {
        this.#frozen = this.#frozen.filter((overlay) => !frozen.includes(overlay));
      },
    };
  }

  /** Forgets what is not written. */
  discard(): void {
    this.#top = new Overlay();
    this.#frozen = [];
  }

  /**
   * Entries of ranges of keys, one range after the other, each in the order of its bytes, as of this call. To be iterated
   * at once: it holds the backend's snapshots.
   * @param changes lie over what is flushed (Latin-1 keys with prefix); null is a delete
   */
  snapshot(
    ranges: Iterable<LocalRange>,
    changes: ReadonlyMap<string, Buffer | null>,
  ): AsyncIterable<readonly [Buffer, Buffer]> {
    const layers = [...this.#frozen.map(({ entries }) => entries), this.#top.entries, changes];
    const parts: Part[] = [];
    for (const { from, to = prefixEnd(this.prefix) } of ranges) {
      parts.push({ above: changesIn(layers, from, to), below: this.backend.entries({ gte: from, lt: to }) });
    }
    return laidOver(parts);
  }

  #pending(key: string): Buffer | null | undefined {
    const top = this.#top.entries.get(key);
    if (top !== undefined) return top;
    for (let i = this.#frozen.length - 1; i >= 0; i--) {
      const frozen = this.#frozen[i]!.entries.get(key);
      if (frozen !== undefined) return frozen;
    }
    return undefined;
  }
}

/** A range of keys: what is not committed, ascending, and what is. */
interface Part {
  readonly above: readonly (readonly [string, Buffer | null])[];
  readonly below: BackendEntries;
}

/** Of the layers, the upper comes last. */
function changesIn(
  layers: readonly ReadonlyMap<string, Buffer | null>[],
  from: Buffer,
  to: Buffer | undefined,
): (readonly [string, Buffer | null])[] {
  const low = latin1(from);
  const high = to === undefined ? undefined : latin1(to);
  const changes = new Map<string, Buffer | null>();
  for (const layer of layers) {
    for (const [key, value] of layer) if (key >= low && (high === undefined || key < high)) changes.set(key, value);
  }
  return [...changes].sort(([a], [b]) => (a < b ? -1 : 1));
}

async function* laidOver(parts: readonly Part[]): AsyncIterable<readonly [Buffer, Buffer]> {
  try {
    for (const part of parts) yield* merged(part);
  } finally {
    for (const { below } of parts) await below.return?.();
  }
}

/** Two ascending lists as one; of a key in both the upper counts, and its null leaves the key out. */
async function* merged({ above, below }: Part): AsyncIterable<readonly [Buffer, Buffer]> {
  let next = 0;
  for await (const entry of below) {
    const key = latin1(entry[0]);
    for (; next < above.length && above[next]![0] < key; next++) {
      const [text, value] = above[next]!;
      if (value !== null) yield [Buffer.from(text, 'latin1'), value];
    }
    // Of the same key: the upper is handed out with the next turn, or at the end.
    if (next < above.length && above[next]![0] === key) continue;
    yield entry;
  }
  for (; next < above.length; next++) {
    const [text, value] = above[next]!;
    if (value !== null) yield [Buffer.from(text, 'latin1'), value];
  }
}
