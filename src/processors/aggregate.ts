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
    const store = this.#store;
    const entry = store.find(key, 0);
    const fresh = entry === undefined || entry.value === null;
    const timestamp = fresh || record.timestamp > entry.timestamp ? record.timestamp : entry.timestamp;
    const { initial, add } = this.#aggregation;
    const aggregate = fresh
      ? initial === null
        ? store.copyOf(value as unknown as A)
        : own(store, value, add(key, value, initial()))
      : own(store, value, add(key, value, entry.value!));
    store.put(key, 0, aggregate, timestamp, entry);
    if (!this.#caching)
      this.#context.forward(
        record.withValue({ newValue: aggregate, oldValue: null }).withKey(key).withTimestamp(timestamp),
      );
  }
}

/** An aggregate that is the record's own value becomes a copy: the object in a store belongs to that store alone. */
export function own<K, A>(store: LiveStore<K, A, ProcessingContext>, value: unknown, aggregate: A): A {
  return aggregate === value ? store.copyOf(aggregate) : aggregate;
}
