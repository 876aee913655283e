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
  readonly add: (key: K, value: V, aggregate: A) => A;
}

export class AggregateProcessor<K, V, A> implements Processor<K | null, V | null, K, Change<A>> {
  readonly #storeName: string;
  readonly #aggregation: Aggregation<K, V, A>;
  #context!: InternalProcessorContext<K, Change<A>>;
  #store!: LiveStore<K, A, ProcessingContext>;
  #caching = true;

  constructor(storeName: string, aggregation: Aggregation<K, V, A>) {
    this.#storeName = storeName;
    this.#aggregation = aggregation;
  }

  init(context: ProcessorContext<K, Change<A>>): void {
    this.#context = context as InternalProcessorContext<K, Change<A>>;
    this.#store = this.#context.liveStore<K, A>(this.#storeName);
    this.#caching = forwardFlushes(this.#store, this.#context, (entry) => entry.key);
  }

  process(record: StreamRecord<K | null, V | null>): void {
    const { key, value } = record;
    if (key === null || value === null) {
      this.#context.drop('null-key-or-value');
      return;
    }
    const update = aggregateInto(this.#store, key, 0, value, record.timestamp, this.#aggregation, !this.#caching);
    if (update === undefined) return;
    this.#context.forward(record.withValue(update.change).withKey(key).withTimestamp(update.timestamp));
  }
}

/**
 * Hot. Adds a value to the key's aggregate (and window), and stores it.
 * @param wantsUpdate false where a flush forwards: nothing is allocated
 * @returns the update, with the latest timestamp of the aggregate's records
 */
export function aggregateInto<K, V, A>(
  store: LiveStore<K, A, ProcessingContext>,
  key: K,
  windowStartMs: number,
  value: V,
  recordTimestamp: number,
  { initial, add }: Aggregation<K, V, A>,
  wantsUpdate: boolean,
): { readonly change: Change<A>; readonly timestamp: number } | undefined {
  const entry = store.find(key, windowStartMs);
  const fresh = entry === undefined || entry.value === null;
  const timestamp = fresh || recordTimestamp > entry.timestamp ? recordTimestamp : entry.timestamp;
  const aggregate = fresh
    ? initial === null
      ? store.copyOf(value as unknown as A)
      : own(store, value, add(key, value, initial()))
    : own(store, value, add(key, value, entry.value!));
  store.put(key, windowStartMs, aggregate, timestamp, entry);
  return wantsUpdate ? { change: { newValue: aggregate, oldValue: null }, timestamp } : undefined;
}

/** An aggregate that is the record's own value becomes a copy: the object in a store belongs to that store alone. */
function own<K, A>(store: LiveStore<K, A, ProcessingContext>, value: unknown, aggregate: A): A {
  return aggregate === value ? store.copyOf(aggregate) : aggregate;
}
