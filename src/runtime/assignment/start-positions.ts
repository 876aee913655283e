/** Where a task begins in its partitions: at the committed position, else by the reset policy of the source. */
import { messageOf } from '../../errors.ts';
import {
  fetchCommitted,
  type KafkaCluster,
  KafkaError,
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
   * Positions by partition. One that was never committed and whose leader cannot be asked now has none: the fetcher looks
   * it up, and nothing else waits for it.
   * @returns `commitSoon` where a position was resolved by 'latest': unless it is committed at once, a crash before the
   *   first commit would resolve it anew and skip what came in between
   * @throws StreamsError MILLRACE_RUNTIME_NO_POSITION
   */
  async resolve(
    partitions: readonly TopicPartition[],
  ): Promise<{ readonly positions: ReadonlyMap<string, OffsetAndMetadata>; readonly commitSoon: boolean }> {
    const positions = await fetchCommitted(this.#cluster, this.#options.applicationId, partitions);
    const open = partitions.filter((at) => !positions.has(partitionKey(at)));
    const missing = open.find((at) => this.resetPolicy(at.topic) === 'none');
    if (missing !== undefined) {
      throw new StreamsError(
        'MILLRACE_RUNTIME_NO_POSITION',
        `There is no committed position in ${missing.topic}-${missing.partition} and offsetReset is 'none'. Set the group's offset, or another policy.`,
        { context: { topic: missing.topic, partition: missing.partition } },
      );
    }
    let commitSoon = false;
    for (const policy of ['earliest', 'latest'] as const) {
      const wanted = open.filter((at) => this.resetPolicy(at.topic) === policy);
      for (const [key, offset] of await this.#ends(wanted, policy)) {
        positions.set(key, { offset, metadata: null });
        if (policy === 'latest') commitSoon = true;
      }
    }
    return { positions, commitSoon };
  }

  async #ends(partitions: readonly TopicPartition[], policy: 'earliest' | 'latest'): Promise<Map<string, number>> {
    if (partitions.length === 0) return new Map();
    try {
      await this.#cluster.refresh([...new Set(partitions.map(({ topic }) => topic))]);
      const led = partitions.filter((at) => this.#cluster.leaderOf(at.topic, at.partition) >= 0);
      return await listOffsets(this.#cluster, led, policy);
    } catch (error) {
      if (!(error instanceof KafkaError) || !error.retriable) throw error;
      this.#options.logger.debug({ error: messageOf(error) }, 'looking up positions failed, the fetcher goes on');
      return new Map();
    }
  }
}
