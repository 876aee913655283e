/** What user code threw, or a serde that refuses a value, with the operator and the record that it was at. */
import { MillraceError, messageOf } from '../../errors.ts';
import { SerdeError } from '../../serdes/index.ts';
import { StreamsError } from '../errors.ts';

interface Place {
  readonly taskId: string;
  /** The node entered last. */
  readonly node: string;
}

interface RecordPlace {
  readonly topic: string | null;
  readonly partition: number;
  readonly offset: number;
}

/** @param at the record; undefined: none, as in a flush */
export function processingFailed(error: unknown, { taskId, node }: Place, at: RecordPlace | undefined): MillraceError {
  const refused = error instanceof SerdeError && error.code === 'MILLRACE_SERDES_SERIALIZATION';
  if (error instanceof MillraceError && !refused) return error;
  // No more of it: a context may be the record itself, and what is in an error ends in logs.
  const record =
    at === undefined || at.topic === null ? undefined : { topic: at.topic, partition: at.partition, offset: at.offset };
  const where =
    record === undefined ? '' : ` of the record at ${record.topic}-${record.partition} offset ${record.offset}`;
  const store = refused && error.store !== undefined ? { store: error.store } : {};
  return new StreamsError(
    refused ? 'MILLRACE_RUNTIME_SERIALIZATION' : 'MILLRACE_RUNTIME_PROCESSING',
    `Processing${where} failed in ${node} (task ${taskId}): ${messageOf(error)}`,
    { cause: error, context: { taskId, node, ...store, ...record } },
  );
}

/** Outside of a record's processing. */
export function stepFailed(doing: string, error: unknown, { taskId, node }: Place): MillraceError {
  if (error instanceof MillraceError) return error;
  return new StreamsError(
    'MILLRACE_RUNTIME_PROCESSING',
    `${doing} ${node} failed (task ${taskId}): ${messageOf(error)}`,
    { cause: error, context: { node, taskId } },
  );
}
