/**
 * What the aggregations of one grouped stream share: its serdes and, where the key has changed, its repartition topic.
 * With a name given that topic is made once; without one each aggregation has its own, named after its store. Mirrors
 * `GroupedStreamAggregateBuilder`.
 */
import type { Serde } from '../serdes/index.ts';
import { timeWindowed } from '../serdes/index.ts';
import type { AnyStoreDescription } from '../state/index.ts';
import { type AnyProcessor, type AnySerde, TopologyError } from '../topology/index.ts';
import type { GraphNode } from './graph.ts';
import type { StreamOrigin } from './kstream.ts';
import { KTable } from './ktable.ts';
import { checkName, Prefix, STORE_SUFFIX } from './names.ts';
import type { MaterializedOptions } from './options.ts';
import { repartition, repartitionNames } from './repartition.ts';
import type { TimeWindows } from './windows.ts';

/** What an aggregation adds to the graph. */
export interface AggregateStep {
  readonly prefix: string;
  readonly options: Partial<MaterializedOptions<unknown>>;
  readonly value: AnySerde;
  readonly windows?: TimeWindows;
  /** The user's functions are not asked for, or neither change nor keep what they are given. */
  readonly pure?: boolean;
  supplier(storeName: string, node: string): AnyProcessor;
}

export class GroupedAggregates {
  readonly #origin: StreamOrigin;
  readonly #name: string | undefined;
  #repartition: GraphNode | undefined;

  /** @param name the repartition topic's */
  constructor(origin: StreamOrigin, name: string | undefined) {
    this.#origin = origin;
    this.#name = name;
  }

  /** Java burns a number where count() is given a Materialized without a name, for compatibility. */
  burnForCount({ name, processorName: _, ...materialized }: Partial<MaterializedOptions<unknown>>): void {
    if (name === undefined && Object.values(materialized).some((option) => option !== undefined))
      this.#origin.node.graph.nextName(Prefix.AGGREGATE + STORE_SUFFIX);
  }

  add<K, A, T extends null>(step: AggregateStep): KTable<K, A, T> {
    const { graph } = this.#origin.node;
    const { options, windows } = step;
    checkName(options.name);
    checkName(options.processorName);
    const key = this.#keySerde();
    const storeName = options.name ?? graph.nextName(step.prefix + STORE_SUFFIX);
    const name = graph.nameOr(options.processorName, step.prefix);
    const parent = this.#origin.keyChanged ? this.#repartitioned(this.#name ?? storeName, key) : this.#origin.node;
    graph.store(describeStore(storeName, key, step));
    const node = graph.add(name, [parent], (topology, parents) => {
      topology.addProcessor({
        name,
        parents,
        supplier: () => step.supplier(storeName, name),
        stores: [storeName],
        graceMs: windows?.graceMs,
        pure: step.pure,
      });
    });
    return new KTable({
      node,
      key: windows === undefined ? key : timeWindowed(key, windows.sizeMs),
      value: step.value,
    });
  }

  valueSerde(): Serde<unknown> {
    const { value, node } = this.#origin;
    if (value !== undefined) return value;
    throw new TopologyError(
      'MILLRACE_TOPOLOGY_SERDE_MISSING',
      `The grouping after ${node.name} needs a value serde: give it to groupByKey({ value }) or to the operator.`,
      { node: node.name },
    );
  }

  #keySerde(): Serde<unknown> {
    const { key, node } = this.#origin;
    if (key !== undefined) return key;
    throw new TopologyError(
      'MILLRACE_TOPOLOGY_SERDE_MISSING',
      `The grouping after ${node.name} needs a key serde: give it to groupByKey({ key }).`,
      { node: node.name },
    );
  }

  #repartitioned(baseName: string, key: AnySerde): GraphNode {
    const parent = this.#origin.node;
    if (this.#name !== undefined && this.#repartition !== undefined) {
      repartitionNames(parent.graph);
      parent.graph.reuse(this.#repartition);
      return this.#repartition;
    }
    const { untouched } = this.#origin;
    this.#repartition = repartition({ parent, baseName, key, value: this.valueSerde(), untouched });
    return this.#repartition;
  }
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
