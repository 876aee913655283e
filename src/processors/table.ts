/** Tables: source, filter, mapValues, and the way back to a stream. Mirrors KTableSource, KTableFilter, KTableMapValues. */
import type { LiveStore } from '../state/index.ts';
import type {
  Change,
  InternalProcessorContext,
  ProcessingContext,
  ProcessorContext,
  StreamRecord,
} from '../topology/index.ts';
import { ForwardingProcessor } from './stateless.ts';
import { forwardFlushes } from './table-forwarding.ts';

/** A table operator that may keep its result in a store. */
abstract class TableProcessor<KIn, VIn, K, V> extends ForwardingProcessor<KIn, VIn, K, Change<V>> {
  readonly #storeName: string | undefined;
  #store: LiveStore<K, V, ProcessingContext> | undefined;
  #caching = false;

  constructor(storeName: string | undefined) {
    super();
    this.#storeName = storeName;
  }

  override init(context: ProcessorContext<K, Change<V>>): void {
    super.init(context);
    if (this.#storeName === undefined) return;
    this.#store = (context as InternalProcessorContext<K, Change<V>>).liveStore<K, V>(this.#storeName);
    this.#caching = forwardFlushes(this.#store, this.context, (key) => key);
  }

  /** Stores, where there is a store, and hands on, unless a flush will. Rows are seen by user code: stored as bytes. */
  protected emit(record: StreamRecord<unknown, unknown>, key: K, value: V | null | undefined): void {
    const newValue = value ?? null;
    this.#store?.putForeign(key, 0, newValue, record.timestamp);
    if (!this.#caching) this.context.forward(record.withKey(key).withValue({ newValue, oldValue: null }));
  }
}

/** A null key is dropped and counted; a null value is a tombstone; an out-of-order update is applied. */
export class TableSourceProcessor<K, V> extends TableProcessor<K | null, V | null, K, V> {
  process(record: StreamRecord<K | null, V | null>): void {
    if (record.key === null || record.key === undefined) this.context.drop('null-key');
    else this.emit(record, record.key, record.value);
  }
}

/** What does not match is a tombstone. */
export class TableFilterProcessor<K, V> extends TableProcessor<K, Change<V>, K, V> {
  readonly #predicate: (key: K, value: V) => boolean;
  readonly #keep: boolean;

  constructor(predicate: (key: K, value: V) => boolean, keep: boolean, storeName: string | undefined) {
    super(storeName);
    this.#predicate = predicate;
    this.#keep = keep;
  }

  process(record: StreamRecord<K, Change<V>>): void {
    const { newValue } = record.value;
    const kept = newValue !== null && this.#predicate(record.key, newValue) === this.#keep;
    this.emit(record, record.key, kept ? newValue : null);
  }
}

export class TableMapValuesProcessor<K, V, V2> extends TableProcessor<K, Change<V>, K, V2> {
  readonly #mapper: (value: V, key: K) => V2;

  constructor(mapper: (value: V, key: K) => V2, storeName: string | undefined) {
    super(storeName);
    this.#mapper = mapper;
  }

  process(record: StreamRecord<K, Change<V>>): void {
    const { newValue } = record.value;
    this.emit(record, record.key, newValue === null ? null : this.#mapper(newValue, record.key));
  }
}

export class TableToStreamProcessor<K, V> extends ForwardingProcessor<K, Change<V>, K, V | null> {
  process(record: StreamRecord<K, Change<V>>): void {
    this.context.forward(record.withValue(record.value.newValue));
  }
}
