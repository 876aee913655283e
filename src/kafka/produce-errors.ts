/** Why a record was not written, in words. */
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
