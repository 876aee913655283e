/**
 * A database as `forEachBatch` sees one: slow, away now and then, and its answers get lost. It stores the rows of a batch
 * and its positions at once, or nothing; with positions, only where they are as expected.
 */
import { BatchFencedError, type BatchPosition, type InputPartition } from '../../../src/index.ts';

export class Database {
  /** Numbers of records, in the order in which they were stored. */
  readonly rows: number[] = [];
  readonly #known = new Set<number>();
  readonly #positions = new Map<string, number>();

  has(id: number): boolean {
    return this.#known.has(id);
  }

  /** @param positions undefined: they are not looked at */
  store(ids: readonly number[], positions: readonly BatchPosition[] | undefined): void {
    const expected = (at: BatchPosition): number | null => this.#positions.get(nameOf(at)) ?? null;
    if (positions !== undefined) {
      // The answer to a try before was lost.
      if (positions.every((at) => expected(at) === at.next)) return;
      if (positions.some((at) => expected(at) !== at.expected)) throw new BatchFencedError();
      for (const at of positions) this.#positions.set(nameOf(at), at.next);
    }
    for (const id of ids) {
      this.rows.push(id);
      this.#known.add(id);
    }
  }

  load(partitions: readonly InputPartition[]): (InputPartition & { readonly offset: number })[] {
    return partitions.flatMap((at) => {
      const offset = this.#positions.get(nameOf(at));
      return offset === undefined ? [] : [{ ...at, offset }];
    });
  }
}

const nameOf = ({ topic, partition }: InputPartition): string => `${topic}/${partition}`;

/** Longer than any try may take. */
const HANGS_MS = 600_000;
/** ms that a try may take. */
export const ATTEMPT_MS = 2_000;
/** Mostly quick; records of one key wait for each other. */
const BEFORE_MS = [...Array.from({ length: 16 }, () => [0, 1, 5, 40]).flat(), 1_000, HANGS_MS];

/** What happens to a piece of work, by its number and how often it was tried: the same in every run of a seed. */
export function fateOf(
  id: number,
  attempt: number,
): { readonly beforeMs: number; readonly fails: boolean; readonly afterMs: number } {
  let hash = Math.imul(id + 1, 0x9e3779b1) ^ Math.imul(attempt, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
  const pick = <T>(list: readonly T[]): T => {
    const chosen = list[hash % list.length]!;
    hash = Math.imul(hash ^ (hash >>> 13), 0x297a2d39) >>> 0;
    return chosen;
  };
  return {
    beforeMs: pick(BEFORE_MS),
    fails: attempt < 4 && pick([false, false, false, true]),
    afterMs: pick([0, 0, 0, 0, 0, 1, 20, 400]),
  };
}

export const RETRY = { initialMs: 50, maxMs: 1_000, maxAttempts: Number.POSITIVE_INFINITY } as const;

/** Ends early where nobody waits any more. */
export function wait(ms: number, signal: AbortSignal): Promise<void> {
  if (ms === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
