/** Grouped streams: count, reduce, aggregate, windowed or not. Mirrors `KGroupedStream` and `TimeWindowedKStream`. */
import { AggregateProcessor, type Aggregation, WindowAggregateProcessor } from '../processors/index.ts';
import { long, type Serde, timeWindowed, type Windowed } from '../serdes/index.ts';
import type { AnyStoreDescription } from '../state/index.ts';
import { type AnyProcessor, type AnySerde, TopologyError } from '../topology/index.ts';
import type { StreamOrigin } from './kstream.ts';
import { KTable } from './ktable.ts';
import { checkName, Prefix, STORE_SUFFIX } from './names.ts';
import type { MaterializedOptions } from './options.ts';
import { repartition } from './repartition.ts';
import type { TimeWindows } from './windows.ts';

/** What an aggregation adds to the graph. */
interface AggregateStep {
  readonly prefix: string;
  readonly options: Partial<MaterializedOptions<unknown>>;
  readonly value: AnySerde;
  readonly windows?: TimeWindows;
  supplier(storeName: string): AnyProcessor;
}

export class KGroupedStream<K, V> {
  readonly #origin: StreamOrigin;
  readonly #name: string | undefined;

  /** Not for users: `KStream.groupBy()` and `groupByKey()`. */
  constructor(origin: StreamOrigin, name: string | undefined) {
    this.#origin = origin;
    this.#name = name;
  }

  windowedBy(windows: TimeWindows): TimeWindowedKStream<K, V> {
    return new TimeWindowedKStream(this.#origin, this.#name, windows);
  }

  /** Records per key, those with a null key or value left out. */
  count(options?: Omit<MaterializedOptions<number>, 'value'>): KTable<K, number, never> {
    burnForCount(this.#origin, options);
    return aggregateStep(this.#origin, this.#name, {
      prefix: Prefix.AGGREGATE,
      options: options ?? {},
      value: long(),
      supplier: (store) => new AggregateProcessor(store, counting),
    });
  }

  /** The first value, then the reducer of result and value. Null values are dropped. */
  reduce(
    reducer: (aggregate: NonNullable<V>, value: NonNullable<V>) => NonNullable<V>,
    options?: Partial<MaterializedOptions<NonNullable<V>>>,
  ): KTable<K, NonNullable<V>, never> {
    return aggregateStep(this.#origin, this.#name, {
      prefix: Prefix.REDUCE,
      options: options ?? {},
      value: options?.value ?? valueSerde(this.#origin),
      supplier: (store) =>
        new AggregateProcessor<K, NonNullable<V>, NonNullable<V>>(store, {
          initial: null,
          add: (_key, value, aggregate) => reducer(aggregate, value),
        }),
    });
  }

  /**
   * Folds the values of each key. The aggregator may change the aggregate it is given and return it; null values are
   * dropped.
   */
  aggregate<A>(
    initializer: () => A,
    aggregator: (key: K, value: NonNullable<V>, aggregate: A) => A,
    options: MaterializedOptions<A>,
  ): KTable<K, A, never> {
    return aggregateStep(this.#origin, this.#name, {
      prefix: Prefix.AGGREGATE,
      options,
      value: options.value,
      supplier: (store) => new AggregateProcessor(store, { initial: initializer, add: aggregator }),
    });
  }
}

export class TimeWindowedKStream<K, V> {
  readonly #origin: StreamOrigin;
  readonly #name: string | undefined;
  readonly #windows: TimeWindows;

  /** Not for users: `KGroupedStream.windowedBy()`. */
  constructor(origin: StreamOrigin, name: string | undefined, windows: TimeWindows) {
    this.#origin = origin;
    this.#name = name;
    this.#windows = windows;
  }

  /** Records per key and window; null values count. */
  count(options?: Omit<MaterializedOptions<number>, 'value'>): KTable<Windowed<K>, number, never> {
    burnForCount(this.#origin, options);
    return this.#aggregate(Prefix.AGGREGATE, options ?? {}, long(), counting);
  }

  reduce(
    reducer: (aggregate: NonNullable<V>, value: V) => V,
    options?: Partial<MaterializedOptions<NonNullable<V>>>,
  ): KTable<Windowed<K>, NonNullable<V>, V extends null ? null : never> {
    return this.#aggregate<NonNullable<V>, V, V extends null ? null : never>(
      Prefix.REDUCE,
      options ?? {},
      options?.value ?? valueSerde(this.#origin),
      {
        initial: null,
        // Null where the reducer made it so: the window is deleted.
        add: (_key, value, aggregate) => reducer(aggregate, value) as NonNullable<V>,
      },
    );
  }

  /** Folds the values of each key and window. The aggregator may change the aggregate it is given and return it. */
  aggregate<A>(
    initializer: () => A,
    aggregator: (key: K, value: V, aggregate: A) => A,
    options: MaterializedOptions<A>,
  ): KTable<Windowed<K>, A, never> {
    return this.#aggregate(Prefix.AGGREGATE, options, options.value, { initial: initializer, add: aggregator });
  }

  #aggregate<A, VIn, T extends null = never>(
    prefix: string,
    options: Partial<MaterializedOptions<A>>,
    value: AnySerde,
    aggregation: Aggregation<K, VIn, A>,
  ): KTable<Windowed<K>, A, T> {
    const windows = this.#windows;
    return aggregateStep(this.#origin, this.#name, {
      prefix,
      options,
      value,
      windows,
      supplier: (store) => new WindowAggregateProcessor<K, VIn, A>(store, windows, aggregation),
    });
  }
}

const counting: Aggregation<unknown, unknown, number> = { initial: () => 0, add: (_key, _value, count) => count + 1 };

/** Java burns a number where count() is given a Materialized without a name, for compatibility. */
function burnForCount({ graph }: StreamOrigin, options: object | undefined): void {
  if (options !== undefined && !('name' in options)) graph.nextName(Prefix.AGGREGATE + STORE_SUFFIX);
}

function aggregateStep<K, A, T extends null>(
  origin: StreamOrigin,
  groupName: string | undefined,
  step: AggregateStep,
): KTable<K, A, T> {
  const { graph } = origin;
  const { options, windows } = step;
  checkName(options.name);
  checkName(options.processorName);
  const key = keySerde(origin);
  const storeName = options.name ?? graph.nextName(step.prefix + STORE_SUFFIX);
  const node = graph.nameOr(options.processorName, step.prefix);
  let parent = origin.node;
  if (origin.keyChanged) {
    parent = repartition(graph, { parent, baseName: groupName ?? storeName, key, value: valueSerde(origin) });
  }
  graph.store(describeStore(storeName, key, step));
  graph.step((topology, resolve) => {
    topology.addProcessor({
      name: node,
      parents: [resolve(parent)],
      supplier: () => step.supplier(storeName),
      stores: [storeName],
      graceMs: windows?.graceMs,
    });
  });
  return new KTable({
    graph,
    node,
    key: windows === undefined ? key : timeWindowed(key, windows.sizeMs),
    value: step.value,
  });
}

function describeStore(name: string, key: AnySerde, { options, value, windows }: AggregateStep): AnyStoreDescription {
  const common = {
    name,
    key,
    value,
    kind: options.kind ?? 'persistent',
    cachingEnabled: options.caching ?? true,
    loggingEnabled: options.logging ?? true,
    topicConfigs: options.topicConfigs ?? {},
    timestamped: true,
  } as const;
  if (windows === undefined) return { type: 'key-value', ...common };
  const least = windows.sizeMs + windows.graceMs;
  const retentionMs = options.retentionMs ?? least;
  if (retentionMs < least) {
    throw new TopologyError(
      'MILLRACE_TOPOLOGY_RETENTION_TOO_SHORT',
      `Store ${name}: a retention of ${retentionMs} ms is less than window size and grace, ${least} ms.`,
      { store: name },
    );
  }
  return { type: 'window', ...common, retentionMs, windowSizeMs: windows.sizeMs };
}

function keySerde({ key, node }: StreamOrigin): Serde<unknown> {
  if (key !== undefined) return key;
  throw new TopologyError(
    'MILLRACE_TOPOLOGY_SERDE_MISSING',
    `The grouping after ${node} needs a key serde: give it to groupByKey({ key }).`,
    { node },
  );
}

function valueSerde({ value, node }: StreamOrigin): Serde<unknown> {
  if (value !== undefined) return value;
  throw new TopologyError(
    'MILLRACE_TOPOLOGY_SERDE_MISSING',
    `The grouping after ${node} needs a value serde: give it to groupByKey({ value }) or to the operator.`,
    { node },
  );
}
