/** TxnOffsetCommit v0 to v3: positions that count when the transaction commits. v3 is flexible and names the member (KIP-447). */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { array, int16, int32, int64, nullableString, since, string, struct } from '../wire-types.ts';
import { MAX_METADATA_BYTES } from './08-offset-commit.ts';
import { groupFault } from './coordinated.ts';
import { eachPartition } from './each-partition.ts';
import { fencedAs } from './fenced.ts';

const request = struct({
  transactionalId: string,
  groupId: string,
  producerId: int64,
  producerEpoch: int16,
  generationId: since(3, int32, -1),
  memberId: since(3, string, ''),
  groupInstanceId: since(3, nullableString, null),
  topics: array(
    struct({
      name: string,
      partitions: array(
        struct({ partition: int32, offset: int64, leaderEpoch: since(2, int32, -1), metadata: nullableString }),
      ),
    }),
  ),
});

const response = struct({
  throttleTimeMs: int32,
  topics: array(struct({ name: string, partitions: array(struct({ partition: int32, errorCode: int16 })) })),
});

export const txnOffsetCommit = defineApi(
  request,
  response,
)({
  key: 28,
  name: 'TxnOffsetCommit',
  minVersion: 0,
  maxVersion: 3,
  flexibleFrom: 3,
  handle(req, context) {
    const { broker, version } = context;
    const { transactionalId, groupId, producerId, producerEpoch, generationId, memberId, groupInstanceId, topics } =
      req;
    // Clients before KIP-447 name no member: their transaction id is what fences them.
    const anonymous = generationId < 0 && memberId === '' && groupInstanceId === null;
    const fault =
      groupFault(context, groupId) ||
      (anonymous ? ErrorCode.NONE : broker.groups.commitFault(groupId, memberId, groupInstanceId, generationId));
    if (fault !== ErrorCode.NONE) return this.fail(req, fault, version);
    const commits = topics.flatMap(({ name, partitions }) => partitions.map((at) => ({ topic: name, ...at })));
    if (commits.some(({ topic, partition }) => broker.topics.log(topic, partition) === undefined))
      return this.fail(req, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, version);
    if (commits.some(({ metadata }) => Buffer.byteLength(metadata ?? '') > MAX_METADATA_BYTES))
      return this.fail(req, ErrorCode.OFFSET_METADATA_TOO_LARGE, version);
    const errorCode = broker.transactions.commitOffsets(transactionalId, producerId, producerEpoch, groupId, commits);
    return this.fail(req, fencedAs(errorCode, false), version);
  },
  fail: ({ topics }, errorCode) => ({
    throttleTimeMs: 0,
    topics: eachPartition(topics, ({ partition }) => ({ partition, errorCode })),
  }),
});
