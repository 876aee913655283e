/** What is done about a record that cannot be read: the handler decides, what is dropped is logged and may be kept. */
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import type { ErrorPolicy } from '../../topology/index.ts';
import { StreamsError } from '../errors.ts';
import type { HandlerResponse, StreamsOptions, UndecodableRecord } from '../options.ts';
import type { RecordCollector } from './record-collector.ts';

export interface DeserializationOptions {
  readonly handler: NonNullable<StreamsOptions['deserializationExceptionHandler']>;
  readonly deadLetterTopic: string | undefined;
  readonly logger: Logger;
}

/**
 * @param policy the source's own, in the place of the handler
 * @throws StreamsError MILLRACE_RUNTIME_PROCESSING the user's handler threw
 */
export function undecodable(
  record: UndecodableRecord,
  policy: ErrorPolicy | undefined,
  options: DeserializationOptions,
  collector: RecordCollector,
): HandlerResponse {
  const { handler, logger } = options;
  const { topic, partition, offset, error } = record;
  const deadLetterTopic = policy?.deadLetterTopic ?? options.deadLetterTopic;
  const response = policy?.response ?? (typeof handler === 'function' ? ask(handler, record) : handler);
  if (response !== 'continue') return 'fail';
  logger.warn({ topic, partition, offset, error: error.message }, 'record cannot be read, dropped');
  if (deadLetterTopic !== undefined) collector.sendDeadLetter(deadLetterTopic, { ...record, attempts: 1 });
  return 'continue';
}

function ask(handler: (record: UndecodableRecord) => HandlerResponse, record: UndecodableRecord): HandlerResponse {
  try {
    return handler(record);
  } catch (error) {
    const { topic, partition, offset } = record;
    throw new StreamsError(
      'MILLRACE_RUNTIME_PROCESSING',
      `deserializationExceptionHandler failed on the record at ${topic}-${partition} offset ${offset}: ${messageOf(error)}`,
      { cause: error, context: { topic, partition, offset } },
    );
  }
}
