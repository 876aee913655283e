/** What a producer service throws. Records are named by kind, topic, partition and place in the batch, never by content. */
import { type ErrorContext, MillraceError } from '../errors.ts';
import type { Inputs, OutgoingRecord, RecordKind } from './inputs.ts';

export class ProducerServiceError extends MillraceError {}

/** Where a record is. */
export interface DeliveredRecord {
  readonly topic: string;
  readonly partition: number;
  /** −1 where the broker did not say: it recognised a repetition, and not of which batch. */
  readonly offset: number;
}

/** Which record of which call. */
export interface RecordName {
  readonly kind: RecordKind;
  /** In `sendBatch`, from 0; undefined: it was sent alone. */
  readonly index: number | undefined;
}

/** In words, at the start of a sentence. */
function nameOf({ kind, index }: RecordName): string {
  const article = kind === 'anomaly' ? 'an' : 'a';
  return index === undefined ? `The ${kind}` : `records[${index}] of sendBatch, ${article} ${kind},`;
}

/** A record that was refused before anything was sent: of a batch, all others with it. */
export class InvalidRecordError extends ProducerServiceError {
  /** Undefined where it is none of those that there are. */
  readonly kind: RecordKind | undefined;
  /** Its place in the records of `sendBatch`, from 0; undefined: it was sent alone. */
  readonly index: number | undefined;

  constructor(code: string, { kind, index }: Partial<RecordName>, what: string, cause?: unknown) {
    const name = kind === undefined ? `records[${index}] of sendBatch` : nameOf({ kind, index });
    const sent = index === undefined ? 'It was not sent.' : 'Nothing of the batch was sent.';
    super(code, `${name} ${what} ${sent}`, { cause });
    this.kind = kind;
    this.index = index;
  }
}

export interface DeliveryFailure {
  readonly code: string;
  /** A sentence or more. */
  readonly why: string;
  readonly cause?: unknown;
  readonly retriable: boolean;
  readonly topic: string;
  readonly partition: number | undefined;
  readonly mayBeWritten: boolean;
}

/**
 * A record that was accepted and not delivered; `cause` is what the driver says of it. Others that were sent are not
 * affected.
 */
export class DeliveryError extends ProducerServiceError {
  readonly kind: RecordKind;
  /** Its place in the records of `sendBatch`, from 0; undefined: it was sent alone. */
  readonly index: number | undefined;
  /**
   * False: it is certainly not on the topic. True: it may be, since an answer was lost; sent again, it may be there twice.
   */
  readonly mayBeWritten: boolean;
  /** What was handed in, to send it again. Not enumerable: logs do not show it. */
  declare readonly record: Inputs[RecordKind];

  constructor(name: RecordName, input: Inputs[RecordKind], failure: DeliveryFailure) {
    const { code, why, cause, retriable, topic, partition, mayBeWritten } = failure;
    const where = partition === undefined ? topic : `${topic}-${partition}`;
    const context: ErrorContext = { topic, ...(partition === undefined ? {} : { partition }) };
    const doubt = mayBeWritten ? ' It may be written all the same.' : '';
    super(code, `${nameOf(name)} was not delivered to ${where}: ${why}${doubt}`, { retriable, cause, context });
    this.kind = name.kind;
    this.index = name.index;
    this.mayBeWritten = mayBeWritten;
    Object.defineProperty(this, 'record', { value: input, enumerable: false });
  }
}

/** Indices that the message of a batch has room for. */
const NAMED = 10;

/** Records of a batch that were not delivered. It is thrown when the last of the batch is settled. */
export class BatchDeliveryError extends ProducerServiceError {
  /** Those that were not delivered, in order. Not enumerable, as the others. */
  declare readonly failures: readonly DeliveryError[];
  /** By the records' places in the batch: where each is; undefined for those that failed. */
  declare readonly delivered: readonly (DeliveredRecord | undefined)[];
  /** What was handed in and not delivered, to send it again; mind `mayBeWritten` of the failures. */
  declare readonly records: readonly OutgoingRecord[];

  constructor(
    batch: readonly OutgoingRecord[],
    failures: readonly DeliveryError[],
    delivered: readonly (DeliveredRecord | undefined)[],
  ) {
    const indices = failures.map(({ index }) => index!);
    const named = indices.slice(0, NAMED).join(', ') + (indices.length > NAMED ? ', …' : '');
    const first = failures[0]!;
    super(
      'MILLRACE_PRODUCERS_BATCH_NOT_DELIVERED',
      `${failures.length} of ${batch.length} records of sendBatch were not delivered (${named}). ${first.message}`,
      { retriable: failures.every(({ retriable }) => retriable), cause: first },
    );
    const hidden = { failures, delivered, records: indices.map((index) => batch[index]!) };
    for (const [name, value] of Object.entries(hidden)) Object.defineProperty(this, name, { value, enumerable: false });
  }
}
