/**
 * Asynchronous work in a topology: what users of `mapAsync` and `forEachBatch` see of it, and what such an operator and
 * the runtime ask of each other. The record path stays synchronous: an operator takes a record and returns, and hands
 * back what came of it in one of the thread's later turns.
 */
import { type ErrorContext, MillraceError } from '../errors.ts';
import type { Header } from '../headers.ts';
import type { Logger } from '../logger.ts';
import type { ProcessingContext } from './processor.ts';

/** What one try of an asynchronous function is told. */
export interface AttemptContext {
  readonly applicationId: string;
  /** `<sub-topology>_<partition>`. */
  readonly taskId: string;
  /** 1 for the first try. Tries before a restart are not counted. */
  readonly attempt: number;
  /** Aborts when the time for this try is over, or when the task is not this process's any more. */
  readonly signal: AbortSignal;
}

/** What `mapAsync` tells its function of the record besides key and value. */
export interface CallContext extends AttemptContext {
  /** ms since the epoch. */
  readonly timestamp: number;
  readonly headers: readonly Header[];
  /** Where the record came from, the same in every repetition; null behind a punctuator. */
  readonly topic: string | null;
  readonly partition: number;
  readonly offset: number;
}

/** A record of a batch. */
export interface BatchRecord<K, V> {
  readonly key: K;
  readonly value: V;
  /** ms since the epoch. */
  readonly timestamp: number;
  readonly headers: readonly Header[];
  /** Where it came from; null behind a punctuator. */
  readonly topic: string | null;
  readonly partition: number;
  readonly offset: number;
}

/** How a batch moves an input partition's position. */
export interface BatchPosition {
  readonly topic: string;
  readonly partition: number;
  /** What the target system remembers if nobody else wrote in between; null: nothing yet. */
  readonly expected: number | null;
  /** The offset to go on from once the batch is stored. */
  readonly next: number;
}

/** What a batch's handler is told, and may do. */
export interface BatchContext<K, V> extends AttemptContext {
  /** The positions that the batch stands for; what `positions` (the option) loads after a restart. */
  readonly positions: readonly BatchPosition[];
  /**
   * Writes a record that the target system refuses to the operator's dead letter topic. Resolves when it is acknowledged:
   * to be awaited before the rest of the batch counts as stored.
   * @throws MILLRACE_PROCESSORS_NO_DEAD_LETTER_TOPIC the operator has none
   */
  deadLetter(record: BatchRecord<K, V>, error: unknown): Promise<void>;
}

/** Stores a batch. What is read is done with once the promise resolves. */
export type BatchHandler<K, V> = (records: readonly BatchRecord<K, V>[], context: BatchContext<K, V>) => Promise<void>;

export interface InputPartition {
  readonly topic: string;
  readonly partition: number;
}

/** A target system that remembers where to go on, in the transaction that stores a batch. */
export interface ExternalPositions {
  /**
   * What it remembers of these partitions; one that is left out begins at the group's committed position. Asked whenever
   * a task starts, tried again by the operator's `retry`.
   */
  load(
    partitions: readonly InputPartition[],
    context: { readonly applicationId: string; readonly signal: AbortSignal },
  ): Promise<readonly (InputPartition & { readonly offset: number })[]>;
}

/**
 * To be thrown by a batch's handler where the target system remembers another position than the batch begins at: somebody
 * else has written there since. It is not tried again: the thread gives its tasks up, joins anew, and begins where the
 * target system says.
 */
export class BatchFencedError extends MillraceError {
  constructor(
    message = 'The target system remembers another position than this batch begins at: another process has written there.',
    context: ErrorContext = {},
  ) {
    super('MILLRACE_TOPOLOGY_BATCH_FENCED', message, { retriable: true, context });
  }
}

/** What is done about a record that a node fails at. */
export interface ErrorPolicy {
  readonly response: 'fail' | 'continue';
  /** Undefined: the application's, if it has one. */
  readonly deadLetterTopic: string | undefined;
}

/** A record's bytes as its topic has them. */
export interface RecordBytes {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

/** A record for a dead letter topic, with what became of it. */
export interface DeadLetter extends RecordBytes {
  readonly topic: string | null;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly headers: readonly Header[];
  readonly error: Error;
  /** How often it was tried; 1 where nothing is tried again. */
  readonly attempts: number;
}

/** An operator that works beside the record path, as the task sees it. */
export interface AsynchronousOperator {
  /** True where the task is to process nothing more for now. */
  readonly isFull: boolean;
  /** True while a function of the user's runs, or its result waits for `deliver`. */
  readonly isBusy: boolean;
  /** Takes up what was under way when the state was last committed; before the first record. */
  resume?(): Promise<void>;
  /** Hands on what has come since. In the thread's turn. @throws what cannot be gone on from. @returns how many records */
  deliver?(): number;
  /** Called before the stores are serialised. */
  beforeFlush?(): void;
  /** What was handed on before the last flush is acknowledged by the brokers. @returns true where it wrote to a store */
  outputsAcknowledged?(): boolean;
  /** True: nothing new is begun until it is set to false again. */
  hold?(held: boolean): void;
}

/** One that takes records in batches: positions are committed behind a batch, never within one. */
export interface BatchOperator extends AsynchronousOperator {
  /** Records that wait for the handler. */
  readonly size: number;
  /** True where size or age ends the batch. */
  isDue(nowMs: number): boolean;
  /** Runs the handler on what there is, tries included. */
  handle(positions: readonly BatchPosition[]): Promise<void>;
}

/** What such an operator needs of its task. */
export interface AsynchronousEnvironment {
  /** Aborts when the task is closed: what is under way is for its next owner. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** True where outputs, stores and positions are committed at once or not at all. */
  readonly commitsAtomically: boolean;
  monotonicMs(): number;
  delay(ms: number, signal: AbortSignal): Promise<void>;
  /** There is something to deliver. */
  ring(): void;
  /** Resolves when what was written so far is acknowledged. */
  written(): Promise<void>;
  /** The node's dead letter topic, or the application's. */
  readonly deadLetterTopic: string | undefined;
}

/** Gives what an operator that works beside the record path needs; the operator is the task's from then on. */
export interface AsynchronousContext {
  asynchronous(operator: AsynchronousOperator | BatchOperator): AsynchronousEnvironment;
  /** The bytes of the record being processed, a copy; null where it is none of a topic. */
  sourceBytes(): RecordBytes | null;
  /** To the node's dead letter topic. @returns false where there is none */
  sendDeadLetter(letter: DeadLetter): boolean;
  /** Sets the processing context for the time of a call: a flush forwards with the context of the write. */
  withContext(context: ProcessingContext, run: () => void): void;
}

export function isBatchOperator(operator: AsynchronousOperator): operator is BatchOperator {
  return 'handle' in operator;
}
