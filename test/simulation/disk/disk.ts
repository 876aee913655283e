/**
 * A machine's disk, in the place of LevelDB: databases that outlive the processes that use them. Every step takes virtual
 * time; what was not written at a kill is gone; a database is locked until it is closed, or its process ends.
 */
import type { BackendBatch, BackendEntries, KeyRange, StateBackend } from '../../../src/state/backend.ts';
import {
  CorruptStateError,
  StateDirectoryLockedError,
  StateStoreClosedError,
  StateWriteError,
} from '../../../src/state/errors.ts';
import type { StateStorage } from '../../../src/state/storage.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Owner } from '../kernel/owner.ts';
import type { Random } from '../kernel/random.ts';
import { type Change, type Medium, type MediumDatabase, MemoryMedium } from './medium.ts';

const OPEN_US = 4_000;
const WRITE_US = 300;
const READ_US = 200;
/** Entries that one step of an iteration brings. */
const READ_ENTRIES = 100;

export class Disk implements StateStorage {
  /** Why writes fail; undefined: they do not. */
  refusing: 'full' | 'io' | undefined;
  /** How many times as long as usual everything takes. */
  slowness = 1;
  /** Folders that cannot be read when they are opened next. */
  readonly damaged = new Set<string>();
  /** Told of every write that has taken effect. */
  onWrite: (owner: Owner, directory: string, entries: number) => void = () => {};
  readonly #kernel: Kernel;
  readonly #medium: Medium;
  readonly #random: Random;
  readonly #locks = new Map<string, Owner>();

  constructor(kernel: Kernel, machine: string, medium: Medium = new MemoryMedium()) {
    this.#kernel = kernel;
    this.#medium = medium;
    this.#random = kernel.random.of(`disk ${machine}`);
  }

  /** Databases that a process has open. */
  openOf(owner: Owner): string[] {
    return [...this.#locks].filter(([, holder]) => holder === owner).map(([directory]) => directory);
  }

  /** Every folder that was ever opened and is there. */
  readonly folders = new Set<string>();

  async open(directory: string): Promise<StateBackend> {
    const { owner } = this.#kernel;
    await this.delay(OPEN_US);
    const holder = this.#locks.get(directory);
    if (holder?.alive === true) throw new StateDirectoryLockedError(directory, new Error(`held by ${holder.name}`));
    if (this.damaged.has(directory)) throw new CorruptStateError(directory, new Error('Corruption: checksum mismatch'));
    this.check(directory);
    this.#locks.set(directory, owner);
    this.folders.add(directory);
    return new DiskDatabase(this, this.#kernel, owner, directory, await this.#medium.open(directory));
  }

  destroy(directory: string): void {
    for (const [name, holder] of this.#locks)
      if (isWithin(name, directory) && holder.alive)
        throw new Error(`${name} is deleted while ${holder.name} has it open`);
    for (const set of [this.damaged, this.folders])
      for (const name of set) if (isWithin(name, directory)) set.delete(name);
    this.#medium.destroy(directory);
  }

  /** The process lets go of a database. */
  unlock(directory: string): void {
    this.#locks.delete(directory);
  }

  /** Some time, on average; an event of the running process. */
  delay(meanUs: number): Promise<void> {
    const us = this.slowness * (meanUs / 4 + this.#random.exponential((meanUs * 3) / 4));
    return new Promise((resolve) => this.#kernel.schedule(us, this.#kernel.owner, 'io', resolve));
  }

  /** @throws StateWriteError the disk takes no writes now */
  check(directory: string): void {
    if (this.refusing === 'full') throw new StateWriteError(directory, new Error('IO error: No space left on device'));
    if (this.refusing === 'io') throw new StateWriteError(directory, new Error('IO error: Input/output error'));
  }
}

function isWithin(name: string, directory: string): boolean {
  return name === directory || name.startsWith(`${directory}/`);
}

class DiskDatabase implements StateBackend {
  readonly persistent = true;
  readonly #disk: Disk;
  readonly #kernel: Kernel;
  readonly #owner: Owner;
  readonly #directory: string;
  readonly #database: MediumDatabase;
  readonly #writing = new Set<Promise<void>>();
  #closed = false;

  constructor(disk: Disk, kernel: Kernel, owner: Owner, directory: string, database: MediumDatabase) {
    this.#disk = disk;
    this.#kernel = kernel;
    this.#owner = owner;
    this.#directory = directory;
    this.#database = database;
  }

  get(key: Buffer): Buffer | undefined {
    this.#checkOpen();
    return this.#database.get(key);
  }

  /** The snapshot is as of this call; its entries come in steps that take time. */
  entries(range: KeyRange): BackendEntries {
    this.#checkOpen();
    const snapshot = this.#database.entries(range);
    snapshot.catch(() => {});
    return this.#steps(snapshot);
  }

  async *#steps(
    snapshot: Promise<(readonly [Buffer, Buffer])[]>,
  ): AsyncGenerator<readonly [Buffer, Buffer], void, undefined> {
    for (const [index, entry] of (await snapshot).entries()) {
      if (index % READ_ENTRIES === 0) await this.#disk.delay(READ_US);
      this.#checkOpen();
      yield entry;
    }
  }

  batch(): BackendBatch {
    const changes: Change[] = [];
    return {
      put: (key, value) => void changes.push([Buffer.from(key), Buffer.from(value)]),
      del: (key) => void changes.push([Buffer.from(key), null]),
      write: () => this.#write(async () => changes),
    };
  }

  /** In several steps, as LevelDB does: a kill may find it half done. */
  async clear(range: KeyRange, limit: number): Promise<void> {
    for (let left = limit; left > 0; left -= READ_ENTRIES) {
      let count = 0;
      await this.#write(async () => {
        const entries = (await this.#database.entries(range)).slice(0, Math.min(left, READ_ENTRIES));
        count = entries.length;
        return entries.map(([key]) => [key, null]);
      });
      if (count < READ_ENTRIES) return;
    }
  }

  /** Writes that are under way are finished first. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#writing);
    await this.#disk.delay(READ_US);
    await this.#database.close();
    this.#disk.unlock(this.#directory);
  }

  /** Two writes may overtake each other, as the native threads' do. */
  #write(changesOf: () => Promise<readonly Change[]>): Promise<void> {
    this.#checkOpen();
    const write = this.#doWrite(changesOf).finally(() => this.#writing.delete(write));
    this.#writing.add(write);
    return write;
  }

  async #doWrite(changesOf: () => Promise<readonly Change[]>): Promise<void> {
    await this.#disk.delay(WRITE_US);
    if (!this.#kernel.mayAct(this.#owner)) return new Promise(() => {});
    this.#disk.check(this.#directory);
    const changes = await changesOf();
    await this.#database.write(changes);
    this.#disk.onWrite(this.#owner, this.#directory, changes.length);
    // A kill now finds it on the disk, though the process was not told.
    await this.#disk.delay(WRITE_US / 4);
  }

  #checkOpen(): void {
    if (this.#closed) throw new StateStoreClosedError(this.#directory);
  }
}
