/** DeleteRecords v0 to v2. Offset −1 is the high watermark. v2 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { array, int16, int32, int64, since, string, struct } from '../wire-types.ts';
import { eachPartition } from './each-partition.ts';
import { ledPartition } from './led-partition.ts';

const request = struct({
  topics: array(struct({ name: string, partitions: array(struct({ partition: int32, offset: int64 })) })),
  timeoutMs: int32,
});

const response = struct({
  throttleTimeMs: since(0, int32, 0),
  topics: array(
    struct({ name: string, partitions: array(struct({ partition: int32, lowWatermark: int64, errorCode: int16 })) }),
  ),
});

export const deleteRecords = defineApi(
  request,
  response,
)({
  key: 21,
  name: 'DeleteRecords',
  minVersion: 0,
  maxVersion: 2,
  flexibleFrom: 2,
  handle: ({ topics }, context) => ({
    throttleTimeMs: 0,
    topics: topics.map(({ name, partitions }) => {
      const topic = context.broker.topics.get(name);
      const answer = partitions.map(({ partition, offset }) => {
        const log = ledPartition(context, name, partition);
        if (typeof log === 'number') return { partition, lowWatermark: -1, errorCode: log };
        // Compacted topics are not for deleting from: what is latest must stay.
        if (topic!.config.text('cleanup.policy') === 'compact')
          return { partition, lowWatermark: -1, errorCode: POLICY_VIOLATION };
        if (offset > log.highWatermark || offset < -1)
          return { partition, lowWatermark: -1, errorCode: ErrorCode.OFFSET_OUT_OF_RANGE };
        log.deleteRecords(offset === -1 ? log.highWatermark : offset);
        return { partition, lowWatermark: log.startOffset, errorCode: ErrorCode.NONE };
      });
      if (topic !== undefined) context.broker.topics.save(topic);
      return { name, partitions: answer };
    }),
  }),
  fail: ({ topics }, errorCode) => ({
    throttleTimeMs: 0,
    topics: eachPartition(topics, ({ partition }) => ({ partition, lowWatermark: -1, errorCode })),
  }),
});

const POLICY_VIOLATION = 44;
