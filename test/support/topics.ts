import { createTopics, type KafkaCluster, listOffsets } from '../../src/kafka/index.ts';
import { waitFor } from './wait.ts';

/**
 * Creates topics and waits until each partition's leader answers for it. Metadata names a leader a moment before that
 * broker has the partition's log; a request that comes between fails for some partitions and not for others, and
 * kafkajs then sends all of it again: the input would be doubled, and not by us.
 */
export async function newTopics(
  cluster: KafkaCluster,
  topics: readonly string[],
  partitions: number,
  replicationFactor = 1,
): Promise<void> {
  await createTopics(
    cluster,
    topics.map((topic) => ({ topic, partitions, replicationFactor, configs: {} })),
  );
  const all = topics.flatMap((topic) => Array.from({ length: partitions }, (_, partition) => ({ topic, partition })));
  await waitFor(() =>
    listOffsets(cluster, all, 'latest').then(
      () => true,
      () => false,
    ),
  );
}
