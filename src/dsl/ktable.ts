/**
 * A table: the latest value of each key, as a stream of updates. An immutable description. Mirrors `KTable`.
 * The third type tells whether tombstones can come out (`null`) or not (`never`).
 */
import { TableFilterProcessor, TableMapValuesProcessor, TableToStreamProcessor } from '../processors/index.ts';
import type { AnyProcessor, AnySerde } from '../topology/index.ts';
import type { GraphNode } from './graph.ts';
import { KStream } from './kstream.ts';
import { checkName, Prefix, STORE_SUFFIX } from './names.ts';
import type { NamedOptions, TableMaterializedOptions } from './options.ts';
import { tableStore } from './table-store.ts';

export interface TableOrigin {
  readonly node: GraphNode;
  readonly key: AnySerde | undefined;
  readonly value: AnySerde | undefined;
}

type TableOptions<K, V> = NamedOptions & {
  /** Serdes of the result; with a name it is kept in a store of its own. */
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
    const { key, value } = this.#origin;
    const { graph } = this.#origin.node;
    const node = this.#add(graph.nameOr(options.name, Prefix.TABLE_TOSTREAM), () => new TableToStreamProcessor());
    const stream = new KStream<K, V | Tombstone>({ node, key, value, keyChanged: false });
    return selector === undefined ? stream : stream.selectKey(selector);
  }

  #derive<V2, T extends null>(
    prefix: string,
    options: TableOptions<K, V2>,
    value: AnySerde | undefined,
    supplier: (store: string | undefined) => AnyProcessor,
  ): KTable<K, V2, T> {
    const { key } = this.#origin;
    const { graph } = this.#origin.node;
    const { materialized } = options;
    const storeName = materialized?.name;
    checkName(options.name);
    checkName(storeName);
    // Without a name there is no store, as nothing could ask for it; it burns a number all the same, as in Java.
    if (materialized !== undefined && storeName === undefined) graph.nextName(prefix + STORE_SUFFIX);
    const name = graph.nameOr(options.name, prefix);
    if (materialized !== undefined && storeName !== undefined) graph.store(tableStore(storeName, materialized));
    const node = this.#add(name, () => supplier(storeName), storeName === undefined ? [] : [storeName]);
    return new KTable({ node, key: materialized?.key ?? key, value: materialized?.value ?? value });
  }

  #add(name: string, supplier: () => AnyProcessor, stores: readonly string[] = []): GraphNode {
    const { node } = this.#origin;
    return node.graph.add(name, [node], (topology, parents) => {
      topology.addProcessor({ name, parents, supplier, stores });
    });
  }
}
