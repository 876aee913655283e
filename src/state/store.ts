/** The interfaces of state stores, and how stores are described in a topology. Names and meaning are Kafka Streams'. */
import type { Serde } from '../serdes/index.ts';
import { InvalidStoreError } from './errors.ts';

export interface ValueAndTimestamp<V> {
  readonly value: V;
  /** ms since the epoch: the record time of the newest update. */
  readonly timestamp: number;
}

/**
 * An iteration is a snapshot as of its first step: what is put, flushed or committed while it goes on is not in it. It is
 * to be read to its end or ended with `break`; until then the database keeps what was there. After a store is closed, the
 * next step throws.
 */
export interface ReadOnlyKeyValueStore<K, V> {
  readonly name: string;
  /** Synchronous. Null where the key is absent. The value is a copy. @throws MILLRACE_STATE_STORE_CLOSED */
  get(key: K): V | null;
  /** All entries, in the order of the keys' bytes. */
  all(): AsyncIterable<readonly [K, V]>;
  /** Entries with `from` ≤ key ≤ `to` in the order of the keys' bytes. */
  range(from: K, to: K): AsyncIterable<readonly [K, V]>;
}

export interface KeyValueStore<K, V> extends ReadOnlyKeyValueStore<K, V> {
  /**
   * Null deletes. The value is serialised at once: it may be changed afterwards.
   * @throws MILLRACE_SERDES_SERIALIZATION key or value are not what the serdes write; nothing is changed
   */
  put(key: K, value: V | null): void;
  /** Puts unless the key is there; returns what was there before. */
  putIfAbsent(key: K, value: V): V | null;
  /** Returns what was there before. */
  delete(key: K): V | null;
}

/** Iterations are snapshots, see {@link ReadOnlyKeyValueStore}. */
export interface ReadOnlyWindowStore<K, V> {
  readonly name: string;
  /** Synchronous, a copy. Null where there is no such window, or retention has ended for it. */
  fetch(key: K, windowStartMs: number): V | null;
  /** The key's windows that start from `fromMs` to `toMs` (both inclusive), by start. Costs what the key's windows cost. */
  fetchRange(key: K, fromMs: number, toMs: number): AsyncIterable<readonly [number, V]>;
  /** Every window that retention has not ended for, by start, then by the key's bytes. */
  all(): AsyncIterable<readonly [{ readonly key: K; readonly windowStartMs: number }, V]>;
}

export interface WindowStore<K, V> extends ReadOnlyWindowStore<K, V> {
  /**
   * Null deletes. A window whose retention has ended is dropped and counted. The value is serialised at once.
   * @param windowStartMs ms since the epoch, a whole number ≥ 0
   * @throws MILLRACE_STATE_INVALID_WINDOW_START; MILLRACE_SERDES_SERIALIZATION key or value are not what the serdes write
   */
  put(key: K, value: V | null, windowStartMs: number): void;
}

/** Where the bytes of committed state are kept. */
export type StoreKind = 'persistent' | 'in-memory';

interface StoreDescription<K, V> {
  readonly name: string;
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  readonly kind: StoreKind;
  /** Updates go downstream with each flush (true) or one by one (false). Stores of the DSL cache by default. */
  readonly cachingEnabled: boolean;
  /** Whether there is a changelog topic; without one the state is lost with its directory. */
  readonly loggingEnabled: boolean;
  /** Additional configs of the changelog topic. */
  readonly topicConfigs: Readonly<Record<string, string>>;
  /** Values carry their record's timestamp (all stores of the DSL). */
  readonly timestamped: boolean;
}

export interface KeyValueStoreDescription<K = unknown, V = unknown> extends StoreDescription<K, V> {
  readonly type: 'key-value';
}

export interface WindowStoreDescription<K = unknown, V = unknown> extends StoreDescription<K, V> {
  readonly type: 'window';
  /** ms a window can be read after stream time passed its start. */
  readonly retentionMs: number;
  readonly windowSizeMs: number;
}

// biome-ignore lint/suspicious/noExplicitAny: a list of stores holds any key and value types; the surface is typed
export type AnyStoreDescription = KeyValueStoreDescription<any, any> | WindowStoreDescription<any, any>;

export interface StoreOptions<K, V> {
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** Default persistent. */
  readonly kind?: StoreKind;
  /** Default true. */
  readonly logging?: boolean;
  readonly topicConfigs?: Readonly<Record<string, string>>;
}

/** A key-value store for the Processor API (`Stores.keyValueStoreBuilder`). */
export function keyValueStore<K, V>(name: string, options: StoreOptions<K, V>): KeyValueStoreDescription<K, V> {
  return { type: 'key-value', ...common(name, options) };
}

/**
 * A window store for the Processor API (`Stores.windowStoreBuilder`).
 * @throws MILLRACE_STATE_INVALID_STORE retention or window size are no whole numbers ≥ 1, or the retention is shorter
 */
export function windowStore<K, V>(
  name: string,
  options: StoreOptions<K, V> & { readonly retentionMs: number; readonly windowSizeMs: number },
): WindowStoreDescription<K, V> {
  const { retentionMs, windowSizeMs } = options;
  for (const [what, ms] of Object.entries({ retentionMs, windowSizeMs })) {
    if (!Number.isSafeInteger(ms) || ms < 1) {
      throw new InvalidStoreError(name, `${what} is ${ms}; it must be a whole number of ms ≥ 1.`);
    }
  }
  if (retentionMs < windowSizeMs) {
    throw new InvalidStoreError(
      name,
      `a retention of ${retentionMs} ms is shorter than the window size of ${windowSizeMs} ms.`,
    );
  }
  return { type: 'window', ...common(name, options), retentionMs, windowSizeMs };
}

function common<K, V>(name: string, options: StoreOptions<K, V>): StoreDescription<K, V> {
  return {
    name,
    key: options.key,
    value: options.value,
    kind: options.kind ?? 'persistent',
    cachingEnabled: false,
    loggingEnabled: options.logging ?? true,
    topicConfigs: options.topicConfigs ?? {},
    timestamped: false,
  };
}
