/** ListOffsets v1 to v7. −1 the end, −2 the start, −3 the record with the highest timestamp (v7, KIP-734). v6 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import { array, int8, int16, int32, int64, since, string, struct } from '../wire-types.ts';
import { eachPartition } from './each-partition.ts';
import { ledPartition } from './led-partition.ts';

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
  handle: ({ isolationLevel, topics }, context) => ({
    throttleTimeMs: 0,
    topics: eachPartition(topics, ({ partition, timestamp, currentLeaderEpoch }, name) => {
      const log = ledPartition(context, name, partition, currentLeaderEpoch);
      if (typeof log === 'number') return { ...NOTHING, partition, errorCode: log };
      const found = lookUp(log, timestamp, isolationLevel === READ_COMMITTED);
      if (found !== undefined) return { ...found, partition, errorCode: ErrorCode.NONE as number };
      // Clients before KIP-207 know no better word for it.
      const errorCode = context.version >= 5 ? ErrorCode.OFFSET_NOT_AVAILABLE : ErrorCode.LEADER_NOT_AVAILABLE;
      return { ...NOTHING, partition, errorCode };
    }),
  }),
  fail: ({ topics }, errorCode) => ({
    throttleTimeMs: 0,
    topics: eachPartition(topics, ({ partition }) => ({ ...NOTHING, partition, errorCode })),
  }),
});

const READ_COMMITTED = 1;
const NOTHING = { offset: -1, timestamp: -1, leaderEpoch: -1 };

/** Undefined: not to be said yet, since the leader does not know which of its records are replicated (KIP-207). */
function lookUp(log: PartitionLog, timestamp: number, readCommitted: boolean) {
  const end = readCommitted ? log.lastStableOffset : log.highWatermark;
  if (timestamp === LATEST)
    return log.knowsItsEnd ? { offset: end, timestamp: -1, leaderEpoch: log.leadership.epoch } : undefined;
  if (timestamp === EARLIEST) return { offset: log.startOffset, timestamp: -1, leaderEpoch: log.startEpoch };
  const found = timestamp === MAX_TIMESTAMP ? log.maxTimestamp() : log.offsetFor(timestamp);
  if (found !== undefined && found.offset < end) return found;
  return log.knowsItsEnd ? NOTHING : undefined;
}
