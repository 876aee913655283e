/**
 * LevelDB as a disk's medium, for the slow mode: each native call happens in the real world while virtual time stands
 * still, so that a run is as repeatable as one in memory.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type KeyRange, openLevelBackend, type StateBackend } from '../../../src/state/backend.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Change, Medium, MediumDatabase } from './medium.ts';

export class LevelMedium implements Medium {
  readonly #kernel: Kernel;
  readonly #folder: string;
  readonly #open = new Map<string, StateBackend>();

  /** @param folder a real one, for this disk alone */
  constructor(kernel: Kernel, folder: string) {
    this.#kernel = kernel;
    this.#folder = folder;
  }

  async open(directory: string): Promise<MediumDatabase> {
    const outside = <T>(run: () => Promise<T>): Promise<T> => this.#kernel.outside(0, run);
    const left = this.#open.get(directory);
    // Its process was killed, and the system closed its files.
    if (left !== undefined) await outside(() => left.close());
    const level = await outside(() => openLevelBackend(join(this.#folder, directory)));
    this.#open.set(directory, level);
    return {
      get: (key) => level.get(key),
      entries: (range: KeyRange) => outside(() => all(level.entries(range))),
      write: (changes: readonly Change[]) =>
        outside(() => {
          const batch = level.batch();
          for (const [key, value] of changes) {
            if (value === null) batch.del(key);
            else batch.put(key, value);
          }
          return batch.write();
        }),
      close: async () => {
        this.#open.delete(directory);
        await outside(() => level.close());
      },
    };
  }

  destroy(directory: string): void {
    rmSync(join(this.#folder, directory), { recursive: true, force: true });
  }

  /** At the end of a run, outside virtual time. */
  async closeAll(): Promise<void> {
    for (const level of this.#open.values()) await level.close();
    this.#open.clear();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function all<T>(entries: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const entry of entries) out.push(entry);
  return out;
}
