/**
 * For services that write to the platform's topics without a topology. Built on the driver's producer: idempotent, all
 * in-sync replicas acknowledge, at most five requests in flight to a broker, a batch a partition.
 */
import { BatchOutcome } from './batch-outcome.ts';
import { Connection } from './connection.ts';
import { type DeliveredRecord, ProducerServiceError } from './errors.ts';
import type { AnomalyInput, Inputs, MetricInput, OutgoingRecord, PredictionInput, RecordKind } from './inputs.ts';
import { type ProducerServiceOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { invalid, RecordEncoder } from './record-encoder.ts';

/** ms that disconnect() gives what is on its way, unless told otherwise. */
const DISCONNECT_MS = 10_000;
const RECORD_KINDS: readonly RecordKind[] = ['metric', 'prediction', 'anomaly'];

/**
 * Writes metrics, predictions and anomalies, encoded by their schemas for the schema registry, each kind to its topic, under
 * the subject `<topic>-value`. Keys are `service:metricName` and the ids.
 *
 * Calls may overlap, and should: what is sent within `lingerMs` goes in one batch a partition, in the order of the calls. A
 * call encodes its record at once, so that the input may be changed afterwards, and resolves when the record is
 * acknowledged. A record that does not fit its schema is refused and nothing is sent. While the buffer is full, records wait
 * in the order of the calls; who sends without waiting holds them in memory.
 *
 * A record that cannot be delivered rejects its promise with a {@link DeliveryError}, and the service goes on with all
 * others. Each record is on its topic once, or its promise is rejected: what may have been written is never sent again but
 * under the sequence by which the broker knows it. The one exception is every idempotent producer's: a broker that has
 * forgotten it while an answer was lost may write a batch twice. Handle each promise: an unhandled rejection ends a Node
 * process.
 *
 * @example
 * const producer = new KafkaProducerService({ kafka: { brokers }, registry: { url } });
 * await producer.connect();
 * const { partition, offset } = await producer.sendMetric({ service: 'checkout', metricName: 'latency', value: 12.5 });
 * await producer.disconnect();
 */
export class KafkaProducerService {
  readonly #options: ResolvedOptions;
  readonly #encoders: ReadonlyMap<RecordKind, RecordEncoder>;
  #connection: Connection | undefined;
  #connecting: Promise<void> | undefined;
  #disconnecting: Promise<void> | undefined;

  /**
   * Does no I/O.
   * @throws ProducerServiceError MILLRACE_PRODUCERS_INVALID_OPTIONS, naming every fault
   * @throws SerdeOptionError an option of the registry
   */
  constructor(options: ProducerServiceOptions) {
    this.#options = resolveOptions(options);
    const { topics, registry, maxBufferedBytes: maxBytes } = this.#options;
    this.#encoders = new Map(
      RECORD_KINDS.flatMap((kind) => {
        const topic = topics[kind];
        return topic === undefined ? [] : [[kind, new RecordEncoder({ kind, topic, registry, maxBytes })] as const];
      }),
    );
  }

  /**
   * Reaches the brokers, trying for `connectTimeoutMs`, and registers the schemas, or looks them up where the registry's
   * `autoRegister` is off. A registry that is away is waited for until `disconnect()`, with a warning to the logger at each
   * try. A topic that is missing is a warning: records wait for it. Connected already, it does nothing; after it has failed,
   * or after `disconnect()`, it may be called again.
   * @throws KafkaConnectionError MILLRACE_KAFKA_CONNECTION: no broker answers
   * @throws KafkaAuthenticationError MILLRACE_KAFKA_AUTHENTICATION: the login is refused
   * @throws KafkaProtocolError MILLRACE_KAFKA_PROTOCOL: the user may not write idempotently
   * @throws RegistryError the registry refuses
   * @throws ProducerServiceError MILLRACE_PRODUCERS_DISCONNECTED: `disconnect()` was called meanwhile
   */
  connect(): Promise<void> {
    if (this.#disconnecting !== undefined) return this.#disconnecting.then(() => this.connect());
    this.#connecting ??= this.#connect();
    return this.#connecting;
  }

  async #connect(): Promise<void> {
    const connection = new Connection(this.#options);
    this.#connection = connection;
    try {
      await connection.open([...this.#encoders.values()]);
    } catch (error) {
      this.#forget(connection);
      throw error;
    }
  }

  /**
   * Takes no more records, waits until those that were sent are delivered, and closes the connections. What is neither
   * delivered nor given up by then is: MILLRACE_PRODUCERS_DISCONNECTED. Never throws; not connected, it does nothing.
   * @param timeoutMs ms that it waits. Default 10000
   */
  async disconnect(timeoutMs = DISCONNECT_MS): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#disconnecting ??= connection.close(timeoutMs).finally(() => {
      this.#forget(connection);
      this.#disconnecting = undefined;
    });
    await this.#disconnecting;
  }

  /** There may be another by now. */
  #forget(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#connecting = undefined;
  }

  /**
   * Writes a metric.
   * @returns where it is, once all in-sync replicas have it
   * @throws InvalidRecordError MILLRACE_PRODUCERS_INVALID_RECORD, MILLRACE_PRODUCERS_RECORD_TOO_LARGE: it was not sent
   * @throws DeliveryError MILLRACE_PRODUCERS_NOT_DELIVERED, and why as its `cause`; MILLRACE_PRODUCERS_BUFFER_FULL,
   *   MILLRACE_PRODUCERS_DISCONNECTED
   * @throws ProducerServiceError MILLRACE_PRODUCERS_NOT_CONNECTED; MILLRACE_PRODUCERS_NO_TOPIC: `topics` leaves metrics out
   */
  async sendMetric(metric: MetricInput): Promise<DeliveredRecord> {
    return this.#send('metric', metric);
  }

  /** Writes a prediction. Returns and throws as {@link sendMetric}. */
  async sendPrediction(prediction: PredictionInput): Promise<DeliveredRecord> {
    return this.#send('prediction', prediction);
  }

  /** Writes an anomaly. Returns and throws as {@link sendMetric}. */
  async sendAnomaly(anomaly: AnomalyInput): Promise<DeliveredRecord> {
    return this.#send('anomaly', anomaly);
  }

  /**
   * Writes many records of any kinds, in their order in each partition. All are validated first: where one is refused,
   * nothing is sent. From there on each is by itself: it is no transaction.
   * @returns where each is, in the order of the records
   * @throws InvalidRecordError as {@link sendMetric}, with the record's `index`
   * @throws BatchDeliveryError MILLRACE_PRODUCERS_BATCH_NOT_DELIVERED, once each is delivered or given up: `failures` has a
   *   DeliveryError for each that is not delivered, `delivered` where the others are
   * @throws ProducerServiceError as {@link sendMetric}
   */
  async sendBatch(records: readonly OutgoingRecord[]): Promise<DeliveredRecord[]> {
    const { sender } = this.#connected('sendBatch');
    const sent = records.map((record, index) => {
      const { kind, input } = kindOf(record, index);
      return { kind, index, input, encoded: this.#encoder(kind).encode(input, index) };
    });
    const outcome = new BatchOutcome([...records]);
    for (const { kind, index, input, encoded } of sent) {
      const delivered = (where: DeliveredRecord): void => outcome.delivered(index, where);
      sender.send({ kind, index, input, delivered, failed: (error) => outcome.failed(error) }, encoded);
    }
    return outcome.done;
  }

  /**
   * Sends what lingers, and waits until all that was sent before is delivered or given up.
   * @param timeoutMs ms that it waits at most. Default: without an end of its own; each record has one
   * @returns how many of those records are neither delivered nor given up; 0 where it is not connected. What was given up
   *   is told by its promise, and not counted
   */
  async flush(timeoutMs = Number.POSITIVE_INFINITY): Promise<number> {
    return (await this.#connection?.sender.flush(timeoutMs)) ?? 0;
  }

  /** Encodes and sends within the call: the order of the calls is that of the records. */
  #send<K extends RecordKind>(kind: K, input: Inputs[K]): Promise<DeliveredRecord> {
    const { sender } = this.#connected(`the ${kind}`);
    const encoded = this.#encoder(kind).encode(input, undefined);
    return new Promise((delivered, failed) => {
      sender.send({ kind, index: undefined, input, delivered, failed }, encoded);
    });
  }

  #connected(what: string): Connection {
    const connection = this.#connection;
    if (connection?.isOpen === true) return connection;
    throw new ProducerServiceError(
      'MILLRACE_PRODUCERS_NOT_CONNECTED',
      `Not connected: ${what} was not sent. Await connect() first, and send nothing after disconnect().`,
    );
  }

  #encoder(kind: RecordKind): RecordEncoder {
    const encoder = this.#encoders.get(kind);
    if (encoder !== undefined) return encoder;
    throw new ProducerServiceError(
      'MILLRACE_PRODUCERS_NO_TOPIC',
      `The option topics leaves the topic of records of kind ${kind} out: nothing was sent. Name it there.`,
    );
  }
}

/** What JavaScript can hand in is told apart from what fits. @throws InvalidRecordError */
function kindOf(
  record: OutgoingRecord,
  index: number,
): { readonly kind: RecordKind; readonly input: Inputs[RecordKind] } {
  const isObject = typeof record === 'object' && record !== null;
  const [kind, ...others] = isObject ? RECORD_KINDS.filter((name) => Object.hasOwn(record, name)) : [];
  if (kind === undefined || others.length > 0)
    throw invalid({ index }, `must be an object with one of ${RECORD_KINDS.join(', ')}.`);
  return { kind, input: (record as unknown as Inputs)[kind] };
}
