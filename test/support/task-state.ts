/** A task's state with a changelog that is an array: opened on a disk, restored from that, closed and opened again. */
import type { CacheBudget, StateStorage } from '../../src/state/index.ts';
import {
  type AnyStoreDescription,
  CacheBudget as Budget,
  type LiveStore,
  TaskState,
  type WriteContext,
} from '../../src/state/index.ts';

export interface Logged {
  readonly key: Buffer;
  readonly value: Buffer | null;
  readonly timestamp: number;
}

/** A changelog topic by the store's name. */
export type Changelogs = Map<string, Logged[]>;

export interface OpenOptions {
  readonly stores: readonly AnyStoreDescription[];
  readonly directory?: string | undefined;
  readonly storage?: StateStorage;
  readonly changelogs?: Changelogs;
  readonly budget?: CacheBudget;
  readonly node?: () => string;
}

export class OpenState {
  readonly state: TaskState<WriteContext>;
  readonly budget: CacheBudget;
  readonly changelogs: Changelogs;
  /** Stores wiped at the opening, with whether they are logged. */
  readonly wiped: [string, boolean][] = [];
  expired = 0;

  private constructor(state: TaskState<WriteContext>, budget: CacheBudget, changelogs: Changelogs) {
    this.state = state;
    this.budget = budget;
    this.changelogs = changelogs;
  }

  /** Without `restored()`: positions are as the database says. */
  static async open({
    stores,
    directory,
    storage,
    changelogs = new Map(),
    budget,
    node,
  }: OpenOptions): Promise<OpenState> {
    const used = budget ?? new Budget(1_000_000);
    const wiped: [string, boolean][] = [];
    let opened: OpenState | undefined;
    const state = await TaskState.open<WriteContext>({
      directory,
      ...(storage === undefined ? {} : { storage }),
      ...(node === undefined ? {} : { node }),
      stores,
      budget: used,
      changelogTopic: (name) => (stores.find((store) => store.name === name)?.loggingEnabled ? name : undefined),
      changelog: {
        log: (store, key, keyStart, keyEnd, value, valueStart, valueLength, timestamp) => {
          const log = changelogs.get(store) ?? [];
          changelogs.set(store, log);
          log.push({
            key: Buffer.from(key.subarray(keyStart, keyEnd)),
            value: valueLength < 0 ? null : Buffer.from(value.subarray(valueStart, valueStart + valueLength)),
            timestamp,
          });
        },
      },
      context: () => ({ timestamp: 7 }),
      onExpired: () => {
        opened!.expired++;
      },
      onWiped: (store, logged) => wiped.push([store, logged]),
    });
    opened = new OpenState(state, used, changelogs);
    opened.wiped.push(...wiped);
    return opened;
  }

  static async restored(options: OpenOptions): Promise<OpenState> {
    const opened = await OpenState.open(options);
    for (const { name } of options.stores) await opened.restore(name);
    opened.state.restored();
    return opened;
  }

  // biome-ignore lint/suspicious/noExplicitAny: stores of any types, as in TaskState
  live(name: string): LiveStore<any, any, WriteContext> {
    return this.state.stores.get(name)!;
  }

  /** From where the database stands to the end. */
  async restore(name: string): Promise<void> {
    const log = this.changelogs.get(name) ?? [];
    const from = this.state.position(name)?.offset ?? 0;
    if (from < log.length) await this.restoreBatch(name, log.length);
  }

  /** From where the database stands to an offset. */
  restoreBatch(name: string, to: number, asOfMs?: number): Promise<void> {
    const log = this.changelogs.get(name)!;
    const batch = this.state.restoring(name);
    for (const { key, value, timestamp } of log.slice(this.state.position(name)?.offset ?? 0, to)) {
      const bytes = Buffer.concat([key, value ?? Buffer.alloc(0)]);
      this.live(name).restore(batch, bytes, 0, key.length, key.length, value === null ? -1 : value.length, timestamp);
    }
    return this.state.restore(name, batch, to, asOfMs);
  }

  /** Flushes and commits with the ends of all changelogs. */
  async commit(nowMs = 1): Promise<void> {
    this.state.flush();
    await this.state.commit(new Map([...this.changelogs].map(([name, log]) => [name, log.length])), nowMs);
  }

  /** As a spent budget does. */
  evict(): void {
    this.state.flush();
    this.budget.usedBytes += this.budget.maxBytes * 2;
    this.state.evict(false);
    this.budget.usedBytes -= this.budget.maxBytes * 2;
  }
}
