/** The Processor API's types: what a processor is given and may do. Names are Kafka Streams'. */
import { type Header, NO_HEADERS } from '../headers.ts';
import type { AnyStoreDescription, LiveStore, WriteContext } from '../state/index.ts';
import type { AsynchronousContext } from './asynchronous.ts';
import { TopologyError } from './errors.ts';
import type { Unused } from './user-code.ts';

/**
 * A record on its way through the topology. Immutable: `with…` gives another one. A key or value of undefined is null.
 * @throws TopologyError MILLRACE_TOPOLOGY_INVALID_TIMESTAMP a timestamp that is negative or no whole number
 */
export class StreamRecord<K, V> {
  readonly key: K;
  readonly value: V;
  /** ms since the epoch. */
  readonly timestamp: number;
  readonly headers: readonly Header[];

  constructor(key: K, value: V, timestamp: number, headers: readonly Header[] = NO_HEADERS) {
    if (!isTimestamp(timestamp)) throw invalidTimestamp(timestamp);
    this.key = key === undefined ? (null as K) : key;
    this.value = value === undefined ? (null as V) : value;
    this.timestamp = timestamp;
    this.headers = headers;
  }

  withKey<K2>(key: K2): StreamRecord<K2, V> {
    return new StreamRecord(key, this.value, this.timestamp, this.headers);
  }

  withValue<V2>(value: V2): StreamRecord<K, V2> {
    return new StreamRecord(this.key, value, this.timestamp, this.headers);
  }

  withTimestamp(timestamp: number): StreamRecord<K, V> {
    return new StreamRecord(this.key, this.value, timestamp, this.headers);
  }

  withHeaders(headers: readonly Header[]): StreamRecord<K, V> {
    return new StreamRecord(this.key, this.value, this.timestamp, headers);
  }
}

/** ms since the epoch as topics hold them. Fractions and what lies beyond 2^53 would come out as something else. */
export function isTimestamp(timestamp: number): boolean {
  return timestamp >= 0 && Number.isSafeInteger(timestamp);
}

function invalidTimestamp(timestamp: number): TopologyError {
  return new TopologyError(
    'MILLRACE_TOPOLOGY_INVALID_TIMESTAMP',
    `A record with the timestamp ${timestamp}: it must be a whole number ≥ 0, ms since the epoch.`,
  );
}

/** Where the record being processed came from. During a punctuation there is none. */
export interface RecordMetadata {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export type PunctuationType = 'stream-time' | 'wall-clock-time';

export interface Cancellable {
  cancel(): void;
}

export interface ProcessorContext<KOut, VOut> {
  readonly applicationId: string;
  /** `<sub-topology>_<partition>`. */
  readonly taskId: string;
  /** Hands a record on, to all children or to the one named. */
  forward(record: StreamRecord<KOut, VOut>, childName?: string): void;
  /** A store that the processor was connected to. @throws MILLRACE_TOPOLOGY_STORE_NOT_CONNECTED */
  getStateStore<S>(name: string): S;
  /**
   * Calls back at each multiple of the interval, in stream time (driven by records) or wall-clock time. Intervals that
   * passed unnoticed give one call. The callback may be async: the task waits for it.
   * @param intervalMs a whole number ≥ 1
   * @throws MILLRACE_RUNTIME_INVALID_PUNCTUATION
   */
  schedule(
    intervalMs: number,
    type: PunctuationType,
    callback: (timestamp: number) => void | Promise<void>,
  ): Cancellable;
  /** Asks for a commit as soon as the current record is done. */
  commit(): void;
  recordMetadata(): RecordMetadata | undefined;
  /** The highest timestamp among the records the task has processed; −1 before the first. */
  currentStreamTimeMs(): number;
  currentSystemTimeMs(): number;
}

/**
 * Nothing waits for what these give: a promise is refused, by the types and at work.
 * @throws TopologyError MILLRACE_TOPOLOGY_ASYNC_USER_CODE where the runtime calls one that is asynchronous
 */
export interface Processor<KIn, VIn, KOut = never, VOut = never> {
  init?(context: ProcessorContext<KOut, VOut>): Unused;
  process(record: StreamRecord<KIn, VIn>): Unused;
  close?(): Unused;
}

/** What the operators of the DSL may do besides. Not for users: live objects are handed out. */
export interface InternalProcessorContext<KOut = unknown, VOut = unknown>
  extends ProcessorContext<KOut, VOut>,
    AsynchronousContext {
  readonly nodeName: string;
  /** True where what the node forwards reaches code that may change or keep it. */
  readonly exposesValues: boolean;
  liveStore<K, V>(name: string): LiveStore<K, V, ProcessingContext>;
  /** Counts a record that an operator drops (`dropped-records`). */
  drop(reason: DropReason): void;
  /** An operator's own stream time, kept over restarts; −1 at first. */
  operatorTime(): OperatorTime;
}

export type DropReason =
  | 'null-key'
  | 'null-value'
  | 'null-key-or-value'
  | 'late'
  | 'expired'
  | 'deserialization'
  | 'failed'
  | 'invalid-timestamp';

export interface OperatorTime {
  observedMs: number;
}

/** What a write or a forward remembers of its record. */
export interface ProcessingContext extends WriteContext {
  readonly topic: string | null;
  readonly partition: number;
  readonly offset: number;
  readonly headers: readonly Header[];
}

export type ProcessorSupplier<KIn, VIn, KOut, VOut> = () => Processor<KIn, VIn, KOut, VOut>;

// biome-ignore lint/suspicious/noExplicitAny: nodes of any types stand in one graph; the DSL types its edges
export type AnyProcessor = Processor<any, any, any, any>;

/** An update of a table: what is now, and what was before where something downstream asked for it. */
export interface Change<V> {
  readonly newValue: V | null;
  readonly oldValue: V | null;
}

export type { AnyStoreDescription };
