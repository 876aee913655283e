/** A partition, for requests that only its leader answers. */
import { ErrorCode } from '../../../kafka/index.ts';
import type { RequestContext } from '../api.ts';
import type { PartitionLog } from '../log/partition-log.ts';

/**
 * The partition's log, or the error that its request is answered with: there is no such partition, the client knows of
 * another epoch than the current one (KIP-320), this node does not lead it. In that order, as `Partition.getLocalLog`.
 *
 * @param currentLeaderEpoch as the client knows it; −1: it does not say
 */
export function ledPartition(
  { broker, node }: RequestContext,
  topic: string,
  partition: number,
  currentLeaderEpoch = -1,
): PartitionLog | number {
  const log = broker.topics.log(topic, partition);
  if (log === undefined) return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
  const { leader, epoch } = log.leadership;
  if (currentLeaderEpoch >= 0 && currentLeaderEpoch < epoch) return ErrorCode.FENCED_LEADER_EPOCH;
  if (currentLeaderEpoch > epoch) return ErrorCode.UNKNOWN_LEADER_EPOCH;
  return leader === node ? log : ErrorCode.NOT_LEADER_OR_FOLLOWER;
}
