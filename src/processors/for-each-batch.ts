/**
 * `forEachBatch`: gathers records and hands them to an asynchronous handler. The task ends a batch by size, age or because
 * it is to be committed, processes nothing while the handler is at work, and commits its positions behind the batch only.
 * No equivalent in Kafka Streams.
 */
import { attempt, isRetriable, Retry, type RetryPolicy, retrying } from '../attempts.ts';
import { asError, messageOf } from '../errors.ts';
import type { Header } from '../headers.ts';
import {
  type AsynchronousEnvironment,
  type BatchContext,
  BatchFencedError,
  type BatchHandler,
  type BatchOperator,
  type BatchPosition,
  type BatchRecord,
  type ErrorPolicy,
  type InternalProcessorContext,
  type Processor,
  type ProcessorContext,
  type RecordBytes,
  resultOf,
  type StreamRecord,
} from '../topology/index.ts';
import { batchFailed, noDeadLetterTopic } from './errors.ts';

export interface ForEachBatchSettings<K, V> {
  readonly handler: BatchHandler<K, V>;
  readonly maxRecords: number;
  readonly maxWaitMs: number;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  readonly errorPolicy: ErrorPolicy;
}

class Gathered<K, V> implements BatchRecord<K, V> {
  readonly key: K;
  readonly value: V;
  readonly timestamp: number;
  readonly headers: readonly Header[];
  readonly topic: string | null;
  readonly partition: number;
  readonly offset: number;
  readonly #source: RecordBytes | null;

  constructor(
    { key, value, timestamp, headers }: StreamRecord<K, V>,
    at: { readonly topic: string | null; readonly partition: number; readonly offset: number },
    source: RecordBytes | null,
  ) {
    this.key = key;
    this.value = value;
    this.timestamp = timestamp;
    this.headers = headers;
    this.topic = at.topic;
    this.partition = at.partition;
    this.offset = at.offset;
    this.#source = source;
  }

  static sourceOf(record: BatchRecord<unknown, unknown>): RecordBytes {
    const source = record instanceof Gathered ? record.#source : null;
    return source ?? { key: null, value: null };
  }
}

const NOWHERE = { topic: null, partition: -1, offset: -1 } as const;

export class ForEachBatchProcessor<K, V> implements Processor<K, V>, BatchOperator {
  readonly #settings: ForEachBatchSettings<K, V>;
  #context!: InternalProcessorContext<never, never>;
  #environment!: AsynchronousEnvironment;
  #records: Gathered<K, V>[] = [];
  #sinceMs = 0;

  constructor(settings: ForEachBatchSettings<K, V>) {
    this.#settings = settings;
  }

  init(context: ProcessorContext<never, never>): void {
    this.#context = context as InternalProcessorContext<never, never>;
    this.#environment = this.#context.asynchronous(this);
  }

  get size(): number {
    return this.#records.length;
  }

  get isFull(): boolean {
    return this.#records.length >= this.#settings.maxRecords;
  }

  /** What it does beside the record path is the task's to look after. */
  get isBusy(): boolean {
    return false;
  }

  isDue(nowMs: number): boolean {
    return this.isFull || (this.#records.length > 0 && nowMs - this.#sinceMs >= this.#settings.maxWaitMs);
  }

  process(record: StreamRecord<K, V>): void {
    const source = this.#environment.deadLetterTopic !== undefined ? this.#context.sourceBytes() : null;
    if (this.#records.length === 0) this.#sinceMs = this.#environment.monotonicMs();
    this.#records.push(new Gathered(record, this.#context.recordMetadata() ?? NOWHERE, source));
  }

  async handle(positions: readonly BatchPosition[]): Promise<void> {
    const records = this.#records;
    if (records.length === 0) return;
    this.#records = [];
    const { retry: policy, errorPolicy } = this.#settings;
    const { logger, signal } = this.#environment;
    const { nodeName: node, taskId } = this.#context;
    const { retriable = isRetriable } = policy;
    const retry = new Retry({
      ...policy,
      retriable: (error) => !(error instanceof BatchFencedError) && retriable(error),
    });
    const about = (error: unknown) => ({
      node,
      taskId,
      records: records.length,
      attempt: retry.attempts,
      error: messageOf(error),
    });
    try {
      await retrying(retry, () => this.#attempt(records, positions, retry.attempts), {
        signal,
        clock: this.#environment,
        onRetry: (error) => logger[retry.attempts < 2 ? 'debug' : 'warn'](about(error), 'a batch failed, trying again'),
      });
    } catch (error) {
      if (signal.aborted || error instanceof BatchFencedError) throw error;
      const failure = batchFailed(error, retry.attempts, records.length, { node, taskId });
      if (errorPolicy.response === 'fail') throw failure;
      logger.warn(about(error), 'a batch failed for good, its records are dropped');
      await this.#giveUp(records, failure, retry.attempts);
    }
  }

  #attempt(records: readonly Gathered<K, V>[], positions: readonly BatchPosition[], tries: number): Promise<void> {
    const { applicationId, taskId, nodeName } = this.#context;
    const context = (signal: AbortSignal): BatchContext<K, V> => ({
      applicationId,
      taskId,
      attempt: tries,
      signal,
      positions,
      deadLetter: (record, error) => this.#deadLetter(record, error, tries),
    });
    return attempt(
      async (signal) => {
        resultOf(await this.#settings.handler(records, context(signal)), nodeName);
      },
      this.#settings.timeoutMs,
      this.#environment.signal,
    );
  }

  /** @throws MILLRACE_PROCESSORS_NO_DEAD_LETTER_TOPIC */
  async #deadLetter(record: BatchRecord<K, V>, error: unknown, attempts: number): Promise<void> {
    const { taskId, nodeName: node } = this.#context;
    const { topic, partition, offset } = record;
    const at = topic === null ? {} : { topic, partition, offset };
    if (!this.#sendLetter(record, asError(error), attempts)) throw noDeadLetterTopic({ node, taskId, ...at });
    this.#context.drop('failed');
    this.#environment.logger.warn(
      { node, taskId, ...at, error: messageOf(error) },
      'a record was refused, to the dead letters',
    );
    await this.#environment.written();
  }

  async #giveUp(records: readonly Gathered<K, V>[], error: Error, attempts: number): Promise<void> {
    for (const record of records) {
      this.#context.drop('failed');
      this.#sendLetter(record, error, attempts);
    }
    await this.#environment.written();
  }

  /** @returns false where there is no topic for it */
  #sendLetter(record: BatchRecord<K, V>, error: Error, attempts: number): boolean {
    const { topic, partition, offset, timestamp, headers } = record;
    const at = { topic, partition, offset, timestamp, headers };
    return this.#context.sendDeadLetter({ ...at, ...Gathered.sourceOf(record), error, attempts });
  }
}
