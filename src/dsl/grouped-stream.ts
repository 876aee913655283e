/** Grouped streams: count, reduce, aggregate, windowed or not. Mirrors `KGroupedStream` and `TimeWindowedKStream`. */
import { AggregateProcessor, type Aggregation, WindowAggregateProcessor } from '../processors/index.ts';
import { long, type Windowed } from '../serdes/index.ts';
import { type AnySerde, resultOf, type Sync } from '../topology/index.ts';
import type { GroupedAggregates } from './grouped-aggregates.ts';
import type { KTable } from './ktable.ts';
import { Prefix } from './names.ts';
import type { MaterializedOptions } from './options.ts';
import type { TimeWindows } from './windows.ts';

export class KGroupedStream<K, V> {
  readonly #grouped: GroupedAggregates;

  /** Not for users: `KStream.groupBy()` and `groupByKey()`. */
  constructor(grouped: GroupedAggregates) {
    this.#grouped = grouped;
  }

  windowedBy(windows: TimeWindows): TimeWindowedKStream<K, V> {
    return new TimeWindowedKStream(this.#grouped, windows);
  }

  /** Records per key, those with a null key or value left out. */
  count(options?: Omit<MaterializedOptions<number>, 'value'>): KTable<K, number, never> {
    this.#grouped.burnForCount(options ?? {});
    return this.#grouped.add({
      prefix: Prefix.AGGREGATE,
      options: options ?? {},
      value: long(),
      pure: true,
      supplier: (store) => new AggregateProcessor(store, counting),
    });
  }

  /** The first value, then the reducer of result and value. Null values are dropped. */
  reduce(
    reducer: (aggregate: NonNullable<V>, value: NonNullable<V>) => NonNullable<V>,
    options?: Partial<MaterializedOptions<NonNullable<V>>>,
  ): KTable<K, NonNullable<V>, never> {
    return this.#grouped.add({
      prefix: Prefix.REDUCE,
      options: options ?? {},
      value: options?.value ?? this.#grouped.valueSerde(),
      supplier: (store, node) => new AggregateProcessor(store, reducing<K, NonNullable<V>>(reducer, node)),
    });
  }

  /**
   * Folds the values of each key. The aggregator may change the aggregate it is given and return it; null values are
   * dropped. An aggregate of null or undefined deletes the row.
   *
   * An aggregate owns its parts: what the initializer gives is new each time, and nothing in an aggregate is also held by
   * another one, by a variable or by a record that is changed later. It must come through its serde unchanged.
   */
  aggregate<A>(
    initializer: () => A & Sync<A>,
    aggregator: (key: K, value: NonNullable<V>, aggregate: A) => A & Sync<A>,
    options: MaterializedOptions<A>,
  ): KTable<K, A, never> {
    return this.#grouped.add({
      prefix: Prefix.AGGREGATE,
      options,
      value: options.value,
      supplier: (store, node) => new AggregateProcessor(store, folding(initializer, aggregator, node)),
    });
  }
}

export class TimeWindowedKStream<K, V> {
  readonly #grouped: GroupedAggregates;
  readonly #windows: TimeWindows;

  /** Not for users: `KGroupedStream.windowedBy()`. */
  constructor(grouped: GroupedAggregates, windows: TimeWindows) {
    this.#grouped = grouped;
    this.#windows = windows;
  }

  /** Records per key and window; null values count. */
  count(options?: Omit<MaterializedOptions<number>, 'value'>): KTable<Windowed<K>, number, never> {
    this.#grouped.burnForCount(options ?? {});
    return this.#aggregate(Prefix.AGGREGATE, options ?? {}, long(), () => counting, true);
  }

  reduce(
    reducer: (aggregate: NonNullable<V>, value: V) => V,
    options?: Partial<MaterializedOptions<NonNullable<V>>>,
  ): KTable<Windowed<K>, NonNullable<V>, V extends null ? null : never> {
    // Null where the reducer made it so: the window is deleted.
    const reduce = reducer as (aggregate: NonNullable<V>, value: V) => NonNullable<V>;
    return this.#aggregate(Prefix.REDUCE, options ?? {}, options?.value ?? this.#grouped.valueSerde(), (node) =>
      reducing<K, NonNullable<V>, V>(reduce, node),
    );
  }

  /**
   * Folds the values of each key and window. The aggregator may change the aggregate it is given and return it. An
   * aggregate of null or undefined deletes the window.
   *
   * An aggregate owns its parts: what the initializer gives is new each time, and nothing in an aggregate is also held by
   * another one, by a variable or by a record that is changed later. It must come through its serde unchanged.
   */
  aggregate<A>(
    initializer: () => A & Sync<A>,
    aggregator: (key: K, value: V, aggregate: A) => A & Sync<A>,
    options: MaterializedOptions<A>,
  ): KTable<Windowed<K>, A, never> {
    return this.#aggregate(Prefix.AGGREGATE, options, options.value, (node) => folding(initializer, aggregator, node));
  }

  #aggregate<A, VIn, T extends null = never>(
    prefix: string,
    options: Partial<MaterializedOptions<A>>,
    value: AnySerde,
    aggregation: (node: string) => Aggregation<K, VIn, A>,
    pure = false,
  ): KTable<Windowed<K>, A, T> {
    const windows = this.#windows;
    return this.#grouped.add({
      prefix,
      options,
      value,
      windows,
      pure,
      supplier: (store, node) => new WindowAggregateProcessor<K, VIn, A>(store, windows, aggregation(node)),
    });
  }
}

const counting: Aggregation<unknown, unknown, number> = { initial: () => 0, add: (_key, _value, count) => count + 1 };

function folding<K, V, A>(
  initializer: () => A,
  aggregator: (key: K, value: V, aggregate: A) => A,
  node: string,
): Aggregation<K, V, A> {
  return {
    initial: () => resultOf(initializer(), node),
    add: (key, value, aggregate) => resultOf(aggregator(key, value, aggregate), node),
  };
}

function reducing<K, A, V = A>(reducer: (aggregate: A, value: V) => A, node: string): Aggregation<K, V, A> {
  return { initial: null, add: (_key, value, aggregate) => resultOf(reducer(aggregate, value), node) };
}
