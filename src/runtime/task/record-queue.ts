/**
 * One input partition of a task: takes raw records from where they are fetched, keeps the first one deserialised as the
 * head. Mirrors `RecordQueue`. What cannot be read goes to the deserialisation handler; what has no usable timestamp or
 * a null value that its serde does not let through is dropped and counted.
 */
import { nowReading } from '../../byte-views.ts';
import { asError, type ErrorContext, messageOf } from '../../errors.ts';
import { type Header, NO_HEADERS } from '../../headers.ts';
import { SchemaPendingError } from '../../serdes/index.ts';
import {
  type DropReason,
  isTimestamp,
  type ProcessingContext,
  type SourceNode,
  StreamRecord,
  type TimestampExtractor,
  TopologyError,
} from '../../topology/index.ts';
import { StreamsError } from '../errors.ts';
import type { HandlerResponse, UndecodableRecord } from '../options.ts';

/** A record as bytes; `RecordCursor` is one. Length −1 is null. */
export interface RawRecord {
  readonly buffer: Buffer;
  readonly view: DataView;
  readonly offset: number;
  readonly timestamp: number;
  readonly keyStart: number;
  readonly keyLength: number;
  readonly valueStart: number;
  readonly valueLength: number;
  readonly headerCount: number;
  headers(): readonly Header[];
}

/** Where raw records come from; `PartitionBuffer` is one. */
export interface RecordSource {
  readonly topic: string;
  readonly partition: number;
  /** The offset behind the last record handed out. */
  readonly position: number;
  /** Records may come that are worth waiting for. */
  readonly expectsMore: boolean;
  /** Leader epoch to commit with the position (KIP-320). Left out: not known. */
  readonly positionEpoch?: number;
  next(): RawRecord | undefined;
}

export interface RecordQueueEnvironment {
  drop(reason: DropReason): void;
  undecodable(record: UndecodableRecord): HandlerResponse;
}

/**
 * A record with where it came from: what is processed and the context of its processing are one object. The extractor
 * sees the record's own timestamp where processing sees event time.
 */
class SourceRecord extends StreamRecord<unknown, unknown> implements ProcessingContext {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  declare timestamp: number;

  constructor(
    key: unknown,
    value: unknown,
    topic: string,
    partition: number,
    offset: number,
    timestamp: number,
    headers: readonly Header[],
  ) {
    // Judged when the extractor has had its say.
    super(key, value, 0, headers);
    this.timestamp = timestamp;
    this.topic = topic;
    this.partition = partition;
    this.offset = offset;
  }
}

export class RecordQueue {
  readonly node: SourceNode;
  readonly source: RecordSource;
  /** The record to process next. */
  head: SourceRecord | undefined;
  /** The head's timestamp; Infinity where there is none. */
  headTimestamp = Number.POSITIVE_INFINITY;
  /** The head's bytes, valid until the next `advance`. */
  raw: RawRecord | undefined;
  /** Highest timestamp processed: `partition time`, −1 before the first. */
  partitionTimeMs = -1;
  /** Set while a schema must be fetched before the next record can be read. */
  #pending: ((signal?: AbortSignal) => Promise<void>) | undefined;
  #isResolving = false;
  #failure: unknown;
  /** Where the task hands its records in: the source's context, looked up once. */
  entry: { forward(record: StreamRecord<unknown, unknown>): void } | undefined;
  readonly #environment: RecordQueueEnvironment;

  constructor(node: SourceNode, source: RecordSource, environment: RecordQueueEnvironment) {
    this.node = node;
    this.source = source;
    this.#environment = environment;
  }

  /** The offset to commit: the head is not processed yet. */
  get position(): number {
    return this.raw === undefined ? this.source.position : this.raw.offset;
  }

  /** A record waits for its schema: it is on its way. */
  get isPending(): boolean {
    return this.#pending !== undefined;
  }

  /**
   * Fetches what the next record waits for, by itself: `fill` reads the record afterwards, or throws what the registry
   * said.
   * @param signal ends the wait for a registry that is away
   * @returns when it is worth filling again; undefined where nothing waits, or it is being fetched already
   */
  resolvePending(signal?: AbortSignal): Promise<void> | undefined {
    if (this.#pending === undefined || this.#isResolving) return undefined;
    this.#isResolving = true;
    return this.#pending(signal)
      .catch((error: unknown) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#isResolving = false;
        this.#pending = undefined;
      });
  }

  /** The log lost its records from `offset` on: a head that is one of them is not processed. */
  truncate(offset: number): void {
    if (this.raw === undefined || this.raw.offset < offset) return;
    this.head = undefined;
    this.headTimestamp = Number.POSITIVE_INFINITY;
    this.raw = undefined;
    this.#pending = undefined;
  }

  /** Drops the head and reads the next. Hot. @throws what the handler does not let pass */
  advance(): void {
    this.head = undefined;
    this.headTimestamp = Number.POSITIVE_INFINITY;
    this.raw = undefined;
    this.fill();
  }

  /** Reads records until one is fit to be the head. Does nothing where there is a head, or one waits for its schema. */
  fill(): void {
    if (this.#pending !== undefined) return;
    if (this.#failure !== undefined) throw this.#failure;
    while (this.head === undefined) {
      // One that waited for its schema is read again.
      const raw = this.raw ?? this.source.next();
      if (raw === undefined) return;
      this.raw = raw;
      if (!this.#read(raw)) {
        if (this.#pending !== undefined) return;
        this.raw = undefined;
      }
    }
  }

  #read(raw: RawRecord): boolean {
    const { topic, partition } = this.source;
    const { node } = this;
    let key: unknown = null;
    let value: unknown = null;
    nowReading(raw.buffer, raw.view);
    try {
      if (raw.keyLength >= 0) key = node.key.read(raw.buffer, raw.keyStart, raw.keyStart + raw.keyLength, topic, 'key');
      if (raw.valueLength >= 0)
        value = node.value.read(raw.buffer, raw.valueStart, raw.valueStart + raw.valueLength, topic, 'value');
    } catch (error) {
      if (error instanceof SchemaPendingError) this.#pending = error.resolve;
      else this.#undecodable(raw, error);
      return false;
    }
    // A text of JSON may be null as well: what is null is decided by the value, not by its bytes.
    if ((value === null || value === undefined) && !node.value.nullable) {
      this.#environment.drop('null-value');
      return false;
    }
    const headers = raw.headerCount === 0 ? NO_HEADERS : raw.headers();
    const record = new SourceRecord(key, value, topic, partition, raw.offset, raw.timestamp, headers);
    if (node.timestamp !== undefined) {
      let timestamp: number;
      try {
        timestamp = this.#extract(node.timestamp, record);
      } catch (error) {
        if (node.errorPolicy?.response !== 'continue') throw error;
        this.#undecodable(raw, error);
        return false;
      }
      if (!isTimestamp(timestamp)) {
        this.#environment.drop('invalid-timestamp');
        return false;
      }
      record.timestamp = timestamp;
    } else if (!isTimestamp(raw.timestamp)) {
      throw new StreamsError(
        'MILLRACE_RUNTIME_INVALID_TIMESTAMP',
        `The record at ${this.#at(raw)} has the timestamp ${raw.timestamp}. ` +
          'Give the source a timestamp extractor; one that returns a negative number drops the record.',
        { context: this.#place(raw) },
      );
    }
    this.head = record;
    this.headTimestamp = record.timestamp;
    return true;
  }

  #extract(extractor: TimestampExtractor<unknown>, record: SourceRecord): number {
    try {
      return extractor(record.value, record);
    } catch (error) {
      if (error instanceof TopologyError) throw error;
      throw new StreamsError(
        'MILLRACE_RUNTIME_PROCESSING',
        `The timestamp extractor of ${this.node.name} failed on the record at ${this.#at(record)}: ${messageOf(error)}`,
        { cause: error, context: this.#place(record) },
      );
    }
  }

  #undecodable(raw: RawRecord, thrown: unknown): void {
    const { topic, partition } = this.source;
    const error = asError(thrown);
    const response = this.#environment.undecodable({
      topic,
      partition,
      offset: raw.offset,
      timestamp: raw.timestamp,
      key: raw.keyLength < 0 ? null : raw.buffer.subarray(raw.keyStart, raw.keyStart + raw.keyLength),
      value: raw.valueLength < 0 ? null : raw.buffer.subarray(raw.valueStart, raw.valueStart + raw.valueLength),
      headers: raw.headers(),
      error,
    });
    if (response === 'continue') {
      this.#environment.drop('deserialization');
      return;
    }
    throw new StreamsError(
      'MILLRACE_RUNTIME_DESERIALIZATION',
      `The record at ${this.#at(raw)} cannot be read: ${error.message} ` +
        "Set deserializationExceptionHandler to 'continue' to drop such records, and deadLetterTopic to keep them.",
      { cause: error, context: this.#place(raw) },
    );
  }

  #at({ offset }: { readonly offset: number }): string {
    return `${this.source.topic}-${this.source.partition} offset ${offset}`;
  }

  #place({ offset }: { readonly offset: number }): ErrorContext {
    return { topic: this.source.topic, partition: this.source.partition, offset, node: this.node.name };
  }
}
