/**
 * count, reduce and aggregate over time windows. Mirrors KStreamWindowAggregate: a null key is dropped and counted, a
 * null value reaches the aggregator; a record counts one drop for each of its windows that has closed (window end at or
 * before the operator's stream time less grace).
 */
import type { Windowed } from '../serdes/index.ts';
import type { LiveStore } from '../state/index.ts';
import type {
  Change,
  InternalProcessorContext,
  OperatorTime,
  ProcessingContext,
  Processor,
  ProcessorContext,
  StreamRecord,
} from '../topology/index.ts';
import { type Aggregation, aggregateInto, type Updates, updatesOf } from './aggregate.ts';

export interface WindowSizes {
  readonly sizeMs: number;
  readonly advanceMs: number;
  readonly graceMs: number;
}

export class WindowAggregateProcessor<K, V, A> implements Processor<K | null, V, Windowed<K>, Change<A>> {
  readonly #storeName: string;
  readonly #windows: WindowSizes;
  readonly #aggregation: Aggregation<K, V, A>;
  #context!: InternalProcessorContext<Windowed<K>, Change<A>>;
  #store!: LiveStore<K, A, ProcessingContext>;
  #time!: OperatorTime;
  #updates: Updates = 'at-flush';

  constructor(storeName: string, windows: WindowSizes, aggregation: Aggregation<K, V, A>) {
    this.#storeName = storeName;
    this.#windows = windows;
    this.#aggregation = aggregation;
  }

  init(context: ProcessorContext<Windowed<K>, Change<A>>): void {
    this.#context = context as InternalProcessorContext<Windowed<K>, Change<A>>;
    this.#store = this.#context.liveStore<K, A>(this.#storeName);
    this.#time = this.#context.operatorTime();
    this.#updates = updatesOf(this.#store, this.#context, (key, startMs) => this.#windowed(key, startMs));
  }

  /** Hot. A tumbling window is the loop's single turn. */
  process(record: StreamRecord<K | null, V>): void {
    const { key, timestamp } = record;
    if (key === null || key === undefined) {
      this.#context.drop('null-key');
      return;
    }
    const time = this.#time;
    if (timestamp > time.observedMs) time.observedMs = timestamp;
    const { sizeMs, advanceMs, graceMs } = this.#windows;
    const closedUntil = time.observedMs - graceMs;
    const first = Math.floor(Math.max(0, timestamp - sizeMs + advanceMs) / advanceMs) * advanceMs;
    for (let startMs = first; startMs <= timestamp; startMs += advanceMs) {
      if (startMs + sizeMs > closedUntil) this.#update(record, key, startMs);
      else this.#context.drop('late');
    }
  }

  #update(record: StreamRecord<K | null, V>, key: K, startMs: number): void {
    const update = aggregateInto(
      this.#store,
      key,
      startMs,
      (record.value ?? null) as V,
      record.timestamp,
      this.#aggregation,
      this.#updates,
    );
    if (update === undefined) return;
    const windowed = this.#windowed(key, startMs);
    this.#context.forward(record.withKey(windowed).withValue(update.change).withTimestamp(update.timestamp));
  }

  #windowed(key: K, startMs: number): Windowed<K> {
    return { key, window: { startMs, endMs: startMs + this.#windows.sizeMs } };
  }
}
