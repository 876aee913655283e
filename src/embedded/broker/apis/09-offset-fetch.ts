/**
 * OffsetFetch v1 to v7. No topics (v2): all that the group has committed. v6 is flexible; v7 may require stable positions:
 * UNSTABLE_OFFSET_COMMIT where a transaction has one pending (KIP-447).
 */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import {
  array,
  bool,
  int16,
  int32,
  int64,
  nullableArray,
  nullableString,
  since,
  string,
  struct,
} from '../wire-types.ts';
import { groupFault } from './coordinated.ts';

const request = struct({
  groupId: string,
  topics: nullableArray(struct({ name: string, partitions: array(int32) })),
  requireStable: since(7, bool, false),
});

const response = struct({
  throttleTimeMs: since(3, int32, 0),
  topics: array(
    struct({
      name: string,
      partitions: array(
        struct({
          partition: int32,
          offset: int64,
          leaderEpoch: since(5, int32, -1),
          metadata: nullableString,
          errorCode: int16,
        }),
      ),
    }),
  ),
  errorCode: since(2, int16, 0),
});

export const offsetFetch = defineApi(
  request,
  response,
)({
  key: 9,
  name: 'OffsetFetch',
  minVersion: 1,
  maxVersion: 7,
  flexibleFrom: 6,
  handle(req, context) {
    const { groupId, topics, requireStable } = req;
    const { groups } = context.broker;
    const fault = groupFault(context, groupId);
    if (fault !== ErrorCode.NONE) return this.fail(req, fault, context.version);
    return {
      throttleTimeMs: 0,
      errorCode: ErrorCode.NONE,
      topics: (topics ?? byTopic(groups.committedPartitions(groupId))).map(({ name, partitions }) => ({
        name,
        partitions: partitions.map((partition) => {
          if (requireStable && groups.isPending(groupId, name, partition))
            return nothing(partition, ErrorCode.UNSTABLE_OFFSET_COMMIT);
          const committed = groups.committed(groupId, name, partition);
          if (committed === undefined) return nothing(partition, ErrorCode.NONE);
          const { offset, leaderEpoch, metadata } = committed;
          return { partition, offset, leaderEpoch, metadata: metadata ?? '', errorCode: ErrorCode.NONE };
        }),
      })),
    };
  },
  fail: ({ topics }, errorCode, version) => ({
    throttleTimeMs: 0,
    errorCode,
    // From v2 on the error is said once.
    topics: (version < 2 ? (topics ?? []) : []).map(({ name, partitions }) => ({
      name,
      partitions: partitions.map((partition) => nothing(partition, errorCode)),
    })),
  }),
});

function nothing(partition: number, errorCode: number) {
  return { partition, offset: -1, leaderEpoch: -1, metadata: '' as string | null, errorCode };
}

function byTopic(partitions: readonly { readonly topic: string; readonly partition: number }[]) {
  const topics = new Map<string, number[]>();
  for (const { topic, partition } of partitions) topics.set(topic, [...(topics.get(topic) ?? []), partition]);
  return [...topics].map(([name, list]) => ({ name, partitions: list }));
}
