/** The parts of a commit: a task's positions, sending them, and what the changelogs hold of it. */
import { Backoff } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import {
  commitOffsets,
  type GroupMember,
  type KafkaCluster,
  KafkaError,
  MemberFencedError,
  type OffsetAndMetadata,
  type Producer,
  type TopicPartition,
} from '../kafka/index.ts';
import type { Logger } from '../logger.ts';
import { encodeCommitMetadata } from './commit-metadata.ts';
import type { Task } from './task.ts';

/** Tries after which a member that the group waits for gives up: its tasks are processed again elsewhere. */
const MAX_TRIES_WHILE_REBALANCING = 5;

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

/** Retries while brokers are away. @throws MemberFencedError the group has gone on without this member */
export async function commitPositions(
  cluster: KafkaCluster,
  member: GroupMember,
  positions: readonly (TopicPartition & OffsetAndMetadata)[],
  logger: Logger,
): Promise<void> {
  const backoff = new Backoff();
  for (;;) {
    try {
      await commitOffsets(cluster, member.identity, positions);
      return;
    } catch (error) {
      if (!(error instanceof KafkaError) || !error.retriable || error instanceof MemberFencedError) throw error;
      if (member.needsRejoin && backoff.attempt > MAX_TRIES_WHILE_REBALANCING) {
        throw new MemberFencedError('The group rebalanced before the commit.', error);
      }
      member.progress();
      logger[backoff.attempt < 2 ? 'debug' : 'warn']({ error: messageOf(error) }, 'commit failed, trying again');
      await backoff.wait();
    }
  }
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
