/**
 * A topology: nodes, stores and the sub-topologies they fall into. Nodes that share an edge or a store are in one
 * sub-topology; sub-topologies are numbered by their sources' names, as `InternalTopologyBuilder#makeNodeGroups` does.
 */
import type { AnyStoreDescription } from '../state/index.ts';
import { describeTopology } from './describe.ts';
import { TopologyError } from './errors.ts';
import type { ProcessorNode, RepartitionTopic, SinkNode, SourceNode, TopologyNode } from './nodes.ts';

export interface SubTopology {
  readonly id: number;
  readonly nodes: readonly TopologyNode[];
  readonly sources: readonly SourceNode[];
  readonly sinks: readonly SinkNode[];
  readonly stores: readonly AnyStoreDescription[];
}

export class TopologyBuilder {
  readonly #nodes = new Map<string, TopologyNode>();
  readonly #stores = new Map<string, AnyStoreDescription>();
  readonly #repartitionTopics = new Map<string, RepartitionTopic>();

  addSource(node: Omit<SourceNode, 'kind'>): this {
    for (const other of this.#nodes.values()) {
      if (other.kind !== 'source' || !Array.isArray(other.topics) || !Array.isArray(node.topics)) continue;
      const shared = node.topics.find((topic) => (other.topics as string[]).includes(topic));
      if (shared !== undefined) {
        throw new TopologyError(
          'MILLRACE_TOPOLOGY_TOPIC_READ_TWICE',
          `Topic ${shared} is read by ${other.name} already; use that stream twice.`,
          {
            topic: shared,
            node: node.name,
          },
        );
      }
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

  hasNode(name: string): boolean {
    return this.#nodes.has(name);
  }

  /** @throws MILLRACE_TOPOLOGY_UNKNOWN_STORE a node names a store that was not added */
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
    return new Topology([...this.#nodes.values()], this.#stores, this.#repartitionTopics);
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

  constructor(
    nodes: readonly TopologyNode[],
    stores: ReadonlyMap<string, AnyStoreDescription>,
    repartitionTopics: ReadonlyMap<string, RepartitionTopic>,
  ) {
    this.repartitionTopics = repartitionTopics;
    this.subTopologies = group(nodes).map((members, id) => ({
      id,
      nodes: members,
      sources: members.filter((node) => node.kind === 'source'),
      sinks: members.filter((node) => node.kind === 'sink'),
      stores: [...new Set(members.flatMap((node) => (node.kind === 'processor' ? node.stores : [])))].map(
        (name) => stores.get(name)!,
      ),
    }));
  }

  /** The text of Kafka Streams' `Topology#describe`. */
  describe(): string {
    return describeTopology(this);
  }
}

/** Union-find over edges and shared stores; groups in the order of their first source's name. */
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
  const sources = nodes.filter((node) => node.kind === 'source').sort((a, b) => (a.name < b.name ? -1 : 1));
  const groups = new Map<string, TopologyNode[]>();
  for (const node of [...sources, ...nodes]) if (!groups.has(find(node.name))) groups.set(find(node.name), []);
  for (const node of nodes) groups.get(find(node.name))!.push(node);
  return [...groups.values()];
}
