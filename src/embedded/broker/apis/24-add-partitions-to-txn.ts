/** AddPartitionsToTxn v0 to v3: all of the partitions or none. v3 is flexible. v4, which brokers use, is left out. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { array, int16, int32, int64, string, struct } from '../wire-types.ts';
import { transactionFault } from './coordinated.ts';
import { eachPartition } from './each-partition.ts';
import { fencedAs } from './fenced.ts';

const request = struct({
  transactionalId: string,
  producerId: int64,
  producerEpoch: int16,
  topics: array(struct({ name: string, partitions: array(int32) })),
});

const response = struct({
  throttleTimeMs: int32,
  topics: array(struct({ name: string, partitions: array(struct({ partition: int32, errorCode: int16 })) })),
});

export const addPartitionsToTxn = defineApi(
  request,
  response,
)({
  key: 24,
  name: 'AddPartitionsToTxn',
  minVersion: 0,
  maxVersion: 3,
  flexibleFrom: 3,
  handle(req, context) {
    const { broker, version } = context;
    const { transactionalId, producerId, producerEpoch, topics } = req;
    const isKnown = (name: string, partition: number): boolean => broker.topics.log(name, partition) !== undefined;
    if (!topics.every(({ name, partitions }) => partitions.every((partition) => isKnown(name, partition)))) {
      return {
        throttleTimeMs: 0,
        topics: eachPartition(topics, (partition, name) => ({
          partition,
          errorCode: isKnown(name, partition)
            ? ErrorCode.OPERATION_NOT_ATTEMPTED
            : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        })),
      };
    }
    const partitions = topics.flatMap(({ name, partitions: list }) =>
      list.map((partition) => ({ topic: name, partition })),
    );
    const errorCode =
      transactionFault(context, transactionalId) ||
      broker.transactions.addPartitions(transactionalId, producerId, producerEpoch, partitions);
    return this.fail(req, fencedAs(errorCode, version >= 2), version);
  },
  fail: ({ topics }, errorCode) => ({
    throttleTimeMs: 0,
    topics: eachPartition(topics, (partition) => ({ partition, errorCode })),
  }),
});
