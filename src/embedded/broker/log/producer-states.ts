/**
 * What a partition knows of the producers that write to it: sequences and open transactions. Mirrors
 * `ProducerStateManager` and `ProducerAppendInfo`; rebuilt at start from a snapshot (producer-snapshot.ts), where batches
 * were deleted, and the batches.
 */
import { ErrorCode, type RecordBatch } from '../../../kafka/index.ts';

/** Batches remembered of each producer, for repetitions. */
const REMEMBERED = 5;
const SEQUENCES = 2 ** 31;

interface Written {
  readonly baseSequence: number;
  readonly lastSequence: number;
  readonly baseOffset: number;
  readonly timestamp: number;
}

interface ProducerState {
  epoch: number;
  batches: Written[];
  /** The first offset of the open transaction; undefined: none is open. */
  transactionStart?: number | undefined;
  lastTimestamp: number;
}

export interface AbortedTransaction {
  readonly producerId: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
}

/** What {@link ProducerStates} knows, as it is stored. */
export interface ProducerSnapshot {
  readonly states: readonly (readonly [producerId: number, state: ProducerState])[];
  readonly aborted: readonly AbortedTransaction[];
}

/** May be appended, is there already, or why not. */
export type SequenceVerdict =
  | { readonly kind: 'append' }
  | { readonly kind: 'duplicate'; readonly baseOffset: number; readonly timestamp: number }
  | { readonly kind: 'refuse'; readonly errorCode: number };

const APPEND: SequenceVerdict = { kind: 'append' };
const refuse = (errorCode: number): SequenceVerdict => ({ kind: 'refuse', errorCode });

export class ProducerStates {
  readonly #states = new Map<number, ProducerState>();
  #aborted: AbortedTransaction[] = [];
  /** Transactions whose markers are not replicated yet: for readers they are open still. */
  #unreplicated: { readonly firstOffset: number; readonly markerOffset: number }[] = [];

  /** May a producer's batch be appended? */
  check(batch: RecordBatch): SequenceVerdict {
    const { producerId, producerEpoch, baseSequence } = batch;
    if (producerId < 0) return APPEND;
    const state = this.#states.get(producerId);
    if (state === undefined) return APPEND;
    if (producerEpoch < state.epoch) return refuse(ErrorCode.INVALID_PRODUCER_EPOCH);
    const last = state.batches.at(-1);
    // A new epoch begins at 0, one that is known by a marker alone as well.
    if (producerEpoch > state.epoch || last === undefined)
      return baseSequence === 0 ? APPEND : refuse(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER);
    const lastSequence = lastSequenceOf(batch);
    const same = state.batches.find((b) => b.baseSequence === baseSequence && b.lastSequence === lastSequence);
    if (same !== undefined) return { kind: 'duplicate', baseOffset: same.baseOffset, timestamp: same.timestamp };
    // A repetition too old to be remembered cannot be told from a gap: Kafka says the same of both.
    return baseSequence === (last.lastSequence + 1) % SEQUENCES
      ? APPEND
      : refuse(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER);
  }

  /** A batch was appended, or is found at start. */
  record(batch: RecordBatch): void {
    const { producerId, producerEpoch, baseOffset } = batch;
    if (producerId < 0) return;
    let state = this.#states.get(producerId);
    if (state === undefined || state.epoch !== producerEpoch) {
      state = { epoch: producerEpoch, batches: [], transactionStart: state?.transactionStart, lastTimestamp: 0 };
      this.#states.set(producerId, state);
    }
    state.lastTimestamp = batch.maxTimestamp;
    if (batch.isControl) {
      this.#ended(state, batch);
      return;
    }
    state.batches.push({
      baseSequence: batch.baseSequence,
      lastSequence: lastSequenceOf(batch),
      baseOffset,
      timestamp: batch.isLogAppendTime ? batch.maxTimestamp : -1,
    });
    if (state.batches.length > REMEMBERED) state.batches.shift();
    if (batch.isTransactional) state.transactionStart ??= baseOffset;
  }

  /** The first offset of the earliest open transaction; undefined: all are decided, and known to be by all replicas. */
  get firstUndecided(): number | undefined {
    let first: number | undefined;
    for (const { transactionStart } of this.#states.values())
      if (transactionStart !== undefined && (first === undefined || transactionStart < first)) first = transactionStart;
    for (const { firstOffset } of this.#unreplicated) first = Math.min(first ?? firstOffset, firstOffset);
    return first;
  }

  /** All before `highWatermark` is replicated. */
  replicated(highWatermark: number): void {
    if (this.#unreplicated.length === 0) return;
    this.#unreplicated = this.#unreplicated.filter(({ markerOffset }) => markerOffset >= highWatermark);
  }

  /** Aborted transactions with offsets in [from, to). */
  aborted(from: number, to: number): readonly AbortedTransaction[] {
    return this.#aborted.filter(({ firstOffset, lastOffset }) => lastOffset >= from && firstOffset < to);
  }

  /** The log begins at `offset` now. Producers stay known, though their batches are gone, until they expire (KAFKA-7190). */
  startsAt(offset: number): void {
    this.#aborted = this.#aborted.filter(({ lastOffset }) => lastOffset >= offset);
  }

  /**
   * The log ends at `offset` now. What was remembered of batches before it stays, since they may be deleted or compacted
   * away; else the batches that are left tell. A transaction whose marker was cut off is open again.
   *
   * @param rebuilt from the batches that are left
   */
  endsAt(offset: number, rebuilt: ProducerStates): void {
    for (const [producerId, state] of this.#states) {
      const left = rebuilt.#states.get(producerId);
      const batches = state.batches.filter((batch) => batch.baseOffset < offset);
      const { transactionStart: start } = state;
      const transactionStart = start !== undefined && start < offset ? start : left?.transactionStart;
      if (batches.length > 0)
        this.#states.set(producerId, {
          ...state,
          batches,
          transactionStart,
          lastTimestamp: left?.lastTimestamp ?? state.lastTimestamp,
        });
      else if (left !== undefined) this.#states.set(producerId, left);
      else this.#states.delete(producerId);
    }
    this.#aborted = this.#aborted.filter(({ lastOffset }) => lastOffset < offset);
    this.#unreplicated = this.#unreplicated.filter(({ markerOffset }) => markerOffset < offset);
  }

  /** All of it, as JSON: what the batches that are left in the log cannot tell any more. */
  snapshot(): ProducerSnapshot {
    return { states: [...this.#states], aborted: this.#aborted };
  }

  static restored({ states, aborted }: ProducerSnapshot): ProducerStates {
    const restored = new ProducerStates();
    for (const [producerId, state] of states) restored.#states.set(producerId, state);
    restored.#aborted = [...aborted];
    return restored;
  }

  /** Forgets producers that have not written for a while (producer.id.expiration.ms). */
  expire(beforeMs: number): void {
    for (const [producerId, state] of this.#states)
      if (state.transactionStart === undefined && state.lastTimestamp < beforeMs) this.#states.delete(producerId);
  }

  #ended(state: ProducerState, batch: RecordBatch): void {
    const start = state.transactionStart;
    state.transactionStart = undefined;
    if (start === undefined) return;
    this.#unreplicated.push({ firstOffset: start, markerOffset: batch.lastOffset });
    if (!isAbort(batch)) return;
    this.#aborted.push({ producerId: batch.producerId, firstOffset: start, lastOffset: batch.lastOffset });
  }
}

/** Control record key: version int16 | type int16 (0 abort, 1 commit). */
function isAbort(batch: RecordBatch): boolean {
  const cursor = batch.records();
  return cursor.next() && cursor.buffer.readInt16BE(cursor.keyStart + 2) === 0;
}

function lastSequenceOf({ baseSequence, lastOffset, baseOffset }: RecordBatch): number {
  return (baseSequence + lastOffset - baseOffset) % SEQUENCES;
}
