/** Where a topology begins: streams and tables of topics. Mirrors `StreamsBuilder`. */
import { TableSourceProcessor } from '../processors/index.ts';
import { nullable } from '../serdes/index.ts';
import type { AnyStoreDescription } from '../state/index.ts';
import { type Topology, TopologyError } from '../topology/index.ts';
import { Graph } from './graph.ts';
import { KStream } from './kstream.ts';
import { KTable } from './ktable.ts';
import { checkName, Prefix, STORE_SUFFIX } from './names.ts';
import type { ConsumedOptions, MaterializedOptions } from './options.ts';

export class StreamsBuilder {
  readonly #graph = new Graph();

  /**
   * The records of a topic, of several, or of all topics whose name matches. Keys can be null, as any producer may leave
   * them out; values are null only with a `nullable(…)` serde, else records with a null value are dropped and counted.
   */
  stream<K, V>(topics: string | readonly string[] | RegExp, options: ConsumedOptions<K, V>): KStream<K | null, V> {
    checkName(options.name);
    const list = typeof topics === 'string' ? [topics] : topics;
    if (Array.isArray(list) && list.length === 0) {
      throw new TopologyError('MILLRACE_TOPOLOGY_NO_TOPIC', 'A stream needs at least one topic.');
    }
    const { key, value, timestamp, offsetReset } = options;
    const name = this.#graph.nameOr(options.name, Prefix.SOURCE);
    this.#graph.source({ name, topics: list as readonly string[] | RegExp, key, value, timestamp, offsetReset }, true);
    return new KStream({ graph: this.#graph, node: name, key, value, keyChanged: false });
  }

  /**
   * A topic as a table: the latest value per key; a null value deletes, a null key is dropped and counted.
   * @param options with `materialized`, rows are kept in a store
   */
  table<K, V>(
    topic: string,
    options: ConsumedOptions<K, V> & { readonly materialized?: Partial<MaterializedOptions<V>> },
  ): KTable<K, NonNullable<V>> {
    const { materialized, key, value, timestamp, offsetReset } = options;
    checkName(options.name);
    checkName(materialized?.name);
    const graph = this.#graph;
    const storeName = materialized?.name ?? graph.nextName(`${topic}-${STORE_SUFFIX}`);
    const source = graph.nameOr(options.name, Prefix.SOURCE);
    const node = graph.nextName(Prefix.TABLE_SOURCE);
    graph.source({ name: source, topics: [topic], key, value: nullable(value), timestamp, offsetReset }, false);
    const stored = materialized !== undefined;
    if (stored) {
      graph.store({
        type: 'key-value',
        name: storeName,
        key,
        value: materialized.value ?? value,
        kind: materialized.kind ?? 'persistent',
        cachingEnabled: materialized.caching ?? true,
        loggingEnabled: materialized.logging ?? true,
        topicConfigs: materialized.topicConfigs ?? {},
        timestamped: true,
      });
    }
    graph.step((topology) => {
      topology.addProcessor({
        name: node,
        parents: [source],
        supplier: () => new TableSourceProcessor(stored ? storeName : undefined),
        stores: stored ? [storeName] : [],
      });
    });
    return new KTable({ graph, node, key, value });
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
