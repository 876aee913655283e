/** Records for topics whose partitions are not known yet: kept as copies, in order, until they are. */
import { Backoff } from '../backoff.ts';
import type { Header } from '../headers.ts';
import { monotonicMs } from '../monotonic.ts';
import type { KafkaCluster } from './cluster.ts';
import type { DeliveryListener } from './delivery-listener.ts';
import { ErrorCode, errorName, type KafkaError, KafkaProtocolError } from './errors.ts';
import type { AfterFailure } from './producer-options.ts';

export interface UnroutedRecord {
  readonly partition: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly Header[];
  readonly listener: DeliveryListener | undefined;
  /** When it came, by the delivery watch. */
  readonly sinceMs: number;
}

/** The object itself. */
const OVERHEAD_BYTES = 64;

/** Bytes it counts against the producer's buffer. */
function sizeOf({ key, value }: UnroutedRecord): number {
  return OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0);
}

export interface UnroutedTopic {
  readonly topic: string;
  /** In order; never empty. */
  readonly records: UnroutedRecord[];
  /** Why its partitions are not known. */
  trouble: string;
}

export interface UnroutedRecordsOptions {
  readonly cluster: Pick<KafkaCluster, 'refresh' | 'partitionCount' | 'topic' | 'logger'>;
  /** ms for which a topic may be unknown. */
  readonly timeoutMs: number;
  /** `goOn`: what cannot be routed is given up; `onFailure` is not called. */
  readonly afterFailure: AfterFailure;
  readonly signal: AbortSignal;
  /** The topic's partitions are known. */
  onKnown(topic: string, records: readonly UnroutedRecord[]): void;
  /** Bytes more that wait; negative: that do not any more. */
  onBytes(delta: number): void;
  /** Records were given up. */
  onGivenUp(): void;
  onFailure(error: KafkaError): void;
}

export class UnroutedRecords {
  readonly #options: UnroutedRecordsOptions;
  readonly #topics = new Map<string, UnroutedTopic>();

  constructor(options: UnroutedRecordsOptions) {
    this.#options = options;
  }

  has(topic: string): boolean {
    return this.#topics.has(topic);
  }

  topics(): Iterable<UnroutedTopic> {
    return this.#topics.values();
  }

  add(topic: string, record: UnroutedRecord): void {
    this.#options.onBytes(sizeOf(record));
    const waiting = this.#topics.get(topic);
    if (waiting !== undefined) {
      waiting.records.push(record);
      return;
    }
    const entry = { topic, records: [record], trouble: 'its metadata is being looked up' };
    this.#topics.set(topic, entry);
    void this.#lookUp(entry);
  }

  /** Gives up the records of a topic that came until then. */
  giveUp(entry: UnroutedTopic, error: KafkaError, thenMs = Number.POSITIVE_INFINITY): void {
    for (const record of this.#take(entry, thenMs)) record.listener?.failed(error, undefined, false);
  }

  giveUpAll(error: KafkaError): void {
    for (const entry of this.#topics.values()) this.giveUp(entry, error);
  }

  #take(entry: UnroutedTopic, thenMs: number): UnroutedRecord[] {
    const { topic, records } = entry;
    const behind = records.findIndex(({ sinceMs }) => sinceMs > thenMs);
    const taken = records.splice(0, behind < 0 ? records.length : behind);
    if (records.length === 0) this.#topics.delete(topic);
    for (const record of taken) this.#options.onBytes(-sizeOf(record));
    return taken;
  }

  async #lookUp(entry: UnroutedTopic): Promise<void> {
    const { cluster, timeoutMs, afterFailure, signal, onKnown, onGivenUp, onFailure } = this.#options;
    const { topic } = entry;
    const backoff = new Backoff();
    const deadline = monotonicMs() + timeoutMs;
    const isWanted = (): boolean => !signal.aborted && this.#topics.get(topic) === entry;
    while (isWanted()) {
      const error = await this.#tryOnce(topic);
      if (!isWanted()) return;
      if (error === undefined) {
        onKnown(topic, this.#take(entry, Number.POSITIVE_INFINITY));
        return;
      }
      const isAnswer = error instanceof KafkaProtocolError;
      entry.trouble = isAnswer ? errorName(error.errorCode) : error.message;
      if (!error.retriable || (isAnswer && monotonicMs() > deadline)) {
        if (afterFailure === 'stop') onFailure(error);
        else {
          this.giveUp(entry, error);
          onGivenUp();
        }
        return;
      }
      cluster.logger[backoff.attempt < 3 ? 'debug' : 'warn'](
        { topic, error: entry.trouble },
        'topic to write to is not known yet, looking again',
      );
      await backoff.wait(signal);
    }
  }

  /** Undefined: its partitions are known. */
  async #tryOnce(topic: string): Promise<KafkaError | undefined> {
    const { cluster } = this.#options;
    try {
      await cluster.refresh([topic]);
    } catch (error) {
      return error as KafkaError;
    }
    if (cluster.partitionCount(topic) > 0) return undefined;
    const code = cluster.topic(topic)?.errorCode ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
    return new KafkaProtocolError(code, `Writing to topic ${topic}`, { topic }, 'Create it, or allow its use, first.');
  }
}
