/** OffsetCommit v2 to v8. Retention of positions is the broker's: they stay. v7 has static members, v8 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { array, int16, int32, int64, nullableString, since, string, struct } from '../wire-types.ts';
import { groupFault } from './coordinated.ts';
import { eachPartition } from './each-partition.ts';

const request = struct({
  groupId: string,
  generationId: int32,
  memberId: string,
  groupInstanceId: since(7, nullableString, null),
  retentionTimeMs: since(2, int64, -1, 4),
  topics: array(
    struct({
      name: string,
      partitions: array(
        struct({ partition: int32, offset: int64, leaderEpoch: since(6, int32, -1), metadata: nullableString }),
      ),
    }),
  ),
});

const response = struct({
  throttleTimeMs: since(3, int32, 0),
  topics: array(struct({ name: string, partitions: array(struct({ partition: int32, errorCode: int16 })) })),
});

/** offset.metadata.max.bytes */
export const MAX_METADATA_BYTES = 4096;

export const offsetCommit = defineApi(
  request,
  response,
)({
  key: 8,
  name: 'OffsetCommit',
  minVersion: 2,
  maxVersion: 8,
  flexibleFrom: 8,
  handle(req, context) {
    const { broker, version } = context;
    const { groupId, memberId, groupInstanceId, generationId, topics } = req;
    const fault =
      groupFault(context, groupId) || broker.groups.commitFault(groupId, memberId, groupInstanceId, generationId);
    if (fault !== ErrorCode.NONE) return this.fail(req, fault, version);
    const answer = eachPartition(topics, ({ partition, metadata }, name) => ({
      partition,
      errorCode:
        broker.topics.log(name, partition) === undefined
          ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
          : Buffer.byteLength(metadata ?? '') > MAX_METADATA_BYTES
            ? ErrorCode.OFFSET_METADATA_TOO_LARGE
            : ErrorCode.NONE,
    }));
    const commits = topics.flatMap(({ name, partitions }, t) =>
      partitions.flatMap((at, p) =>
        answer[t]!.partitions[p]!.errorCode === ErrorCode.NONE ? [{ topic: name, ...at }] : [],
      ),
    );
    broker.groups.commit(groupId, commits);
    return { throttleTimeMs: 0, topics: answer };
  },
  fail: ({ topics }, errorCode) => ({
    throttleTimeMs: 0,
    topics: eachPartition(topics, ({ partition }) => ({ partition, errorCode })),
  }),
});
