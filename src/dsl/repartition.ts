/** Writes a repartition topic into the graph: a filter of null keys, a sink, and the source of the next sub-topology. */
import { FilterProcessor } from '../processors/index.ts';
import type { AnySerde, StreamPartitioner } from '../topology/index.ts';
import type { Graph } from './graph.ts';
import { Prefix } from './names.ts';

const GENERATED = /^KSTREAM.*-[0-9]{10}$/;

export interface RepartitionStep {
  readonly parent: string;
  /** The topic's name without `-repartition`. */
  readonly baseName: string;
  readonly key: AnySerde;
  readonly value: AnySerde;
  readonly partitions?: number | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: see AnyProcessor
  readonly partitioner?: StreamPartitioner<any, any> | undefined;
}

/** Returns the source's name. */
export function repartition(
  graph: Graph,
  { parent, baseName, key, value, partitions, partitioner }: RepartitionStep,
): string {
  const topic = `${baseName}-repartition`;
  const generated = {
    sink: graph.nextName(Prefix.SINK),
    filter: graph.nextName(Prefix.FILTER),
    source: graph.nextName(Prefix.SOURCE),
  };
  const names = GENERATED.test(baseName)
    ? generated
    : { sink: `${topic}-sink`, filter: `${topic}-filter`, source: `${topic}-source` };
  graph.step((topology, resolve) => {
    // The same named grouping used twice has one repartition topic.
    if (topology.hasNode(names.source)) return;
    topology.addRepartitionTopic({ name: topic, partitions });
    topology.addProcessor({
      name: names.filter,
      parents: [resolve(parent)],
      supplier: () => new FilterProcessor<unknown, unknown>((k) => k !== null, true),
      stores: [],
    });
    topology.addSink({ name: names.sink, parents: [names.filter], topic, key, value, partitioner });
    topology.addSource({ name: names.source, topics: [topic], key, value });
  });
  return names.source;
}
