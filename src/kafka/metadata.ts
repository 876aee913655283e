/**
 * What a client believes of a topic when brokers answer differently: a broker that was cut off names an old leader, and
 * one that lags shows fewer partitions. A leader epoch never goes back, and partitions never become fewer, unless the
 * topic is another one of the same name. Mirrors `Metadata#updateLatestMetadata`.
 */
import { ErrorCode } from './errors.ts';
import type { PartitionMetadata, TopicMetadata } from './requests/03-metadata.ts';

const NO_ID = '0'.repeat(32);
/** More than any cluster has: what says otherwise is no partition's number. */
const MAX_PARTITIONS = 1_000_000;

/**
 * The topic as it is believed after an answer.
 * @param known the last one without an error; undefined: none
 */
export function mergeTopic(known: TopicMetadata | undefined, answer: TopicMetadata): TopicMetadata {
  const next = { ...answer, partitions: byNumber(answer.partitions) };
  if (answer.errorCode !== ErrorCode.NONE || known === undefined || isRecreated(known, answer)) return next;
  const { partitions } = next;
  for (let number = 0; number < Math.max(known.partitions.length, partitions.length); number++) {
    const before = known.partitions[number];
    const after = partitions[number];
    if (before === undefined) continue;
    // An answer without epochs has nothing to compare (Kafka before 2.4, or an error of the partition).
    if (after === undefined || (after.leaderEpoch >= 0 && after.leaderEpoch < before.leaderEpoch))
      partitions[number] = before;
  }
  return next;
}

/** The topic of this name was deleted and created again between the two. */
export function isRecreated(before: TopicMetadata, after: TopicMetadata): boolean {
  return before.topicId !== after.topicId && before.topicId !== NO_ID && after.topicId !== NO_ID;
}

/** True where epochs of an earlier answer say nothing of the next: without ids, a topic that is gone may come back new. */
export function isForgotten(known: TopicMetadata, answer: TopicMetadata): boolean {
  return answer.errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION && known.topicId === NO_ID;
}

/** Partition n at index n: brokers give them in any order, and one that is just learning of a topic leaves some out. */
function byNumber(partitions: readonly PartitionMetadata[]): PartitionMetadata[] {
  const sorted = [...partitions].sort((a, b) => a.partition - b.partition);
  const count = (sorted.at(-1)?.partition ?? -1) + 1;
  if (count === sorted.length || count > MAX_PARTITIONS) return sorted;
  const all = Array.from({ length: count }, (_, partition) => missing(partition));
  for (const partition of sorted) all[partition.partition] = partition;
  return all;
}

function missing(partition: number): PartitionMetadata {
  return { partition, errorCode: ErrorCode.LEADER_NOT_AVAILABLE, leader: -1, leaderEpoch: -1 };
}
