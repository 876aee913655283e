/**
 * count, reduce and aggregate of a grouped stream, without windows. Mirrors KStreamAggregate and KStreamReduce: a record
 * with a null key or value is dropped and counted; the result's timestamp is the latest of its records'.
 */
import type { LiveStore } from '../state/index.ts';
import type {
  Change,
  InternalProcessorContext,
  ProcessingContext,
  Processor,
  ProcessorContext,
  StreamRecord,
} from '../topology/index.ts';
import { forwardFlushes } from './table-forwarding.ts';

/** `initial` null: the first value is the first result (reduce). */
export interface Aggregation<K, V, A> {
  readonly initial: (() => A) | null;
  /** Null or undefined delete the aggregate. */
  readonly add: (key: K, value: V, aggregate: A) => A | null | undefined;
}

/**
 * How updates leave: with a flush; each as it comes, the store's own object to who only reads it; or each as it comes to
 * user code, which may keep or change the object: it is the store's no more.
 */
export type Updates = 'at-flush' | 'shown' | 'given-away';

/** Connects an aggregation's store to what is downstream. */
export function updatesOf<K, V, KOut>(
  store: LiveStore<K, V, ProcessingContext>,
  context: InternalProcessorContext<KOut, Change<V>>,
  keyOf: (key: K, windowStartMs: number) => KOut,
): Updates {
  if (forwardFlushes(store, context, keyOf)) return 'at-flush';
  return context.exposesValues ? 'given-away' : 'shown';
}

export class AggregateProcessor<K, V, A> implements Processor<K | null, V | null, K, Change<A>> {
  readonly #storeName: string;
  readonly #aggregation: Aggregation<K, V, A>;
  #context!: InternalProcessorContext<K, Change<A>>;
  #store!: LiveStore<K, A, ProcessingContext>;
  #updates: Updates = 'at-flush';

  constructor(storeName: string, aggregation: Aggregation<K, V, A>) {
    this.#storeName = storeName;
    this.#aggregation = aggregation;
  }

  init(context: ProcessorContext<K, Change<A>>): void {
    this.#context = context as InternalProcessorContext<K, Change<A>>;
    this.#store = this.#context.liveStore<K, A>(this.#storeName);
    this.#updates = updatesOf(this.#store, this.#context, (key) => key);
  }

  process(record: StreamRecord<K | null, V | null>): void {
    const { key, value } = record;
    if (key === null || key === undefined || value === null || value === undefined) {
      this.#context.drop('null-key-or-value');
      return;
    }
    const update = aggregateInto(this.#store, key, 0, value, record.timestamp, this.#aggregation, this.#updates);
    if (update === undefined) return;
    this.#context.forward(record.withValue(update.change).withKey(key).withTimestamp(update.timestamp));
  }
}

/**
 * Hot. Adds a value to the key's aggregate (and window), and stores it.
 *
 * The object in a store belongs to that store alone: a first result, which may have parts that an initialiser or an
 * aggregator hands out twice, and an aggregate that is the record's own value go through the serde. (Not before the first
 * value is added: an initial aggregate need not survive the serde.)
 * @returns the update, with the latest timestamp of the aggregate's records; undefined where a flush forwards
 */
export function aggregateInto<K, V, A>(
  store: LiveStore<K, A, ProcessingContext>,
  key: K,
  windowStartMs: number,
  value: V,
  recordTimestamp: number,
  { initial, add }: Aggregation<K, V, A>,
  updates: Updates,
): { readonly change: Change<A>; readonly timestamp: number } | undefined {
  const entry = store.find(key, windowStartMs);
  const before = entry === undefined ? null : store.ownValueOf(entry);
  const timestamp = before === null || recordTimestamp > entry!.timestamp ? recordTimestamp : entry!.timestamp;
  let aggregate: A | null;
  if (before !== null) aggregate = add(key, value, before) ?? null;
  else if (initial !== null) aggregate = add(key, value, initial()) ?? null;
  else aggregate = (value as unknown as A) ?? null;
  if (updates === 'given-away') {
    store.putForeign(key, windowStartMs, aggregate, timestamp, entry);
    if (isRecordsOwn(aggregate, value)) aggregate = store.copyOf(aggregate);
  } else {
    if (aggregate !== null && (before === null || isRecordsOwn(aggregate, value))) aggregate = store.copyOf(aggregate);
    store.put(key, windowStartMs, aggregate, timestamp, entry);
  }
  return updates === 'at-flush' ? undefined : { change: { newValue: aggregate, oldValue: null }, timestamp };
}

/** The record's own value: others see it, who may change it. */
function isRecordsOwn<A>(aggregate: A | null, value: unknown): aggregate is A & object {
  return aggregate === value && typeof aggregate === 'object' && aggregate !== null;
}
