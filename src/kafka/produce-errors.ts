/** Why a record was not written, in words. */
import { messageOf } from '../errors.ts';
import { errorName, ProduceError } from './errors.ts';
import type { PendingBatch } from './producer-partition.ts';
import type { ProducePartitionResponse } from './requests/00-produce.ts';

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

/** @param partition undefined: the topic's partitions are not known */
export function deliveryTimedOut(
  topic: string,
  partition: number | undefined,
  waitedMs: number,
  trouble: string,
): ProduceError {
  const where = partition === undefined ? topic : `${topic}-${partition}`;
  return new ProduceError(
    'MILLRACE_KAFKA_DELIVERY_TIMEOUT',
    `Records for ${where} were not acknowledged in ${Math.round(waitedMs / 1000)} s (${trouble === '' ? 'no answer yet' : trouble}). ` +
      'Check that the topic exists and its partitions have leaders and enough in-sync replicas, and that the brokers can be ' +
      'reached and keep up; after that, start again.',
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
