/** Writes a repartition topic into the graph: a filter of null keys, a sink, and the source of the next sub-topology. */
import { FilterProcessor } from '../processors/index.ts';
import type { AnySerde, StreamPartitioner } from '../topology/index.ts';
import type { GraphNode } from './graph.ts';
import { Prefix } from './names.ts';

const GENERATED = /^KSTREAM.*-[0-9]{10}$/;
const SUFFIX = '-repartition';

export interface RepartitionStep {
  readonly parent: GraphNode;
  /** The topic's name without `-repartition`, or with it. */
  readonly baseName: string;
  readonly key: AnySerde;
  readonly value: AnySerde;
  readonly partitions?: number | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: see AnyProcessor
  readonly partitioner?: StreamPartitioner<any, any> | undefined;
}

/** The numbers that the three nodes burn, whether or not the names are used; also where a repartition topic is reused. */
export function repartitionNames(graph: { nextName(prefix: string): string }) {
  return {
    sink: graph.nextName(Prefix.SINK),
    filter: graph.nextName(Prefix.FILTER),
    source: graph.nextName(Prefix.SOURCE),
  };
}

/**
 * Returns the source.
 * @throws MILLRACE_TOPOLOGY_REPARTITION_EXISTS
 */
export function repartition(step: RepartitionStep): GraphNode {
  const { parent, baseName, key, value, partitions, partitioner } = step;
  const { graph } = parent;
  const topic = baseName.endsWith(SUFFIX) ? baseName : baseName + SUFFIX;
  const generated = repartitionNames(graph);
  graph.repartitionTopic(topic);
  const names = GENERATED.test(baseName)
    ? generated
    : { sink: `${topic}-sink`, filter: `${topic}-filter`, source: `${topic}-source` };
  return graph.add(names.source, [parent], (topology, parents) => {
    topology.addRepartitionTopic({ name: topic, partitions });
    topology.addProcessor({
      name: names.filter,
      parents,
      supplier: () => new FilterProcessor<unknown, unknown>((k) => k !== null, true),
      stores: [],
    });
    topology.addSink({ name: names.sink, parents: [names.filter], topic, key, value, partitioner });
    topology.addSource({ name: names.source, topics: [topic], key, value });
  });
}
