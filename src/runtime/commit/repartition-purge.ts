/** Deletes from repartition topics what is committed: nothing reads it again. Mirrors `repartition.purge.interval.ms`. */
import { messageOf } from '../../errors.ts';
import { deleteRecords, type KafkaCluster, type OffsetAndMetadata, type TopicPartition } from '../../kafka/index.ts';
import type { Topology } from '../../topology/index.ts';
import type { TopicNames } from '../assignment/internal-topics.ts';
import type { ResolvedOptions } from '../options.ts';

export class RepartitionPurge {
  readonly #topics: ReadonlySet<string>;
  readonly #options: ResolvedOptions;
  readonly #cluster: KafkaCluster;
  #nextMs = 0;

  /** @param cluster of its own: brokers answer in order, and a DeleteRecords that takes long would hold up a commit behind it */
  constructor(topology: Topology, names: TopicNames, options: ResolvedOptions, cluster: KafkaCluster) {
    this.#topics = new Set([...topology.repartitionTopics.keys()].map((name) => names.topic(name)));
    this.#options = options;
    this.#cluster = cluster;
  }

  /** To be called after each commit; does its work once in an interval, by itself. A failure is left to the next time. */
  run(committed: readonly (TopicPartition & OffsetAndMetadata)[], nowMs: number): void {
    if (nowMs < this.#nextMs || this.#topics.size === 0) return;
    this.#nextMs = nowMs + this.#options.repartitionPurgeIntervalMs;
    const done = committed.filter(({ topic, offset }) => this.#topics.has(topic) && offset > 0);
    if (done.length > 0) void this.#purge(done);
  }

  close(): Promise<void> {
    return this.#cluster.close();
  }

  async #purge(done: readonly (TopicPartition & OffsetAndMetadata)[]): Promise<void> {
    try {
      await this.#cluster.refresh([...this.#topics]);
      await deleteRecords(this.#cluster, done);
    } catch (error) {
      this.#options.logger.debug({ error: messageOf(error) }, 'purging repartition topics failed, trying again later');
    }
  }
}
