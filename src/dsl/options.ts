/** The option objects of DSL calls, in place of Java's Consumed, Produced, Grouped, Materialized and Named. */
import type { Serde } from '../serdes/index.ts';
import type { StoreKind } from '../state/index.ts';
import type { OffsetReset, StreamPartitioner, TimestampExtractor } from '../topology/index.ts';
import type { ErrorOptions } from './error-options.ts';

/** `Named`: the processor's name; generated where it is left out. Letters, digits, `.`, `_` and `-`, at most 249. */
export interface NamedOptions {
  readonly name?: string;
}

/** For what is given a function of the user's. */
export interface FunctionOptions extends NamedOptions {
  /**
   * The function neither changes nor keeps what it is given, so that rows of a table reach it without a copy. Default
   * false. What a function that is declared pure and is not does to a row is undefined.
   */
  readonly pure?: boolean;
}

/** For what calls a function of the user's with one record after the other. */
export interface OperatorOptions extends FunctionOptions, ErrorOptions {}

/** `Consumed` */
export interface ConsumedOptions<K, V> extends NamedOptions, ErrorOptions {
  readonly key: Serde<K>;
  /** A null value is dropped and counted, unless the serde is `nullable(…)`. */
  readonly value: Serde<V>;
  /** Event time; the record's own timestamp where it is left out. */
  readonly timestamp?: TimestampExtractor<V>;
  /** Where to begin without a committed position; the application's setting where it is left out. */
  readonly offsetReset?: OffsetReset;
}

/** `Produced`. A value of null is written as a tombstone. `pure` is the partitioner's and the topic extractor's. */
export interface ProducedOptions<K, V> extends OperatorOptions {
  readonly key: Serde<NonNullable<K>>;
  readonly value: Serde<NonNullable<V>>;
  /** Java's murmur2 of the key's bytes where it is left out or gives undefined. */
  readonly partitioner?: StreamPartitioner<K, V>;
}

/** Holds where every value of type V is one of type V2; a serde that does not fit reads as a sentence. */
export type Narrows<V, V2> = [V] extends [V2]
  ? unknown
  : { readonly value: 'The value serde does not fit the values of this stream' };

/** `Grouped`; the name is the repartition topic's, `pure` the selector's. */
export interface GroupedOptions<K, V> extends FunctionOptions {
  readonly key: Serde<NonNullable<K>>;
  readonly value: Serde<V>;
}

/** `Repartitioned`; the name is the topic's, `pure` the partitioner's. */
export interface RepartitionedOptions<K, V> extends FunctionOptions {
  readonly key: Serde<NonNullable<K>>;
  readonly value: Serde<V>;
  /** Default: as many as the topics read have. */
  readonly partitions?: number;
  readonly partitioner?: StreamPartitioner<K, V>;
}

/** `Materialized` */
export interface MaterializedOptions<V> {
  /** The store's name; generated where it is left out. The changelog is `<applicationId>-<name>-changelog`. */
  readonly name?: string;
  readonly value: Serde<V>;
  /** The processor's name. */
  readonly processorName?: string;
  /** Default persistent. */
  readonly kind?: StoreKind;
  /** True (default): downstream sees the last update per key of each commit; false: every update. */
  readonly caching?: boolean;
  /** Default true: there is a changelog topic. */
  readonly logging?: boolean;
  readonly topicConfigs?: Readonly<Record<string, string>>;
  /** ms; windowed stores only. Default size + grace, which is also the least. */
  readonly retentionMs?: number;
}

/** A table's store where it is asked for; its key serde is needed besides. */
export interface TableMaterializedOptions<K, V> extends MaterializedOptions<V> {
  readonly key: Serde<K>;
}
