/**
 * The topics that an application makes for itself, repartition and changelog topics: how many partitions and which
 * configs each needs, as pure functions, and creating or checking them. Configs are Kafka Streams'.
 */
import { createTopics, describeTopicConfigs, type KafkaCluster, type NewTopic } from '../../kafka/index.ts';
import type { AnyStoreDescription } from '../../state/index.ts';
import type { SubTopology, Topology } from '../../topology/index.ts';
import { StreamsError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import type { TaskId } from '../task/task.ts';

/** Topic names of an application; the one place where they are formed. */
export class TopicNames {
  readonly applicationId: string;
  readonly #topology: Topology;

  constructor(applicationId: string, topology: Topology) {
    this.applicationId = applicationId;
    this.#topology = topology;
  }

  isInternal(undecorated: string): boolean {
    return this.#topology.repartitionTopics.has(undecorated);
  }

  /** The name on the cluster of a topic that the topology names. */
  topic(undecorated: string): string {
    return this.isInternal(undecorated) ? `${this.applicationId}-${undecorated}` : undecorated;
  }

  changelog(store: AnyStoreDescription): string | undefined {
    return store.loggingEnabled ? `${this.applicationId}-${store.name}-changelog` : undefined;
  }
}

/** Which topics a sub-topology reads, by their names on the cluster; patterns as of the topics there are. */
export function sourceTopics(sub: SubTopology, names: TopicNames, known: readonly string[]): string[] {
  return sub.sources.flatMap(({ topics }) =>
    topics instanceof RegExp ? known.filter((topic) => topics.test(topic)) : topics.map((topic) => names.topic(topic)),
  );
}

/**
 * Partitions of every repartition topic: those asked for, else the most among the topics that its writers read.
 * @param countOf partitions of an external topic
 * @throws MILLRACE_RUNTIME_PARTITIONS_UNKNOWN repartition topics that depend on each other in a circle
 */
export function repartitionCounts(
  topology: Topology,
  names: TopicNames,
  known: readonly string[],
  countOf: (topic: string) => number,
): Map<string, number> {
  const counts = new Map<string, number>();
  const open = new Set<string>();
  for (const { name, partitions } of topology.repartitionTopics.values()) {
    if (partitions !== undefined) counts.set(names.topic(name), partitions);
    else open.add(name);
  }
  for (let progress = true; open.size > 0 && progress; ) {
    progress = false;
    for (const name of open) {
      const writers = topology.subTopologies.filter((sub) => sub.sinks.some((sink) => sink.topic === name));
      const sources = writers.flatMap((sub) => sourceTopics(sub, names, known));
      const isOpen = (topic: string): boolean => [...open].some((other) => names.topic(other) === topic);
      if (sources.some(isOpen)) continue;
      counts.set(names.topic(name), Math.max(1, ...sources.map((topic) => counts.get(topic) ?? countOf(topic))));
      open.delete(name);
      progress = true;
    }
  }
  if (open.size > 0) {
    throw new StreamsError(
      'MILLRACE_RUNTIME_PARTITIONS_UNKNOWN',
      `The repartition topics ${[...open].join(', ')} feed each other: give repartition() a number of partitions.`,
    );
  }
  return counts;
}

/** A sub-topology has as many tasks as the largest of its topics has partitions. */
export function tasksOf(
  topology: Topology,
  names: TopicNames,
  known: readonly string[],
  countOf: (topic: string) => number,
): TaskId[] {
  return topology.subTopologies.flatMap((sub) => {
    const count = Math.max(0, ...sourceTopics(sub, names, known).map(countOf));
    return Array.from({ length: count }, (_, partition) => ({ subTopology: sub.id, partition }));
  });
}

/** All internal topics with partitions and configs. */
export function internalTopics(
  topology: Topology,
  names: TopicNames,
  repartition: ReadonlyMap<string, number>,
  tasks: readonly TaskId[],
  options: Pick<ResolvedOptions, 'replicationFactor' | 'windowStoreChangelogAdditionalRetentionMs'>,
): NewTopic[] {
  const { replicationFactor } = options;
  const topics: NewTopic[] = [...repartition].map(([topic, partitions]) => ({
    topic,
    partitions,
    replicationFactor,
    configs: {
      'cleanup.policy': 'delete',
      'segment.bytes': '52428800',
      'retention.ms': '-1',
      'message.timestamp.type': 'CreateTime',
    },
  }));
  for (const sub of topology.subTopologies) {
    const partitions = tasks.filter((task) => task.subTopology === sub.id).length;
    for (const store of sub.stores) {
      const topic = names.changelog(store);
      if (topic === undefined || partitions === 0) continue;
      topics.push({
        topic,
        partitions,
        replicationFactor,
        configs: {
          ...changelogConfigs(store, options.windowStoreChangelogAdditionalRetentionMs),
          ...store.topicConfigs,
        },
      });
    }
  }
  return topics;
}

function changelogConfigs(store: AnyStoreDescription, additionalRetentionMs: number): Record<string, string> {
  if (store.type === 'key-value') return { 'cleanup.policy': 'compact', 'message.timestamp.type': 'CreateTime' };
  return {
    'cleanup.policy': 'compact,delete',
    'retention.ms': String(store.retentionMs + additionalRetentionMs),
    'message.timestamp.type': 'CreateTime',
  };
}

/** Creates what is missing and checks what is there. @throws MILLRACE_RUNTIME_INTERNAL_TOPIC */
export async function ensureInternalTopics(cluster: KafkaCluster, wanted: readonly NewTopic[]): Promise<void> {
  if (wanted.length === 0) return;
  await cluster.refresh(wanted.map((t) => t.topic));
  const existing = wanted.filter((t) => cluster.partitionCount(t.topic) > 0);
  for (const { topic, partitions } of existing) {
    const actual = cluster.partitionCount(topic);
    if (actual !== partitions) {
      throw new StreamsError(
        'MILLRACE_RUNTIME_INTERNAL_TOPIC',
        `The internal topic ${topic} has ${actual} partitions, this topology needs ${partitions}. ` +
          'The input topics or the topology changed: reset the application, or use another application id.',
        { context: { topic } },
      );
    }
  }
  const configs = await describeTopicConfigs(
    cluster,
    existing.map((t) => t.topic),
  );
  for (const { topic, configs: needed } of existing) {
    const policy = configs.get(topic)?.get('cleanup.policy') ?? '';
    const expected = needed['cleanup.policy']!;
    if (policy.split(',').sort().join() !== expected.split(',').sort().join()) {
      throw new StreamsError(
        'MILLRACE_RUNTIME_INTERNAL_TOPIC',
        `The internal topic ${topic} has cleanup.policy=${policy}, it needs ${expected}: state could be lost. Set it on the topic.`,
        { context: { topic } },
      );
    }
    const retention = Number(configs.get(topic)?.get('retention.ms') ?? -1);
    const least = Number(needed['retention.ms'] ?? -1);
    if (retention >= 0 && retention < least) {
      cluster.logger.warn(
        { topic, retentionMs: retention, neededMs: least },
        'retention.ms of a changelog topic is shorter than its store needs',
      );
    }
  }
  await createTopics(
    cluster,
    wanted.filter((t) => !existing.includes(t)),
  );
}
