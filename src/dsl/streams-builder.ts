/** Where a topology begins: streams and tables of topics. Mirrors `StreamsBuilder`. */
import { TableSourceProcessor } from '../processors/index.ts';
import { nullable } from '../serdes/index.ts';
import type { AnyStoreDescription } from '../state/index.ts';
import { type Topology, TopologyError } from '../topology/index.ts';
import { errorPolicyOf } from './error-options.ts';
import { Graph } from './graph.ts';
import { KStream } from './kstream.ts';
import { KTable } from './ktable.ts';
import { checkName, Prefix, STORE_SUFFIX } from './names.ts';
import type { ConsumedOptions, MaterializedOptions } from './options.ts';
import { tableStore } from './table-store.ts';
import { extractorOf } from './user-functions.ts';

export class StreamsBuilder {
  readonly #graph = new Graph();

  /**
   * The records of a topic, of several, or of all topics whose name matches. Keys can be null, as any producer may leave
   * them out; values are null only with a `nullable(…)` serde, else records with a null value are dropped and counted.
   */
  stream<K, V>(topics: string | readonly string[] | RegExp, options: ConsumedOptions<K, V>): KStream<K | null, V> {
    checkName(options.name);
    if (Array.isArray(topics) && topics.length === 0) {
      throw new TopologyError('MILLRACE_TOPOLOGY_NO_TOPIC', 'A stream needs at least one topic.');
    }
    const { key, value, timestamp, offsetReset } = options;
    const name = this.#graph.nameOr(options.name, Prefix.SOURCE);
    const errorPolicy = errorPolicyOf(options, name);
    const source = { name, topics: subscription(topics), key, value, timestamp, offsetReset, errorPolicy };
    const node = this.#graph.streamSource(source);
    return new KStream({ node, key, value, keyChanged: false, untouched: true });
  }

  /**
   * A topic as a table: the latest value per key; a null value deletes, a null key is dropped and counted. With a name
   * given, the nodes are `<name>-source` and `<name>`.
   * @param options with a `materialized` that has a name, rows are kept in a store; without one nothing could ask for it
   */
  table<K, V>(
    topic: string,
    options: ConsumedOptions<K, V> & { readonly materialized?: Partial<MaterializedOptions<V>> },
  ): KTable<K, NonNullable<V>> {
    const { name, materialized, key, value, timestamp, offsetReset } = options;
    checkName(name);
    checkName(materialized?.name);
    const graph = this.#graph;
    const storeName = materialized?.name;
    if (storeName === undefined) graph.nextName(`${topic}-${STORE_SUFFIX}`);
    const sourceName = graph.nameOr(name === undefined ? undefined : `${name}-source`, Prefix.SOURCE);
    checkName(sourceName);
    const tableName = graph.nameOr(name, Prefix.TABLE_SOURCE);
    if (storeName !== undefined)
      graph.store(tableStore(storeName, { ...materialized, key, value: materialized?.value ?? value }));
    const node = graph.add(tableName, [], (topology) => {
      topology.addSource({
        name: sourceName,
        topics: [topic],
        key,
        value: nullable(value),
        timestamp: extractorOf(timestamp, sourceName),
        offsetReset,
        errorPolicy: errorPolicyOf(options, sourceName),
      });
      topology.addProcessor({
        name: tableName,
        parents: [sourceName],
        supplier: () => new TableSourceProcessor(storeName),
        stores: storeName === undefined ? [] : [storeName],
      });
    });
    return new KTable({ node, key, value });
  }

  /** A store for `process` and `processValues`; giving it to them in `stores` does the same. */
  addStateStore(store: AnyStoreDescription): this {
    this.#graph.store(store);
    return this;
  }

  /** The topology of all calls so far. */
  build(): Topology {
    return this.#graph.build();
  }
}

/** Topics as a set; a pattern without the flags that make it remember where it matched last. */
function subscription(topics: string | readonly string[] | RegExp): readonly string[] | RegExp {
  if (topics instanceof RegExp) return new RegExp(topics.source, topics.flags.replace(/[gy]/g, ''));
  return typeof topics === 'string' ? [topics] : [...new Set(topics)];
}
