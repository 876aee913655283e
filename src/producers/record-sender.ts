/**
 * Hands records to the driver's producer as there is room, in the order of the calls, and tells each what became of it.
 * What waits for room is not bounded by bytes: it is whatever the callers do not wait for themselves.
 */
import { LONGEST_TIMER_MS } from '../backoff.ts';
import type { DeliveryListener, KafkaError, Producer } from '../kafka/index.ts';
import { monotonicMs } from '../monotonic.ts';
import { type DeliveredRecord, DeliveryError, type DeliveryFailure, type RecordName } from './errors.ts';
import type { Inputs, RecordKind } from './inputs.ts';
import type { EncodedRecord } from './record-encoder.ts';

export interface SentRecord extends RecordName {
  readonly input: Inputs[RecordKind];
  delivered(where: DeliveredRecord): void;
  failed(error: DeliveryError): void;
}

export interface RecordSenderOptions {
  /** One that goes on after failures. */
  readonly producer: Pick<Producer, 'send' | 'isFull' | 'drained'>;
  /** ms that a record waits for room. */
  readonly maxBlockMs: number;
}

interface Flush {
  /** Records of lower numbers count. */
  readonly before: number;
  left: number;
  done(): void;
}

export class RecordSender {
  readonly #options: RecordSenderOptions;
  /** Records that wait for room, in order. */
  #waiting: PendingRecord[] = [];
  /** How many of them are gone: taking the first out of a long array moves the rest. */
  #gone = 0;
  #isAdmitting = false;
  #roomTimer: NodeJS.Timeout | undefined;
  #nextNumber = 0;
  #pending = 0;
  readonly #flushes = new Set<Flush>();

  constructor(options: RecordSenderOptions) {
    this.#options = options;
  }

  /** In the order of the calls; waits where there is no room. */
  send(record: SentRecord, encoded: EncodedRecord): void {
    const { producer, maxBlockMs } = this.#options;
    const pending = new PendingRecord(record, encoded, this.#nextNumber++, this.#onSettled);
    this.#pending++;
    if (this.#waits === 0 && !producer.isFull) {
      this.#admit(pending);
      return;
    }
    pending.roomUntilMs = monotonicMs() + maxBlockMs;
    this.#waiting.push(pending);
    this.#watchRoom();
    if (!this.#isAdmitting) void this.#admitAsRoomComes();
  }

  /**
   * Sends what lingers, and waits for what was sent before.
   * @param timeoutMs at most; Infinity: until each is delivered or given up
   * @returns how many of them are neither
   */
  flush(timeoutMs: number): Promise<number> {
    if (this.#pending === 0) return Promise.resolve(0);
    return new Promise((resolve) => {
      const flush: Flush = {
        before: this.#nextNumber,
        left: this.#pending,
        done: () => {
          clearTimeout(timer);
          this.#flushes.delete(flush);
          resolve(flush.left);
        },
      };
      const timer = timeoutMs <= LONGEST_TIMER_MS ? setTimeout(flush.done, timeoutMs) : undefined;
      this.#flushes.add(flush);
      this.#sendOpen();
    });
  }

  get #waits(): number {
    return this.#waiting.length - this.#gone;
  }

  #admit(pending: PendingRecord): void {
    const { topic, timestamp, bytes, keyLength } = pending.take();
    const valueLength = bytes.length - keyLength;
    try {
      this.#options.producer.send(
        topic,
        -1,
        timestamp,
        bytes,
        0,
        keyLength,
        bytes,
        keyLength,
        valueLength,
        [],
        pending,
      );
    } catch (error) {
      pending.failed(error as KafkaError, undefined, false);
    }
  }

  async #admitAsRoomComes(): Promise<void> {
    const { producer } = this.#options;
    this.#isAdmitting = true;
    while (this.#waits > 0) {
      const isOpen = await producer.drained().then(
        () => true,
        () => false,
      );
      // Once it is closed, sending says so.
      while (this.#waits > 0 && !(isOpen && producer.isFull)) this.#admit(this.#take());
      if (this.#flushes.size > 0) this.#sendOpen();
    }
    clearTimeout(this.#roomTimer);
    this.#roomTimer = undefined;
    this.#isAdmitting = false;
  }

  /** Batches that linger go now. */
  #sendOpen(): void {
    this.#options.producer.drained().catch(() => undefined);
  }

  #take(): PendingRecord {
    const first = this.#waiting[this.#gone++]!;
    if (this.#gone * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#gone);
      this.#gone = 0;
    }
    return first;
  }

  /** Looks again when the first of those that wait has waited long enough. */
  #watchRoom(): void {
    const first = this.#waiting[this.#gone];
    if (first === undefined || this.#roomTimer !== undefined) return;
    const ms = Math.min(Math.max(first.roomUntilMs - monotonicMs(), 1), LONGEST_TIMER_MS);
    this.#roomTimer = setTimeout(() => {
      this.#roomTimer = undefined;
      const nowMs = monotonicMs();
      while (this.#waits > 0 && this.#waiting[this.#gone]!.roomUntilMs <= nowMs)
        this.#take().foundNoRoom(this.#options.maxBlockMs);
      this.#watchRoom();
    }, ms);
  }

  readonly #onSettled = (number: number): void => {
    this.#pending--;
    for (const flush of this.#flushes) if (number < flush.before && --flush.left === 0) flush.done();
  };
}

/** A record on its way. */
class PendingRecord implements DeliveryListener {
  /** When it has waited for room long enough. */
  roomUntilMs = 0;
  readonly #record: SentRecord;
  readonly #topic: string;
  readonly #number: number;
  readonly #onSettled: (number: number) => void;
  #encoded: EncodedRecord | undefined;

  constructor(record: SentRecord, encoded: EncodedRecord, number: number, onSettled: (number: number) => void) {
    this.#record = record;
    this.#encoded = encoded;
    this.#topic = encoded.topic;
    this.#number = number;
    this.#onSettled = onSettled;
  }

  /** Its bytes are the producer's from now on. */
  take(): EncodedRecord {
    const encoded = this.#encoded!;
    this.#encoded = undefined;
    return encoded;
  }

  delivered(partition: number, offset: number): void {
    this.#record.delivered({ topic: this.#topic, partition, offset });
    this.#onSettled(this.#number);
  }

  failed(error: KafkaError, partition: number | undefined, mayBeWritten: boolean): void {
    const isClosed = error.code === 'MILLRACE_KAFKA_PRODUCER_CLOSED';
    this.#fail({
      code: isClosed ? 'MILLRACE_PRODUCERS_DISCONNECTED' : 'MILLRACE_PRODUCERS_NOT_DELIVERED',
      why: isClosed ? 'disconnect() ended before it was acknowledged.' : error.message,
      cause: isClosed ? undefined : error,
      // Time-outs stop other producers for good; here the next try is one's own.
      retriable: error.retriable || error.code === 'MILLRACE_KAFKA_DELIVERY_TIMEOUT',
      partition,
      mayBeWritten,
    });
  }

  foundNoRoom(waitedMs: number): void {
    this.#fail({
      code: 'MILLRACE_PRODUCERS_BUFFER_FULL',
      why:
        `there was no room in the buffer for ${waitedMs} ms (maxBlockMs): more is sent than the brokers take. Wait for what ` +
        'was sent before sending more, or raise maxBufferedBytes.',
      cause: undefined,
      retriable: true,
      partition: undefined,
      mayBeWritten: false,
    });
  }

  #fail(failure: Omit<DeliveryFailure, 'topic'>): void {
    const record = this.#record;
    record.failed(new DeliveryError(record, record.input, { ...failure, topic: this.#topic }));
    this.#onSettled(this.#number);
  }
}
