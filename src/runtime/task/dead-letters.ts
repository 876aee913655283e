/** What becomes of a record that a node's own code throws at: the task stops, or the record is left and the rest goes on. */
import { asError, MillraceError } from '../../errors.ts';
import { SerdeError } from '../../serdes/index.ts';
import type {
  DeadLetter,
  ProcessorNode,
  RecordBytes,
  SinkNode,
  StreamRecord,
  TopologyNode,
} from '../../topology/index.ts';
import type { RuntimeNode } from './node-context.ts';
import type { RawRecord } from './record-queue.ts';
import type { Task } from './task.ts';

/** The processor that does as the node's error policy says; without one it is the processor itself. */
export function guarded(
  task: Task,
  node: ProcessorNode | SinkNode,
  inner: RuntimeNode['processor'],
): RuntimeNode['processor'] {
  if (node.errorPolicy?.response !== 'continue') return inner;
  return {
    process: (record) => {
      try {
        inner.process(record);
      } catch (error) {
        // What nodes below throw is theirs.
        if (task.currentNode !== node.name || !isAboutTheRecord(error)) throw error;
        leave(task, node, record, error);
      }
    },
  };
}

/** The node's, else the application's. */
export function deadLetterTopicOf({ options }: Task, { errorPolicy }: TopologyNode): string | undefined {
  return errorPolicy?.deadLetterTopic ?? options.asynchrony.deadLetterTopic;
}

/** @returns false where neither the node nor the application has a topic for it */
export function sendDeadLetter(task: Task, node: TopologyNode, letter: DeadLetter): boolean {
  const topic = deadLetterTopicOf(task, node);
  if (topic === undefined) return false;
  task.options.collector.sendDeadLetter(topic, letter);
  return true;
}

/** A copy. */
export function bytesOf({ buffer, keyStart, keyLength, valueStart, valueLength }: RawRecord): RecordBytes {
  const copy = (start: number, length: number): Buffer | null =>
    length < 0 ? null : Buffer.from(buffer.subarray(start, start + length));
  return { key: copy(keyStart, keyLength), value: copy(valueStart, valueLength) };
}

function leave(
  task: Task,
  node: TopologyNode,
  { timestamp, headers }: StreamRecord<unknown, unknown>,
  thrown: unknown,
): void {
  const { topic, partition, offset } = task.context;
  const error = asError(thrown);
  const bytes = task.sourceBytes() ?? { key: null, value: null };
  const letter = { topic, partition, offset, timestamp, headers, ...bytes, error, attempts: 1 };
  const deadLetter = sendDeadLetter(task, node, letter);
  task.options.metrics.drop('failed');
  const at = { node: node.name, taskId: task.name, topic, partition, offset };
  task.options.asynchrony.logger.warn({ ...at, error: error.message, deadLetter }, 'a record failed, dropped');
}

/**
 * True where the record is at fault, or the user's code at this record; what else millrace throws is about brokers, stores
 * and the topology, and would be the same at the next record.
 */
function isAboutTheRecord(error: unknown): boolean {
  if (!(error instanceof MillraceError)) return true;
  if (error instanceof SerdeError) return error.code === 'MILLRACE_SERDES_SERIALIZATION';
  return error.code === 'MILLRACE_KAFKA_NO_SUCH_PARTITION';
}
