/** OffsetForLeaderEpoch v2 to v4: where the records of an epoch end, for readers that may have read what was lost. v4 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { array, int16, int32, int64, since, string, struct } from '../wire-types.ts';
import { eachPartition } from './each-partition.ts';
import { ledPartition } from './led-partition.ts';

const request = struct({
  replicaId: since(3, int32, -2),
  topics: array(
    struct({
      name: string,
      partitions: array(struct({ partition: int32, currentLeaderEpoch: int32, leaderEpoch: int32 })),
    }),
  ),
});

const response = struct({
  throttleTimeMs: int32,
  topics: array(
    struct({
      name: string,
      partitions: array(struct({ errorCode: int16, partition: int32, leaderEpoch: int32, endOffset: int64 })),
    }),
  ),
});

const UNDEFINED = -1;

export const offsetForLeaderEpoch = defineApi(
  request,
  response,
)({
  key: 23,
  name: 'OffsetForLeaderEpoch',
  minVersion: 2,
  maxVersion: 4,
  flexibleFrom: 4,
  handle: ({ topics }, context) => ({
    throttleTimeMs: 0,
    topics: eachPartition(topics, ({ partition, currentLeaderEpoch, leaderEpoch }, name) => {
      const log = ledPartition(context, name, partition, currentLeaderEpoch);
      if (typeof log === 'number') return result(partition, log, UNDEFINED, UNDEFINED);
      const { epoch, endOffset } = log.endOfEpoch(leaderEpoch);
      return result(partition, ErrorCode.NONE, epoch, endOffset);
    }),
  }),
  fail: ({ topics }, errorCode) => ({
    throttleTimeMs: 0,
    topics: eachPartition(topics, ({ partition }) => result(partition, errorCode, UNDEFINED, UNDEFINED)),
  }),
});

function result(partition: number, errorCode: number, leaderEpoch: number, endOffset: number) {
  return { errorCode, partition, leaderEpoch, endOffset };
}
