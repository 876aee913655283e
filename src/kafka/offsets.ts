/** Positions: what a group committed, and where a log begins and ends. */
import { byLeader, byTopic, type KafkaCluster } from './cluster.ts';
import { ErrorCode, KafkaConnectionError, KafkaProtocolError, MemberFencedError } from './errors.ts';
import type { TopicPartition } from './record-batch.ts';
import { EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, listOffsetsRequest } from './requests/02-list-offsets.ts';
import type { GroupMemberIdentity } from './requests/group.ts';
import { offsetCommitRequest, offsetFetchRequest } from './requests/offsets.ts';

/** auto.offset.reset: where to begin without a usable committed position. */
export type OffsetResetPolicy = 'earliest' | 'latest' | 'none';

export interface OffsetAndMetadata {
  readonly offset: number;
  /**
   * Of the last record before the offset, so that whoever goes on from here sees a truncation (KIP-320); −1 or left out:
   * not known.
   */
  readonly leaderEpoch?: number | undefined;
  readonly metadata: string | null;
}

/** What of a cluster looking up offsets needs. */
export type OffsetCluster = Pick<KafkaCluster, 'leaderOf' | 'leaderEpochOf' | 'refresh' | 'send'>;

/** A map key for a partition. */
export function partitionKey({ topic, partition }: TopicPartition): string {
  return `${topic}-${partition}`;
}

/** One end of a partition's log, from its leader. */
export async function listOffset(
  cluster: OffsetCluster,
  at: TopicPartition,
  which: 'earliest' | 'latest',
): Promise<number> {
  const offsets = await listOffsets(cluster, [at], which);
  return offsets.get(partitionKey(at))!;
}

/**
 * One end of each partition's log. Retriable errors (a leader that moved) are thrown after the metadata was refreshed,
 * so that the caller's next try goes to the right broker.
 */
export async function listOffsets(
  cluster: OffsetCluster,
  partitions: readonly TopicPartition[],
  which: 'earliest' | 'latest',
  isolationLevel: 'read_uncommitted' | 'read_committed' = 'read_uncommitted',
): Promise<Map<string, number>> {
  const topics = [...new Set(partitions.map((p) => p.topic))];
  if (partitions.some((p) => cluster.leaderOf(p.topic, p.partition) < 0)) await cluster.refresh(topics);
  const timestamp = which === 'earliest' ? EARLIEST_TIMESTAMP : LATEST_TIMESTAMP;
  const wanted = partitions.map((at) => ({
    ...at,
    timestamp,
    currentLeaderEpoch: cluster.leaderEpochOf(at.topic, at.partition),
  }));
  const leaders = byLeader(cluster, wanted);
  const leaderless = leaders.get(-1)?.[0];
  if (leaderless !== undefined) throw lookUpError(ErrorCode.LEADER_NOT_AVAILABLE, leaderless);
  const offsets = new Map<string, number>();
  for (const [leader, list] of leaders) {
    try {
      const answer = await cluster.send(leader, listOffsetsRequest(byTopic(list), isolationLevel));
      for (const { topic, partition, errorCode, offset } of answer.partitions) {
        if (errorCode !== ErrorCode.NONE) throw lookUpError(errorCode, { topic, partition });
        offsets.set(partitionKey({ topic, partition }), offset);
      }
    } catch (error) {
      await cluster.refresh(topics).catch(() => undefined);
      throw error;
    }
  }
  for (const at of partitions) {
    if (!offsets.has(partitionKey(at))) throw lookUpError(ErrorCode.UNKNOWN_SERVER_ERROR, at);
  }
  return offsets;
}

function lookUpError(errorCode: number, { topic, partition }: TopicPartition): KafkaProtocolError {
  return new KafkaProtocolError(errorCode, `Looking up offsets of ${topic}-${partition}`, { topic, partition });
}

/** Committed positions; partitions without one are left out. */
export async function fetchCommitted(
  cluster: KafkaCluster,
  groupId: string,
  partitions: readonly TopicPartition[],
): Promise<Map<string, OffsetAndMetadata>> {
  const committed = new Map<string, OffsetAndMetadata>();
  if (partitions.length === 0) return committed;
  const topics = byTopic(partitions).map(({ topic, partitions: list }) => ({
    topic,
    partitions: list.map((p) => p.partition),
  }));
  const answer = await cluster.sendToGroupCoordinator(groupId, offsetFetchRequest(groupId, topics));
  checkCoordinator(cluster, groupId, answer.errorCode, `Fetching the positions of group ${groupId}`);
  for (const { topic, partition, offset, leaderEpoch, metadata, errorCode } of answer.partitions) {
    checkCoordinator(cluster, groupId, errorCode, `Fetching the position of group ${groupId} in ${topic}-${partition}`);
    if (offset >= 0) committed.set(partitionKey({ topic, partition }), { offset, leaderEpoch, metadata });
  }
  return committed;
}

/**
 * Commits positions as a member of the group.
 * @returns the partitions that the broker does not know: not yet, or not any more; the others are committed
 * @throws MemberFencedError the group has gone on without this member: its partitions may be another's already
 */
export async function commitOffsets(
  cluster: KafkaCluster,
  member: GroupMemberIdentity,
  positions: readonly (TopicPartition & OffsetAndMetadata)[],
): Promise<readonly TopicPartition[]> {
  if (positions.length === 0) return [];
  const unknown: TopicPartition[] = [];
  const answer = await cluster.sendToGroupCoordinator(member.groupId, offsetCommitRequest(member, byTopic(positions)));
  for (const { topic, partition, errorCode } of answer.partitions) {
    if (isFenced(errorCode)) {
      throw new MemberFencedError(
        `The position in ${topic}-${partition} was not committed: the group ${member.groupId} has rebalanced without this member.`,
        new KafkaProtocolError(errorCode, 'OffsetCommit'),
      );
    }
    if (errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) unknown.push({ topic, partition });
    else checkCoordinator(cluster, member.groupId, errorCode, `Committing the position in ${topic}-${partition}`);
  }
  return unknown;
}

function isFenced(errorCode: number): boolean {
  return (
    errorCode === ErrorCode.ILLEGAL_GENERATION ||
    errorCode === ErrorCode.UNKNOWN_MEMBER_ID ||
    errorCode === ErrorCode.FENCED_INSTANCE_ID
  );
}

function checkCoordinator(cluster: KafkaCluster, groupId: string, errorCode: number, what: string): void {
  if (errorCode === ErrorCode.NONE) return;
  if (errorCode === ErrorCode.NOT_COORDINATOR || errorCode === ErrorCode.COORDINATOR_NOT_AVAILABLE) {
    cluster.forgetCoordinator(groupId);
  }
  if (errorCode === ErrorCode.REBALANCE_IN_PROGRESS) {
    throw new KafkaConnectionError(`${what}: the group is rebalancing.`);
  }
  throw new KafkaProtocolError(errorCode, what);
}
