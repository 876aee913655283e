/**
 * The partitions of each topic that a producer writes to, as of the metadata: one truth for routing and for whoever asks
 * how many there are. Partitions come; they go only with the topic.
 */
import type { KafkaCluster } from './cluster.ts';
import { isRecreated } from './metadata.ts';
import { ProducerPartition } from './producer-partition.ts';
import type { TopicMetadata } from './requests/03-metadata.ts';
import type { WriterPool } from './writer-pool.ts';

export interface ProducerTopic {
  /** By number. */
  partitions: readonly ProducerPartition[];
  /** Those that the topic had before it was created anew with fewer as well. */
  readonly ever: ProducerPartition[];
  /** Where records without a key go until the batch there is closed. */
  sticky: number;
  /** What the partitions are of. */
  metadata: TopicMetadata | undefined;
}

export class ProducerTopics {
  readonly #cluster: Pick<KafkaCluster, 'partitionCount' | 'leaderOf' | 'topic'>;
  readonly #writers: WriterPool;
  readonly #topics = new Map<string, ProducerTopic>();

  constructor(cluster: Pick<KafkaCluster, 'partitionCount' | 'leaderOf' | 'topic'>, writers: WriterPool) {
    this.#cluster = cluster;
    this.#writers = writers;
  }

  get names(): string[] {
    return [...this.#topics.keys()];
  }

  get(topic: string): ProducerTopic | undefined {
    return this.#topics.get(topic);
  }

  partition(topic: string, partition: number): ProducerPartition | undefined {
    return this.#topics.get(topic)?.partitions[partition];
  }

  /** 0 while they are not known. */
  partitionCount(topic: string): number {
    return this.#topics.get(topic)?.partitions.length ?? this.#cluster.partitionCount(topic);
  }

  all(): ProducerPartition[] {
    return [...this.#topics.values()].flatMap(({ ever }) => ever);
  }

  /** Undefined while its partitions are not known. */
  open(topic: string): ProducerTopic | undefined {
    const count = this.#cluster.partitionCount(topic);
    if (count === 0) return undefined;
    const entry: ProducerTopic = { partitions: [], ever: [], sticky: -1, metadata: this.#cluster.topic(topic) };
    this.#resize(topic, entry, count);
    this.#topics.set(topic, entry);
    return entry;
  }

  /**
   * To be called after the metadata was refreshed. Records that were routed stay where they are: those of partitions that
   * a topic of the same name does not have any more wait there, until the delivery time-out.
   */
  adopt(): void {
    for (const [topic, entry] of this.#topics) {
      const count = this.#cluster.partitionCount(topic);
      const metadata = this.#cluster.topic(topic);
      // Gone, or not known to the broker that answered: what is known stays.
      if (count === 0 || metadata === undefined) continue;
      if (entry.metadata !== undefined && isRecreated(entry.metadata, metadata))
        for (const partition of entry.ever) partition.forgetLog();
      entry.metadata = metadata;
      if (count !== entry.partitions.length) this.#resize(topic, entry, count);
    }
  }

  /** Hot. The partition for records without a key: another one with each batch, one that has a leader where there is any. */
  stickyPartition(topic: ProducerTopic): number {
    const { partitions, sticky } = topic;
    if (sticky >= 0 && sticky < partitions.length && partitions[sticky]!.openBytes > 0) return sticky;
    const first = Math.floor(Math.random() * partitions.length);
    let chosen = first;
    for (let i = 0; i < partitions.length; i++) {
      const candidate = (first + i) % partitions.length;
      if (this.#cluster.leaderOf(partitions[candidate]!.topic, candidate) < 0) continue;
      chosen = candidate;
      break;
    }
    topic.sticky = chosen;
    return chosen;
  }

  #resize(topic: string, entry: ProducerTopic, count: number): void {
    const { ever } = entry;
    while (ever.length < count) ever.push(new ProducerPartition(topic, ever.length, this.#writers));
    entry.partitions = ever.slice(0, count);
  }
}
