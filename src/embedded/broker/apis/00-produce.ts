/**
 * Produce v3 to v9. Batches are appended as they come; idempotent sequences and open transactions are checked. acks −1 and
 * 1 are the same here: there is one replica. v8 names the records refused (KIP-467), v9 is flexible.
 */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { isStorageFault } from '../storage.ts';
import { array, int16, int32, int64, nullableBytes, nullableString, since, string, struct } from '../wire-types.ts';
import { eachPartition } from './each-partition.ts';

const request = struct({
  transactionalId: nullableString,
  acks: int16,
  timeoutMs: int32,
  topics: array(struct({ name: string, partitions: array(struct({ partition: int32, records: nullableBytes })) })),
});

const response = struct({
  topics: array(
    struct({
      name: string,
      partitions: array(
        struct({
          partition: int32,
          errorCode: int16,
          baseOffset: int64,
          logAppendTimeMs: int64,
          logStartOffset: since(5, int64, -1),
          recordErrors: since(8, array(struct({ index: int32, message: nullableString })), []),
          errorMessage: since(8, nullableString, null),
        }),
      ),
    }),
  ),
  throttleTimeMs: int32,
});

const TRANSACTIONAL = 0x10;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53;
/** Of a batch, as far as its producer's epoch. */
const PRODUCER_BYTES = 53;

export const produce = defineApi(
  request,
  response,
)({
  key: 0,
  name: 'Produce',
  minVersion: 3,
  maxVersion: 9,
  flexibleFrom: 9,
  handle({ transactionalId, acks, topics }, context) {
    if (![-1, 0, 1].includes(acks))
      return this.fail({ transactionalId, acks, timeoutMs: 0, topics }, ErrorCode.INVALID_REQUIRED_ACKS, 0);
    // Without an id nobody may write in a transaction: all of the request is refused, as in Kafka.
    if (transactionalId === null && topics.some((t) => t.partitions.some(({ records }) => isTransactional(records))))
      return this.fail({ transactionalId, acks, timeoutMs: 0, topics }, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 0);
    const answer = eachPartition(topics, ({ partition, records }, name) =>
      append(name, partition, records, transactionalId, context),
    );
    if (acks !== 0) return { topics: answer, throttleTimeMs: 0 };
    // Without an answer, closing the connection is the only word there is.
    if (answer.some((t) => t.partitions.some((p) => p.errorCode !== ErrorCode.NONE))) context.connection.close();
    return undefined;
  },
  fail: ({ topics }, errorCode) => ({
    throttleTimeMs: 0,
    topics: eachPartition(topics, ({ partition }) => result(partition, errorCode, null)),
  }),
});

function append(
  topic: string,
  partition: number,
  records: Buffer | null,
  transactionalId: string | null,
  { broker }: RequestContext,
) {
  const log = broker.topics.log(topic, partition);
  if (log === undefined) return result(partition, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, null);
  if (records === null || records.length === 0) return result(partition, ErrorCode.INVALID_RECORD, 'No records.');
  if (transactionalId !== null && isTransactional(records)) {
    const producer = { producerId: Number(records.readBigInt64BE(43)), producerEpoch: records.readInt16BE(51) };
    const fault = broker.transactions.writeFault(transactionalId, producer, topic, partition);
    const message = fault === ErrorCode.INVALID_TXN_STATE ? 'Partition was not added to the transaction' : null;
    if (fault !== ErrorCode.NONE) return result(partition, fault, message);
  }
  try {
    const { errorCode, message, baseOffset, logAppendTimeMs } = log.append(records);
    return { ...result(partition, errorCode, message), baseOffset, logAppendTimeMs, logStartOffset: log.startOffset };
  } catch (error) {
    // The other partitions of the request have their own answers.
    if (!isStorageFault(error)) throw error;
    broker.logger.error({ topic, partition, error: error.message }, 'records could not be stored');
    return result(partition, ErrorCode.KAFKA_STORAGE_ERROR, null);
  }
}

function isTransactional(records: Buffer | null): records is Buffer {
  return records !== null && records.length >= PRODUCER_BYTES && (records.readInt16BE(21) & TRANSACTIONAL) !== 0;
}

function result(partition: number, errorCode: number, errorMessage: string | null) {
  return {
    partition,
    errorCode,
    baseOffset: -1,
    logAppendTimeMs: -1,
    logStartOffset: -1,
    recordErrors: [],
    errorMessage,
  };
}
