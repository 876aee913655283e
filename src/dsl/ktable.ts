/**
 * A table: the latest value of each key, as a stream of updates. An immutable description. Mirrors `KTable`.
 * The third type tells whether tombstones can come out (`null`) or not (`never`).
 */
import { TableFilterProcessor, TableMapValuesProcessor, TableToStreamProcessor } from '../processors/index.ts';
import { type AnyProcessor, type AnySerde, answerOf, type NullFor, resultOf, type Sync } from '../topology/index.ts';
import type { GraphNode } from './graph.ts';
import { KStream } from './kstream.ts';
import { checkName, Prefix, STORE_SUFFIX } from './names.ts';
import type { FunctionOptions, TableMaterializedOptions } from './options.ts';
import { tableStore } from './table-store.ts';

export interface TableOrigin {
  readonly node: GraphNode;
  readonly key: AnySerde | undefined;
  readonly value: AnySerde | undefined;
}

type TableOptions<K, V> = FunctionOptions & {
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
    return this.#filter(predicate, true, options);
  }

  filterNot(predicate: (key: K, value: V) => boolean, options: TableOptions<K, V> = {}): KTable<K, V> {
    return this.#filter(predicate, false, options);
  }

  /** A new value for each row; tombstones stay tombstones, and what becomes null or undefined is one. */
  mapValues<V2>(
    mapper: (value: V, key: K) => V2 & Sync<V2>,
    options: TableOptions<K, NonNullable<V2>> = {},
  ): KTable<K, NonNullable<V2>, Tombstone | Extract<NullFor<V2>, null>> {
    return this.#derive(Prefix.TABLE_MAPVALUES, options, undefined, (store, node) => {
      const map = (value: V, key: K) => resultOf<V2>(mapper(value, key), node);
      return new TableMapValuesProcessor(map, store);
    });
  }

  /** The updates as records; a deleted row is a record with a null value. */
  toStream<K2>(
    selector: (key: K, value: V | Tombstone) => K2 & Sync<K2>,
    options?: FunctionOptions,
  ): KStream<NullFor<K2>, V | Tombstone>;
  toStream(options?: FunctionOptions): KStream<K, V | Tombstone>;
  toStream<K2>(
    first: FunctionOptions | ((key: K, value: V | Tombstone) => K2 & Sync<K2>) = {},
    second: FunctionOptions = {},
  ): KStream<K, V | Tombstone> | KStream<NullFor<K2>, V | Tombstone> {
    const options = typeof first === 'function' ? second : first;
    checkName(options.name);
    const { key, value } = this.#origin;
    const { graph } = this.#origin.node;
    const name = graph.nameOr(options.name, Prefix.TABLE_TOSTREAM);
    const node = this.#add({ name, supplier: () => new TableToStreamProcessor(), pure: true });
    const stream = new KStream<K, V | Tombstone>({ node, key, value, keyChanged: false, untouched: false });
    if (typeof first !== 'function') return stream;
    return stream.selectKey(first, options.pure === undefined ? {} : { pure: options.pure });
  }

  #filter(predicate: (key: K, value: V) => boolean, keep: boolean, options: TableOptions<K, V>): KTable<K, V> {
    return this.#derive(Prefix.TABLE_FILTER, options, this.#origin.value, (store, node) => {
      const answer = (key: K, value: V): boolean => answerOf(predicate(key, value), node);
      return new TableFilterProcessor(answer, keep, store);
    });
  }

  #derive<V2, T extends null>(
    prefix: string,
    options: TableOptions<K, V2>,
    value: AnySerde | undefined,
    supplier: (store: string | undefined, node: string) => AnyProcessor,
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
    // A store keeps what it is given, whatever the function does.
    const pure = storeName === undefined && options.pure;
    const stores = storeName === undefined ? [] : [storeName];
    const node = this.#add({ name, supplier: () => supplier(storeName, name), stores, pure });
    return new KTable({ node, key: materialized?.key ?? key, value: materialized?.value ?? value });
  }

  #add(processor: {
    readonly name: string;
    readonly supplier: () => AnyProcessor;
    readonly stores?: readonly string[];
    readonly pure?: boolean | undefined;
  }): GraphNode {
    const { node } = this.#origin;
    return node.graph.add(processor.name, [node], (topology, parents) => {
      topology.addProcessor({ stores: [], ...processor, parents });
    });
  }
}
