/** The parts of a commit: a task's positions, sending them, and what the changelogs hold of it. */
import {
  commitOffsets,
  type GroupMember,
  type KafkaCluster,
  MemberFencedError,
  type OffsetAndMetadata,
  type Producer,
  type TopicPartition,
} from '../../kafka/index.ts';
import type { Logger } from '../../logger.ts';
import { rideOut } from '../ride-out.ts';
import type { Task } from '../task/task.ts';
import { encodeCommitMetadata } from './commit-metadata.ts';

/** Where the task stands in its partitions, with its times. */
export function positionsOf(task: Task): (TopicPartition & OffsetAndMetadata)[] {
  const operatorTimesMs = task.operatorTimes.map((time) => time.observedMs);
  return task.queues.map((queue) => ({
    topic: queue.source.topic,
    partition: queue.source.partition,
    offset: queue.position,
    metadata: encodeCommitMetadata({ partitionTimeMs: queue.partitionTimeMs, operatorTimesMs }),
  }));
}

/**
 * Retries while brokers are away, for as long as the group still has this member.
 * @throws MemberFencedError the group has gone on without it
 */
export async function commitPositions(
  cluster: KafkaCluster,
  member: GroupMember,
  positions: readonly (TopicPartition & OffsetAndMetadata)[],
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  await rideOut(() => commitOffsets(cluster, member.identity, positions), {
    what: 'committing',
    logger,
    signal,
    alive: () => member.progress(),
    isFinal: (error) => error instanceof MemberFencedError,
  });
}

/** By changelog topic, the offset behind the last record that the broker is known to have of this task. */
export function changelogPositions(task: Task, producer: Producer): Map<string, number> {
  const positions = new Map<string, number>();
  for (const name of task.state.stores.keys()) {
    const topic = task.options.changelogTopic(name);
    if (topic === undefined) continue;
    const acked = producer.ackedOffset(topic, task.id.partition);
    if (acked >= 0) positions.set(topic, acked);
  }
  return positions;
}
