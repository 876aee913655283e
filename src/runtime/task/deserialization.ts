/** What is done about a record that cannot be read: the handler decides, what is dropped is logged and may be kept. */
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import { StreamsError } from '../errors.ts';
import type { HandlerResponse, StreamsOptions, UndecodableRecord } from '../options.ts';
import type { RecordCollector } from './record-collector.ts';

export interface DeserializationOptions {
  readonly handler: NonNullable<StreamsOptions['deserializationExceptionHandler']>;
  readonly deadLetterTopic: string | undefined;
  readonly logger: Logger;
}

/** @throws StreamsError MILLRACE_RUNTIME_PROCESSING the user's handler threw */
export function undecodable(
  record: UndecodableRecord,
  { handler, deadLetterTopic, logger }: DeserializationOptions,
  collector: RecordCollector,
): HandlerResponse {
  const { topic, partition, offset, error } = record;
  const response = typeof handler === 'function' ? ask(handler, record) : handler;
  if (response !== 'continue') return 'fail';
  logger.warn({ topic, partition, offset, error: error.message }, 'record cannot be read, dropped');
  if (deadLetterTopic !== undefined) collector.sendDeadLetter(deadLetterTopic, record);
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
