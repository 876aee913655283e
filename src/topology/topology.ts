/**
 * A topology: nodes, stores and the sub-topologies they fall into. Nodes that share an edge or a store are in one
 * sub-topology; sub-topologies are numbered by the first of their nodes to be added, as
 * `InternalTopologyBuilder#makeNodeGroups` does. Task ids, and with them state directories, hang on that number.
 */
import type { AnyStoreDescription } from '../state/index.ts';
import { describeTopology } from './describe.ts';
import { TopologyError } from './errors.ts';
import { exposingNodes } from './exposure.ts';
import type { ProcessorNode, RepartitionTopic, SinkNode, SourceNode, TopologyNode } from './nodes.ts';

export interface SubTopology {
  readonly id: number;
  readonly nodes: readonly TopologyNode[];
  readonly sources: readonly SourceNode[];
  readonly sinks: readonly SinkNode[];
  readonly stores: readonly AnyStoreDescription[];
  /** The nodes that hand what they forward to code which may change or keep it: see exposure.ts. */
  readonly exposingNodes: ReadonlySet<string>;
}

export class TopologyBuilder {
  readonly #nodes = new Map<string, TopologyNode>();
  readonly #stores = new Map<string, AnyStoreDescription>();
  readonly #repartitionTopics = new Map<string, RepartitionTopic>();

  /** @throws MILLRACE_TOPOLOGY_TOPIC_READ_TWICE a source before reads the topic, by name or by pattern */
  addSource(node: Omit<SourceNode, 'kind'>): this {
    for (const other of this.#nodes.values()) {
      if (other.kind !== 'source') continue;
      const shared = sharedTopic(other.topics, node.topics);
      if (shared === undefined) continue;
      throw new TopologyError(
        'MILLRACE_TOPOLOGY_TOPIC_READ_TWICE',
        `Topic ${shared} is to be read by ${node.name}, but ${other.name} reads it already: each topic has one source. ` +
          'Use that stream twice, and make lists of topics equal or without overlap.',
        { topic: shared, node: node.name },
      );
    }
    return this.#add({ kind: 'source', ...node });
  }

  addProcessor(node: Omit<ProcessorNode, 'kind'>): this {
    return this.#add({ kind: 'processor', ...node });
  }

  addSink(node: Omit<SinkNode, 'kind'>): this {
    return this.#add({ kind: 'sink', ...node });
  }

  addStore(store: AnyStoreDescription): this {
    const known = this.#stores.get(store.name);
    if (known !== undefined && known !== store) {
      throw new TopologyError(
        'MILLRACE_TOPOLOGY_STORE_EXISTS',
        `A store named ${store.name} exists already. Give each its own name.`,
        {
          store: store.name,
        },
      );
    }
    this.#stores.set(store.name, store);
    return this;
  }

  addRepartitionTopic(topic: RepartitionTopic): this {
    this.#repartitionTopics.set(topic.name, topic);
    return this;
  }

  /** @throws MILLRACE_TOPOLOGY_UNKNOWN_STORE a node names a store that was not added; MILLRACE_TOPOLOGY_POSITIONS_TWICE */
  build(): Topology {
    for (const node of this.#nodes.values()) {
      if (node.kind !== 'processor') continue;
      for (const store of node.stores) {
        if (!this.#stores.has(store)) {
          throw new TopologyError(
            'MILLRACE_TOPOLOGY_UNKNOWN_STORE',
            `${node.name} uses the store ${store}, which was not added to the builder.`,
            {
              node: node.name,
              store,
            },
          );
        }
      }
    }
    const topology = new Topology([...this.#nodes.values()], this.#stores, this.#repartitionTopics);
    for (const { nodes } of topology.subTopologies) checkPositions(nodes);
    return topology;
  }

  #add(node: TopologyNode): this {
    if (this.#nodes.has(node.name)) {
      throw new TopologyError(
        'MILLRACE_TOPOLOGY_NODE_EXISTS',
        `A processor named ${node.name} exists already. Give each its own name.`,
        { node: node.name },
      );
    }
    for (const parent of node.kind === 'source' ? [] : node.parents) {
      if (!this.#nodes.has(parent)) {
        throw new TopologyError(
          'MILLRACE_TOPOLOGY_UNKNOWN_PARENT',
          `${node.name} has the parent ${parent}, which was not added before.`,
          { node: node.name },
        );
      }
    }
    this.#nodes.set(node.name, node);
    return this;
  }
}

export class Topology {
  readonly subTopologies: readonly SubTopology[];
  /** By name without the application id. */
  readonly repartitionTopics: ReadonlyMap<string, RepartitionTopic>;
  readonly #nodes: readonly TopologyNode[];
  readonly #stores: ReadonlyMap<string, AnyStoreDescription>;

  constructor(
    nodes: readonly TopologyNode[],
    stores: ReadonlyMap<string, AnyStoreDescription>,
    repartitionTopics: ReadonlyMap<string, RepartitionTopic>,
  ) {
    this.#nodes = nodes;
    this.#stores = stores;
    this.repartitionTopics = repartitionTopics;
    this.subTopologies = group(nodes).map((members, id) => ({
      id,
      nodes: members,
      sources: members.filter((node) => node.kind === 'source'),
      sinks: members.filter((node) => node.kind === 'sink'),
      stores: [...new Set(members.flatMap((node) => (node.kind === 'processor' ? node.stores : [])))].map(
        (name) => stores.get(name)!,
      ),
      exposingNodes: exposingNodes(members),
    }));
  }

  /**
   * The same topology with every update going downstream one by one: what a cache of 0 bytes means, as
   * `InternalTopologyBuilder#rewriteTopology` does.
   */
  withoutCaching(): Topology {
    const stores = [...this.#stores].map(([name, store]) => [name, { ...store, cachingEnabled: false }] as const);
    return new Topology(this.#nodes, new Map(stores), this.repartitionTopics);
  }

  /** The text of Kafka Streams' `Topology#describe`. */
  describe(): string {
    return describeTopology(this);
  }
}

/** Two systems would remember two positions of one partition. */
function checkPositions(nodes: readonly TopologyNode[]): void {
  const [first, second] = nodes.filter((node) => node.kind === 'processor' && node.externalPositions !== undefined);
  if (second === undefined) return;
  throw new TopologyError(
    'MILLRACE_TOPOLOGY_POSITIONS_TWICE',
    `${first!.name} and ${second.name} read the same partitions, and each is to remember the position. Give positions to one of ` +
      'them, or read the topic with two applications.',
    { node: second.name },
  );
}

/** A topic that both subscriptions name, or that one names and the other's pattern matches. */
function sharedTopic(a: SourceNode['topics'], b: SourceNode['topics']): string | undefined {
  if (a instanceof RegExp) return b instanceof RegExp ? undefined : b.find((topic) => a.test(topic));
  return a.find((topic) => (b instanceof RegExp ? b.test(topic) : b.includes(topic)));
}

/** Union-find over edges and shared stores; groups in the order of their first node. */
function group(nodes: readonly TopologyNode[]): TopologyNode[][] {
  const parent = new Map<string, string>();
  const find = (name: string): string => {
    const up = parent.get(name) ?? name;
    if (up === name) return name;
    const root = find(up);
    parent.set(name, root);
    return root;
  };
  const unite = (a: string, b: string): void => void parent.set(find(a), find(b));
  for (const node of nodes) {
    if (node.kind !== 'source') for (const up of node.parents) unite(node.name, up);
    if (node.kind === 'processor') for (const store of node.stores) unite(node.name, `store ${store}`);
  }
  const groups = new Map<string, TopologyNode[]>();
  for (const node of nodes) {
    const root = find(node.name);
    const members = groups.get(root);
    if (members === undefined) groups.set(root, [node]);
    else members.push(node);
  }
  return [...groups.values()];
}
