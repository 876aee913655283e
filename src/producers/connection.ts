/** From connect() to disconnect(): the cluster, the producer on it, and what is on its way. */
import { abortController } from '../backoff.ts';
import { errorName, KafkaCluster, Producer } from '../kafka/index.ts';
import { ProducerServiceError } from './errors.ts';
import type { ResolvedOptions } from './options.ts';
import type { RecordEncoder } from './record-encoder.ts';
import { RecordSender } from './record-sender.ts';

/** As Kafka's. */
const REQUEST_MS = 30_000;
/** Tries that a request which hangs leaves time for. */
const LEAST_TRIES = 3;

export class Connection {
  readonly sender: RecordSender;
  readonly #options: ResolvedOptions;
  readonly #cluster: KafkaCluster;
  readonly #producer: Producer;
  readonly #end = abortController();
  #isOpen = false;
  #isClosing = false;

  constructor(options: ResolvedOptions) {
    const { kafka, logger, compression, lingerMs, deliveryTimeoutMs, maxBlockMs, maxBufferedBytes } = options;
    this.#options = options;
    this.#cluster = new KafkaCluster({ kafka, logger });
    this.#producer = new Producer(this.#cluster, {
      compression,
      lingerMs,
      deliveryTimeoutMs,
      bufferBytes: maxBufferedBytes,
      unknownTopicTimeoutMs: maxBlockMs,
      requestTimeoutMs: Math.max(1, Math.min(REQUEST_MS, deliveryTimeoutMs / LEAST_TRIES)),
      afterFailure: 'goOn',
    });
    this.sender = new RecordSender({ producer: this.#producer, maxBlockMs });
  }

  /** It can be sent on. */
  get isOpen(): boolean {
    return this.#isOpen && !this.#isClosing;
  }

  /** Reaches brokers and registry. @throws what `KafkaProducerService#connect` says */
  async open(encoders: readonly Pick<RecordEncoder, 'topic' | 'prepare'>[]): Promise<void> {
    try {
      await this.#cluster.connect(this.#options.connectTimeoutMs);
      await this.#producer.start();
      await this.#look(encoders.map(({ topic }) => topic));
      await Promise.all(encoders.map((encoder) => encoder.prepare(this.#end.signal)));
      this.#end.signal.throwIfAborted();
      this.#isOpen = true;
    } catch (error) {
      const wasEnded = this.#end.signal.aborted;
      // Where the registry refuses one schema, the look-ups of the others may be waiting for it.
      this.#end.abort();
      await this.#producer.close();
      if (!wasEnded) throw error;
      throw new ProducerServiceError(
        'MILLRACE_PRODUCERS_DISCONNECTED',
        'disconnect() was called before connect() had ended.',
      );
    }
  }

  /** A topic that is missing is no error yet: records wait for it. */
  async #look(topics: readonly string[]): Promise<void> {
    await this.#producer.prepare(topics);
    for (const topic of topics) {
      if (this.#producer.partitionCount(topic) > 0) continue;
      const error = errorName(this.#cluster.topic(topic)?.errorCode ?? -1);
      this.#options.logger.warn({ topic, error }, 'a topic to write to is not there, or may not be used');
    }
  }

  /** Nothing is taken any more; what is on its way has so long, then it is given up. */
  async close(timeoutMs: number): Promise<void> {
    const wasOpen = this.isOpen;
    this.#isClosing = true;
    if (wasOpen) await this.sender.flush(timeoutMs);
    this.#end.abort();
    await this.#producer.close();
  }
}
