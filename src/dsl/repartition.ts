/** Writes a repartition topic into the graph: a filter of null keys, a sink, and the source of the next sub-topology. */
import { FilterProcessor } from '../processors/index.ts';
import type { AnySerde, StreamPartitioner } from '../topology/index.ts';
import type { GraphNode } from './graph.ts';
import { Prefix } from './names.ts';
import { partitionerOf } from './user-functions.ts';

const GENERATED = /^KSTREAM.*-[0-9]{10}$/;
const SUFFIX = '-repartition';

export interface RepartitionStep {
  readonly parent: GraphNode;
  /** The topic's name without `-repartition`, or with it. */
  readonly baseName: string;
  readonly key: AnySerde;
  readonly value: AnySerde;
  /** No user code could have changed values in place since they were read: see SinkNode#reusesSourceBytes. */
  readonly untouched: boolean;
  readonly partitions?: number | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: see AnyProcessor
  readonly partitioner?: StreamPartitioner<any, any> | undefined;
  /** The partitioner's. */
  readonly pure?: boolean | undefined;
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
  const { parent, baseName, key, value, untouched, partitions, pure } = step;
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
      pure: true,
    });
    topology.addSink({
      name: names.sink,
      parents: [names.filter],
      topic,
      key,
      value,
      partitioner: partitionerOf(step.partitioner, names.sink),
      pure,
      reusesSourceBytes: untouched,
    });
    topology.addSource({ name: names.source, topics: [topic], key, value });
  });
}
