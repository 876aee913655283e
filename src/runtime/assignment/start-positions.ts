/** Where a task begins in its partitions: at the committed position, else by the reset policy of the source. */
import {
  fetchCommitted,
  type KafkaCluster,
  listOffsets,
  type OffsetAndMetadata,
  type OffsetResetPolicy,
  partitionKey,
  type TopicPartition,
} from '../../kafka/index.ts';
import type { Topology } from '../../topology/index.ts';
import { StreamsError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import { sourceTopics, type TopicNames } from './internal-topics.ts';

export class StartPositions {
  readonly #topology: Topology;
  readonly #names: TopicNames;
  readonly #options: ResolvedOptions;
  readonly #cluster: KafkaCluster;

  constructor(topology: Topology, names: TopicNames, options: ResolvedOptions, cluster: KafkaCluster) {
    this.#topology = topology;
    this.#names = names;
    this.#options = options;
    this.#cluster = cluster;
  }

  /** The policy of the source that reads the topic; repartition topics are read from the beginning. */
  resetPolicy(topic: string): OffsetResetPolicy {
    for (const sub of this.#topology.subTopologies) {
      for (const source of sub.sources) {
        if (!sourceTopics({ ...sub, sources: [source] }, this.#names, [topic]).includes(topic)) continue;
        const internal =
          !(source.topics instanceof RegExp) && source.topics.some((name) => this.#names.isInternal(name));
        return internal ? 'earliest' : (source.offsetReset ?? this.#options.offsetReset);
      }
    }
    return this.#options.offsetReset;
  }

  /**
   * @returns `commitSoon` where a position was resolved by 'latest': unless it is committed at once, a crash before the
   *   first commit would resolve it anew and skip what came in between
   * @throws StreamsError MILLRACE_RUNTIME_NO_POSITION
   */
  async resolve(
    partitions: readonly TopicPartition[],
  ): Promise<{ readonly positions: ReadonlyMap<string, OffsetAndMetadata>; readonly commitSoon: boolean }> {
    const positions = await fetchCommitted(this.#cluster, this.#options.applicationId, partitions);
    let commitSoon = false;
    for (const policy of ['earliest', 'latest'] as const) {
      const open = partitions.filter((at) => !positions.has(partitionKey(at)) && this.resetPolicy(at.topic) === policy);
      if (open.length === 0) continue;
      if (policy === 'latest') commitSoon = true;
      for (const [key, offset] of await listOffsets(this.#cluster, open, policy))
        positions.set(key, { offset, metadata: null });
    }
    const missing = partitions.find((at) => !positions.has(partitionKey(at)));
    if (missing === undefined) return { positions, commitSoon };
    throw new StreamsError(
      'MILLRACE_RUNTIME_NO_POSITION',
      `There is no committed position in ${missing.topic}-${missing.partition} and offsetReset is 'none'. Set the group's offset, or another policy.`,
      { context: { topic: missing.topic, partition: missing.partition } },
    );
  }
}
