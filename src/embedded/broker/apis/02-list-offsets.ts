/** ListOffsets v1 to v7. −1 the end, −2 the start, −3 the record with the highest timestamp (v7, KIP-734). v6 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import { array, int8, int16, int32, int64, since, string, struct } from '../wire-types.ts';
import { eachPartition } from './each-partition.ts';

const request = struct({
  replicaId: int32,
  isolationLevel: since(2, int8, 0),
  topics: array(
    struct({
      name: string,
      partitions: array(struct({ partition: int32, currentLeaderEpoch: since(4, int32, -1), timestamp: int64 })),
    }),
  ),
});

const response = struct({
  throttleTimeMs: since(2, int32, 0),
  topics: array(
    struct({
      name: string,
      partitions: array(
        struct({
          partition: int32,
          errorCode: int16,
          timestamp: int64,
          offset: int64,
          leaderEpoch: since(4, int32, -1),
        }),
      ),
    }),
  ),
});

const LATEST = -1;
const EARLIEST = -2;
const MAX_TIMESTAMP = -3;

export const listOffsets = defineApi(
  request,
  response,
)({
  key: 2,
  name: 'ListOffsets',
  minVersion: 1,
  maxVersion: 7,
  flexibleFrom: 6,
  handle: ({ isolationLevel, topics }, { broker }) => ({
    throttleTimeMs: 0,
    topics: eachPartition(topics, ({ partition, timestamp }, name) => {
      const log = broker.topics.log(name, partition);
      if (log === undefined) return result(partition, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1, -1);
      const found = lookUp(log, timestamp, isolationLevel === 1);
      return result(partition, ErrorCode.NONE, found.timestamp, found.offset);
    }),
  }),
  fail: ({ topics }, errorCode) => ({
    throttleTimeMs: 0,
    topics: eachPartition(topics, ({ partition }) => result(partition, errorCode, -1, -1)),
  }),
});

const NOTHING = { offset: -1, timestamp: -1 };

function lookUp(log: PartitionLog, timestamp: number, readCommitted: boolean) {
  const end = readCommitted ? log.lastStableOffset : log.endOffset;
  if (timestamp === LATEST) return { offset: end, timestamp: -1 };
  if (timestamp === EARLIEST) return { offset: log.startOffset, timestamp: -1 };
  const found = (timestamp === MAX_TIMESTAMP ? log.maxTimestamp() : log.offsetFor(timestamp)) ?? NOTHING;
  return found.offset >= end ? NOTHING : found;
}

function result(partition: number, errorCode: number, timestamp: number, offset: number) {
  return { partition, errorCode, timestamp, offset, leaderEpoch: errorCode === ErrorCode.NONE ? 0 : -1 };
}
