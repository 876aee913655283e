/**
 * Produce v3 to v9. Batches are appended as they come; idempotent sequences and open transactions are checked. acks −1
 * waits for the high watermark, which is the log's end unless a test holds it back. v8 names the records refused (KIP-467),
 * v9 is flexible.
 */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi, type RequestContext } from '../api.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import { isStorageFault } from '../storage.ts';
import { array, int16, int32, int64, nullableBytes, nullableString, since, string, struct } from '../wire-types.ts';
import { eachPartition } from './each-partition.ts';
import { ledPartition } from './led-partition.ts';

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
  handle({ transactionalId, acks, timeoutMs, topics }, context) {
    if (![-1, 0, 1].includes(acks))
      return this.fail({ transactionalId, acks, timeoutMs: 0, topics }, ErrorCode.INVALID_REQUIRED_ACKS, 0);
    // Without an id nobody may write in a transaction: all of the request is refused, as in Kafka.
    if (transactionalId === null && topics.some((t) => t.partitions.some(({ records }) => isTransactional(records))))
      return this.fail({ transactionalId, acks, timeoutMs: 0, topics }, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 0);
    const appended: Appended[] = [];
    const answer = eachPartition(topics, ({ partition, records }, name) =>
      append(name, partition, records, transactionalId, context, appended),
    );
    if (acks === 1) return { topics: answer, throttleTimeMs: 0 };
    if (acks === -1) {
      const waiting = appended.filter((one) => !one.isReplicated());
      if (waiting.length === 0) return { topics: answer, throttleTimeMs: 0 };
      return replicated(waiting, timeoutMs, context).then(() => ({ topics: answer, throttleTimeMs: 0 }));
    }
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
  context: RequestContext,
  appended: Appended[],
): Result {
  const { broker } = context;
  const log = ledPartition(context, topic, partition);
  if (typeof log === 'number') return result(partition, log, null);
  if (records === null || records.length === 0) return result(partition, ErrorCode.INVALID_RECORD, 'No records.');
  if (transactionalId !== null && isTransactional(records)) {
    const producer = { producerId: Number(records.readBigInt64BE(43)), producerEpoch: records.readInt16BE(51) };
    const fault = broker.transactions.writeFault(transactionalId, producer, topic, partition);
    const message = fault === ErrorCode.INVALID_TXN_STATE ? 'Partition was not added to the transaction' : null;
    if (fault !== ErrorCode.NONE) return result(partition, fault, message);
  }
  try {
    const { errorCode, message, baseOffset, lastOffset, logAppendTimeMs } = log.append(records);
    const answer = result(partition, errorCode, message);
    Object.assign(answer, { baseOffset, logAppendTimeMs, logStartOffset: log.startOffset });
    if (errorCode === ErrorCode.NONE) appended.push(new Appended(log, lastOffset, answer));
    return answer;
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

interface Result {
  readonly partition: number;
  errorCode: number;
  readonly baseOffset: number;
  readonly logAppendTimeMs: number;
  readonly logStartOffset: number;
  readonly recordErrors: readonly { readonly index: number; readonly message: string | null }[];
  readonly errorMessage: string | null;
}

function result(partition: number, errorCode: number, errorMessage: string | null): Result {
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

/** A batch that is in the log, and may not be replicated yet. */
class Appended {
  readonly log: PartitionLog;
  readonly #lastOffset: number;
  readonly #leaderEpoch: number;
  readonly #answer: Result;

  constructor(log: PartitionLog, lastOffset: number, answer: Result) {
    this.log = log;
    this.#lastOffset = lastOffset;
    this.#leaderEpoch = log.leadership.epoch;
    this.#answer = answer;
  }

  isReplicated(): boolean {
    return this.log.highWatermark > this.#lastOffset;
  }

  /** False while it must be waited for. Another leader may not have the batch, whatever its high watermark is. */
  isDecided(): boolean {
    if (this.log.leadership.epoch === this.#leaderEpoch) return this.isReplicated();
    this.#answer.errorCode = ErrorCode.NOT_LEADER_OR_FOLLOWER;
    return true;
  }

  /** The batch stays where it is. */
  timedOut(): void {
    this.#answer.errorCode = ErrorCode.REQUEST_TIMED_OUT;
  }
}

/** Resolves when each is decided, after `timeoutMs`, or when nobody waits any more. */
function replicated(appended: readonly Appended[], timeoutMs: number, { connection }: RequestContext): Promise<void> {
  return new Promise((resolve) => {
    let waiting = appended;
    const stops: (() => void)[] = [];
    const done = (): void => {
      clearTimeout(timer);
      for (const stop of stops) stop();
      resolve();
    };
    const look = (): void => {
      waiting = waiting.filter((one) => !one.isDecided());
      if (waiting.length === 0) done();
    };
    const timer = setTimeout(
      () => {
        for (const one of waiting) one.timedOut();
        done();
      },
      Math.max(timeoutMs, 0),
    );
    stops.push(connection.onClose(done));
    for (const { log } of appended) stops.push(log.onChange(look));
  });
}
