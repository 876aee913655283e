/** The nodes of `mapAsync` and `forEachBatch`, with their options. */
import type { RetryPolicy } from '../attempts.ts';
import { ForEachBatchProcessor, MapAsyncProcessor, pendingCallSerde } from '../processors/index.ts';
import { long, type Serde } from '../serdes/index.ts';
import type { KeyValueStoreDescription } from '../state/index.ts';
import {
  type AnySerde,
  type BatchHandler,
  type CallContext,
  type ExternalPositions,
  type ProcessorNode,
  type Sync,
  TopologyError,
} from '../topology/index.ts';
import { type ErrorOptions, errorPolicyOf, invalidOption } from './error-options.ts';
import type { NamedOptions } from './options.ts';

export interface MapAsyncOptions<K, V, K2, V2> extends NamedOptions, ErrorOptions {
  /**
   * Serdes for the records that wait, which are state. Default: those of the topic that the stream reads, as long as key and
   * value are still that topic's.
   */
  readonly key?: Serde<NonNullable<K>>;
  readonly value?: Serde<NonNullable<V>>;
  /** Calls that run at a time, per task; one that waits to be tried again does not count. Default 16. */
  readonly concurrency?: number;
  /**
   * Which records are kept in order, each called for when the one before has its result: those of one key (default), of one
   * input partition, or none. Records without a key are in no order under `key`.
   */
  readonly order?: 'key' | 'partition' | 'none';
  /** ms that one try may take. Default 30000. */
  readonly timeoutMs?: number;
  /** Which errors are tried again, how often and when. Default: five times in some seconds. */
  readonly retry?: RetryPolicy;
  /** Records that wait for their results, per task, past which the task takes no more. Default 1000. */
  readonly maxPending?: number;
  /**
   * What comes of a record whose last try failed, in the place of a result; null for nothing. With it the task goes on
   * whatever `onError` says; a dead letter is written besides where there is a topic of this operator's.
   */
  readonly onFailure?: (
    error: unknown,
    key: K,
    value: V,
    context: { readonly attempts: number },
  ) => (readonly [K2, V2] & Sync<V2>) | null;
}

export interface ForEachBatchOptions extends NamedOptions {
  /** Records that end a batch. There may be more where a store that caches stands before it. Default 500. */
  readonly maxRecords?: number;
  /** ms after its first record that a batch ends at the latest. Default 1000. */
  readonly maxWaitMs?: number;
  /** ms that one try may take. Default 300000. */
  readonly timeoutMs?: number;
  /** As of `mapAsync`, for a batch as a whole. */
  readonly retry?: RetryPolicy;
  /** Lets the target system be the one that remembers where to go on: exactly once, if it stores batch and positions at once. */
  readonly positions?: ExternalPositions;
  /**
   * What is done about a batch whose last try failed: `fail` stops the application with the error (default), `continue` drops
   * its records, counted and logged, to the dead letter topic if there is one.
   */
  readonly onError?: 'fail' | 'continue';
  /** Where single records go by the handler's `deadLetter`. Default: the application's `deadLetterTopic`. */
  readonly deadLetterTopic?: string;
}

/** Of a pending record in its changelog: brokers take a megabyte by default, which a record may have by itself. */
const MAX_PENDING_BYTES = 16 * 1024 * 1024;

type Asynchronous = Pick<ProcessorNode, 'supplier' | 'errorPolicy' | 'externalPositions'>;

/** @throws TopologyError MILLRACE_TOPOLOGY_SERDE_MISSING, MILLRACE_TOPOLOGY_INVALID_OPTION */
export function mapAsyncNode<K, V, K2, V2>(
  name: string,
  store: string,
  fn: (key: K, value: V, context: CallContext) => PromiseLike<readonly [K2, V2]>,
  options: MapAsyncOptions<K, V, K2, V2>,
  known: { readonly key: AnySerde | undefined; readonly value: AnySerde | undefined },
): Asynchronous & { readonly store: KeyValueStoreDescription } {
  const key = (options.key ?? known.key ?? missing(name, 'key')) as Serde<K>;
  const value = (options.value ?? known.value ?? missing(name, 'value')) as Serde<V>;
  const { order = 'key', concurrency = 16, maxPending = 1_000, timeoutMs = 30_000, retry = {}, onFailure } = options;
  if (!['key', 'partition', 'none'].includes(order))
    throw invalidOption(name, `order is '${order}', it must be 'key', 'partition' or 'none'`);
  checkCounts(name, { concurrency, maxPending, timeoutMs });
  checkRetry(name, retry);
  const errorPolicy = errorPolicyOf(options, name) ?? { response: 'fail', deadLetterTopic: undefined };
  const settings = { fn, onFailure, store, key, value, order, concurrency, maxPending, timeoutMs, retry, errorPolicy };
  return {
    supplier: () => new MapAsyncProcessor<K, V, K2, V2>(settings),
    errorPolicy,
    store: pendingStore(store, pendingCallSerde(key, value)),
  };
}

/** @throws TopologyError MILLRACE_TOPOLOGY_INVALID_OPTION */
export function forEachBatchNode<K, V>(
  name: string,
  handler: BatchHandler<K, V>,
  options: ForEachBatchOptions,
): Asynchronous {
  const { maxRecords = 500, maxWaitMs = 1_000, timeoutMs = 300_000, retry = {}, positions } = options;
  checkCounts(name, { maxRecords, maxWaitMs, timeoutMs });
  checkRetry(name, retry);
  const { onError = 'fail', deadLetterTopic } = options;
  const { response } = errorPolicyOf({ onError }, name)!;
  if (deadLetterTopic === '') throw invalidOption(name, "deadLetterTopic is '', leave it out for none");
  const errorPolicy = { response, deadLetterTopic };
  const settings = { handler, maxRecords, maxWaitMs, timeoutMs, retry, errorPolicy };
  return {
    supplier: () => new ForEachBatchProcessor<K, V>(settings),
    errorPolicy,
    externalPositions: positions === undefined ? undefined : { positions, retry },
  };
}

/** Records that wait for their results. It caches: one that has its result before the next commit is not logged. */
function pendingStore(name: string, value: Serde<unknown>): KeyValueStoreDescription {
  return {
    type: 'key-value',
    name,
    key: long() as Serde<unknown>,
    value,
    kind: 'persistent',
    cachingEnabled: true,
    loggingEnabled: true,
    // A record that its topic just takes is there twice, with its source's bytes, and its context.
    topicConfigs: { 'max.message.bytes': String(MAX_PENDING_BYTES) },
    timestamped: false,
  };
}

function missing(node: string, side: 'key' | 'value'): never {
  throw new TopologyError(
    'MILLRACE_TOPOLOGY_SERDE_MISSING',
    `${node} needs a ${side} serde, since records that wait for their results are state: give it to mapAsync(…, { ${side} }).`,
    { node },
  );
}

function checkCounts(node: string, counts: Readonly<Record<string, number>>): void {
  for (const [option, value] of Object.entries(counts)) {
    if (!(Number.isSafeInteger(value) && value >= 1) && value !== Number.POSITIVE_INFINITY)
      throw invalidOption(node, `${option} is ${value}, it must be a whole number ≥ 1`);
  }
}

function checkRetry(
  node: string,
  { initialMs = 100, maxMs = 10_000, maxAttempts = 1, maxElapsedMs = 0 }: RetryPolicy,
): void {
  for (const [option, value, least] of [
    ['initialMs', initialMs, 0],
    ['maxMs', maxMs, 0],
    ['maxAttempts', maxAttempts, 1],
    ['maxElapsedMs', maxElapsedMs, 0],
  ] as const) {
    if (!(value >= least)) throw invalidOption(node, `retry.${option} is ${value}, it must be ≥ ${least}`);
  }
}
