/** Why a record was not written, in words. */
import { messageOf } from '../errors.ts';
import { ErrorCode, errorName, ProduceError } from './errors.ts';
import type { AfterFailure } from './producer-options.ts';
import type { PendingBatch } from './producer-partition.ts';
import type { ProducePartitionResponse } from './requests/00-produce.ts';

const LEAVE_OPEN: ReadonlySet<number> = new Set<number>([
  ErrorCode.UNKNOWN_SERVER_ERROR,
  ErrorCode.REQUEST_TIMED_OUT,
  ErrorCode.NETWORK_EXCEPTION,
  ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
  ErrorCode.KAFKA_STORAGE_ERROR,
]);

/** True where a batch answered so may be written all the same. */
export function leavesOpen(errorCode: number): boolean {
  return LEAVE_OPEN.has(errorCode);
}

/** True where single records may have made the whole batch refused. */
export function isOfSingleRecords(errorCode: number): boolean {
  return errorCode === ErrorCode.INVALID_RECORD || errorCode === ErrorCode.INVALID_TIMESTAMP;
}

export function noSuchPartition(topic: string, partition: number, count: number): ProduceError {
  return new ProduceError(
    'MILLRACE_KAFKA_NO_SUCH_PARTITION',
    `A record for ${topic}-${partition}, but the topic has ${count} partitions. Check the partitioner.`,
    { context: { topic, partition } },
  );
}

export function invalidTimestamp(topic: string, timestamp: number): ProduceError {
  return new ProduceError(
    'MILLRACE_KAFKA_INVALID_TIMESTAMP',
    `A record for ${topic} with the timestamp ${timestamp}: it must be a whole number of milliseconds since the epoch.`,
    { context: { topic } },
  );
}

export function producerClosed(): ProduceError {
  return new ProduceError('MILLRACE_KAFKA_PRODUCER_CLOSED', 'The producer is closed.');
}

export function discarded(): ProduceError {
  return new ProduceError(
    'MILLRACE_KAFKA_DISCARDED',
    'What was sent and not acknowledged was dropped: its tasks are lost, and whoever has them now writes it.',
    { retriable: true },
  );
}

export function compressionFailed(topic: string, partition: number, cause: unknown): ProduceError {
  return new ProduceError(
    'MILLRACE_KAFKA_COMPRESSION',
    `A batch for ${topic}-${partition} could not be compressed (${messageOf(cause)}). Check the installation of the ` +
      'compression package, or choose another compression.',
    { cause, context: { topic, partition } },
  );
}

/** A batch whose answer was lost, in a partition that cannot go on under the id that the batch was sent by. */
export function outcomeUnknown(topic: string, partition: number): ProduceError {
  return new ProduceError(
    'MILLRACE_KAFKA_OUTCOME_UNKNOWN',
    `Records for ${topic}-${partition} may be written or not: the answer was lost, and the broker can no longer tell a ` +
      'repetition. They are not sent again, which could write them twice. Look for them on the topic, or send them again ' +
      'where twice does no harm.',
    { context: { topic, partition } },
  );
}

/**
 * @param partition undefined: the topic's partitions are not known
 * @param afterFailure what of the producer
 */
export function deliveryTimedOut(
  topic: string,
  partition: number | undefined,
  waitedMs: number,
  trouble: string,
  afterFailure: AfterFailure,
): ProduceError {
  const where = partition === undefined ? topic : `${topic}-${partition}`;
  return new ProduceError(
    'MILLRACE_KAFKA_DELIVERY_TIMEOUT',
    `Records for ${where} were not acknowledged in ${Math.round(waitedMs / 1000)} s (${trouble === '' ? 'no answer yet' : trouble}). ` +
      'Check that the topic exists and its partitions have leaders and enough in-sync replicas, and that the brokers can be ' +
      'reached and keep up; after that, ' +
      `${afterFailure === 'stop' ? 'start' : 'send'} again.`,
    { context: { topic, ...(partition === undefined ? {} : { partition }) } },
  );
}

/** The batch itself is a property that no log shows. */
export function refused(batch: PendingBatch, response: ProducePartitionResponse): ProduceError {
  const { topic, partition, recordErrors, errorMessage } = response;
  const which = recordErrors.map((e) => `record ${e.index}${e.message === null ? '' : ` (${e.message})`}`).join(', ');
  const error = new ProduceError(
    'MILLRACE_KAFKA_RECORD_REFUSED',
    `The broker refused a batch of ${batch.recordCount} records for ${topic}-${partition} with ${errorName(response.errorCode)}` +
      `${which === '' ? '' : `: ${which}`}${errorMessage === null ? '' : ` (${errorMessage})`}. ` +
      'Check max.message.bytes, message.timestamp settings and the rights of the user on the topic.',
    { context: { topic, partition } },
  );
  Object.defineProperty(error, 'batch', { value: batch.bytes, enumerable: false });
  return error;
}
