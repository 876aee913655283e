/**
 * A table: the latest value of each key, as a stream of updates. An immutable description. Mirrors `KTable`.
 * The third type tells whether tombstones can come out (`null`) or not (`never`).
 */
import {
  SelectKeyProcessor,
  TableFilterProcessor,
  TableMapValuesProcessor,
  TableToStreamProcessor,
} from '../processors/index.ts';
import type { AnyProcessor, AnySerde } from '../topology/index.ts';
import type { Graph } from './graph.ts';
import { KStream } from './kstream.ts';
import { checkName, Prefix, STORE_SUFFIX } from './names.ts';
import type { NamedOptions, TableMaterializedOptions } from './options.ts';

export interface TableOrigin {
  readonly graph: Graph;
  readonly node: string;
  readonly key: AnySerde | undefined;
  readonly value: AnySerde | undefined;
}

type TableOptions<K, V> = NamedOptions & {
  /** Keeps the result in a store of its own. */
  readonly materialized?: TableMaterializedOptions<K, V>;
};

export class KTable<K, V, Tombstone extends null = null> {
  readonly #origin: TableOrigin;

  /** Not for users: tables come from a StreamsBuilder or an aggregation. */
  constructor(origin: TableOrigin) {
    this.#origin = origin;
  }

  /** Keeps the rows for which the predicate holds; the others become tombstones. */
  filter(predicate: (key: K, value: V) => boolean, options: TableOptions<K, V> = {}): KTable<K, V> {
    return this.#derive(
      Prefix.TABLE_FILTER,
      options,
      this.#origin.value,
      (store) => new TableFilterProcessor(predicate, true, store),
    );
  }

  filterNot(predicate: (key: K, value: V) => boolean, options: TableOptions<K, V> = {}): KTable<K, V> {
    return this.#derive(
      Prefix.TABLE_FILTER,
      options,
      this.#origin.value,
      (store) => new TableFilterProcessor(predicate, false, store),
    );
  }

  /** A new value for each row; tombstones stay tombstones. */
  mapValues<V2>(mapper: (value: V, key: K) => V2, options: TableOptions<K, V2> = {}): KTable<K, V2, Tombstone> {
    return this.#derive(
      Prefix.TABLE_MAPVALUES,
      options,
      undefined,
      (store) => new TableMapValuesProcessor(mapper, store),
    );
  }

  /** The updates as records; a deleted row is a record with a null value. */
  toStream<K2>(selector: (key: K, value: V | Tombstone) => K2, options?: NamedOptions): KStream<K2, V | Tombstone>;
  toStream(options?: NamedOptions): KStream<K, V | Tombstone>;
  toStream<K2>(
    first: NamedOptions | ((key: K, value: V | Tombstone) => K2) = {},
    second: NamedOptions = {},
  ): KStream<K, V | Tombstone> | KStream<K2, V | Tombstone> {
    const selector = typeof first === 'function' ? (first as (key: K, value: V | Tombstone) => K2) : undefined;
    const options = typeof first === 'function' ? second : first;
    checkName(options.name);
    const { graph, key, value } = this.#origin;
    const name = graph.nameOr(options.name, Prefix.TABLE_TOSTREAM);
    this.#write(name, () => new TableToStreamProcessor(), []);
    if (selector === undefined)
      return new KStream<K, V | Tombstone>({ graph, node: name, key, value, keyChanged: false });
    const select = graph.nextName(Prefix.KEY_SELECT);
    graph.step((topology) => {
      topology.addProcessor({
        name: select,
        parents: [name],
        supplier: () => new SelectKeyProcessor<K, V | Tombstone, K2>(selector),
        stores: [],
      });
    });
    return new KStream<K2, V | Tombstone>({ graph, node: select, key: undefined, value, keyChanged: true });
  }

  #derive<V2, T extends null>(
    prefix: string,
    options: TableOptions<K, V2>,
    value: AnySerde | undefined,
    supplier: (store: string | undefined) => AnyProcessor,
  ): KTable<K, V2, T> {
    const { graph, key } = this.#origin;
    const { materialized } = options;
    checkName(options.name);
    checkName(materialized?.name);
    // A store without a name burns a number of its own, before the operator's.
    const storeName =
      materialized === undefined ? undefined : (materialized.name ?? graph.nextName(prefix + STORE_SUFFIX));
    const name = graph.nameOr(options.name, prefix);
    if (materialized !== undefined) {
      graph.store({
        type: 'key-value',
        name: storeName!,
        key: materialized.key,
        value: materialized.value,
        kind: materialized.kind ?? 'persistent',
        cachingEnabled: materialized.caching ?? true,
        loggingEnabled: materialized.logging ?? true,
        topicConfigs: materialized.topicConfigs ?? {},
        timestamped: true,
      });
    }
    this.#write(name, () => supplier(storeName), storeName === undefined ? [] : [storeName]);
    return new KTable({ graph, node: name, key: materialized?.key ?? key, value: materialized?.value ?? value });
  }

  #write(name: string, supplier: () => AnyProcessor, stores: readonly string[]): void {
    const { graph, node } = this.#origin;
    graph.step((topology, resolve) => {
      topology.addProcessor({ name, parents: [resolve(node)], supplier, stores });
    });
  }
}
