/** What a commit sends and keeps of a task: where it stands in its partitions, and what its changelogs hold of it. */
import type { OffsetAndMetadata, Producer, TopicPartition } from '../../kafka/index.ts';
import type { Task } from '../task/task.ts';
import { encodeCommitMetadata } from './commit-metadata.ts';

/** Where the task stands in its partitions, with its times. */
export function positionsOf(task: Task): (TopicPartition & OffsetAndMetadata)[] {
  const operatorTimesMs = task.operatorTimes.map((time) => time.observedMs);
  // A position that is still being looked up is none to commit.
  const queues = task.queues.filter((queue) => queue.position >= 0);
  return queues.map(({ source: { topic, partition, positionEpoch: leaderEpoch }, position, partitionTimeMs }) => ({
    topic,
    partition,
    offset: position,
    leaderEpoch,
    metadata: encodeCommitMetadata({ partitionTimeMs, operatorTimesMs }),
  }));
}

/** By changelog topic, the offset behind the last record that the broker is known to have of this task. */
export function changelogPositions(task: Task, producer: Producer): Map<string, number> {
  const positions = new Map<string, number>();
  for (const name of task.state.stores.keys()) {
    const topic = task.options.changelogTopic(name);
    if (topic === undefined) continue;
    const acked = producer.ackedOffset(topic, task.id.partition);
    // What was acknowledged before the task went to another member and came back is behind what was restored since.
    if (acked > (task.state.position(name)?.offset ?? -1)) positions.set(topic, acked);
  }
  return positions;
}
