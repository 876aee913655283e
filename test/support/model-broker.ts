/**
 * Brokers as a producer sees them, in memory and by Kafka's rules of sequences (`ProducerAppendInfo`): an id that is not
 * known may begin anywhere, else batches follow each other, and the last five are recognised. What goes wrong is said by
 * the test, request by request and batch by batch. Timers are the global ones, so that a test may have its own.
 */
import { findApi } from '../../src/embedded/broker/apis/index.ts';
import { FrameReader } from '../../src/embedded/broker/wire-types.ts';
import { ErrorCode, KafkaConnectionError, RecordBatch } from '../../src/kafka/index.ts';
import type { ProducerCluster } from '../../src/kafka/producer.ts';
import type { ProducePartitionResponse } from '../../src/kafka/requests/00-produce.ts';
import type { TopicMetadata } from '../../src/kafka/requests/03-metadata.ts';
import type { ApiRequest } from '../../src/kafka/requests/request.ts';
import type { Logger } from '../../src/logger.ts';

/** What becomes of one batch. An error code that is not `append`ed with refuses it before anything is written. */
export type BatchOutcome = { readonly errorCode: number; readonly append?: boolean } | 'forgotten' | undefined;

export interface ModelBatch {
  readonly topic: string;
  readonly partition: number;
  readonly nodeId: number;
  readonly producerId: number;
  readonly baseSequence: number;
  readonly values: readonly string[];
}

/**
 * What becomes of a whole request. `lost-before`: nothing is done; `lost-after`: done, but not answered; `hangs`: nothing is
 * done until it times out; `late`: as that, but done after all, when the client has given it up. All but the first end the
 * connection, and with it what was sent on it meanwhile.
 */
export type RequestOutcome = 'answered' | 'lost-before' | 'lost-after' | 'hangs' | 'late';

interface ModelConnection {
  isAlive: boolean;
  queue: Promise<unknown>;
}

interface Known {
  lastSequence: number;
  batches: { readonly baseSequence: number; readonly lastSequence: number; readonly baseOffset: number }[];
}

interface ModelPartition {
  leader: number;
  readonly log: string[];
  readonly producers: Map<number, Known>;
  /** The values whose producer was told that they are written. */
  readonly acknowledged: Set<string>;
}

const SEQUENCES = 2 ** 31;

export class ModelBroker implements ProducerCluster {
  readonly topics = new Map<
    string,
    { id: string; metadata: TopicMetadata | undefined; partitions: ModelPartition[] }
  >();
  /** Every batch that a broker saw, in order. */
  readonly seen: ModelBatch[] = [];
  readonly warnings: string[] = [];
  /** Topics that metadata does not show: the user may not use them. */
  readonly denied = new Set<string>();
  resets = 0;
  refreshes: (readonly string[] | null)[] = [];
  ids = 0;
  /** Requests given up by the client that are still to be processed. */
  late = 0;
  onRequest: (nodeId: number, batches: readonly ModelBatch[]) => RequestOutcome = () => 'answered';
  onBatch: (batch: ModelBatch) => BatchOutcome = () => undefined;
  /** ms until a request is processed; each node takes its requests in order. */
  delayMs: () => number = () => 1;
  /** ms until a metadata or producer id request is answered; Infinity: never. */
  metadataDelayMs = 1;
  /** ms after which a request that hangs fails; Infinity: never. */
  requestTimeoutMs = 30_000;
  readonly logger: Logger;
  readonly #connections = new Map<number, ModelConnection>();
  #epoch = 0;

  constructor() {
    const note = (_fields: object, message: string): void => void this.warnings.push(message);
    this.logger = { debug: () => {}, info: () => {}, warn: note, error: note };
  }

  /** Metadata shows it from the next refresh on. */
  create(topic: string, partitions: number, leader = 1): void {
    const make = (): ModelPartition => ({ leader, log: [], producers: new Map(), acknowledged: new Set() });
    const id = String(++this.#epoch).padStart(32, '0');
    this.topics.set(topic, { id, metadata: undefined, partitions: Array.from({ length: partitions }, make) });
  }

  grow(topic: string, count: number): void {
    const { partitions } = this.topics.get(topic)!;
    while (partitions.length < count)
      partitions.push({ leader: 1, log: [], producers: new Map(), acknowledged: new Set() });
  }

  delete(topic: string): void {
    this.topics.delete(topic);
    this.#unknown.add(topic);
  }
  readonly #unknown = new Set<string>();
  readonly #shown = new Map<string, TopicMetadata>();

  log(topic: string, partition: number): readonly string[] {
    return this.topics.get(topic)!.partitions[partition]!.log;
  }

  partition(topic: string, partition: number): ModelPartition {
    return this.topics.get(topic)!.partitions[partition]!;
  }

  /** What a client whose metadata is fresh knows. */
  show(topic: string): void {
    const known = this.topics.get(topic);
    if (known === undefined) {
      const errorCode = this.denied.has(topic)
        ? ErrorCode.TOPIC_AUTHORIZATION_FAILED
        : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
      this.#shown.set(topic, { topic, errorCode, topicId: '0'.repeat(32), isInternal: false, partitions: [] });
      return;
    }
    const partitions = known.partitions.map(({ leader }, partition) => ({
      partition,
      errorCode: 0,
      leader,
      leaderEpoch: 0,
    }));
    this.#shown.set(topic, { topic, errorCode: 0, topicId: known.id, isInternal: false, partitions });
  }

  async refresh(topics: readonly string[] | null): Promise<void> {
    this.refreshes.push(topics);
    await this.#pause(this.metadataDelayMs);
    for (const topic of topics ?? this.topics.keys()) this.show(topic);
  }

  topic(name: string): TopicMetadata | undefined {
    return this.#shown.get(name);
  }

  partitionCount(topic: string): number {
    return this.#shown.get(topic)?.partitions.length ?? 0;
  }

  leaderOf(topic: string, partition: number): number {
    return this.#shown.get(topic)?.partitions[partition]?.leader ?? -1;
  }

  async sendToAny<T>(): Promise<T> {
    await this.#pause(this.metadataDelayMs);
    return { errorCode: 0, producerId: ++this.ids, producerEpoch: 0, throttleTimeMs: 0 } as T;
  }

  reset(): void {
    this.resets++;
    const waiting = this.#waiting.splice(0);
    for (const reject of waiting) reject(new KafkaConnectionError('reset'));
  }
  #waiting: ((error: Error) => void)[] = [];

  close(): Promise<void> {
    this.reset();
    return Promise.resolve();
  }

  send<T>(nodeId: number, request: ApiRequest<T>): Promise<T> {
    const batches = readProduce(nodeId, Buffer.concat(request.parts!()));
    const outcome = this.onRequest(
      nodeId,
      batches.map(({ at }) => at),
    );
    let connection = this.#connections.get(nodeId);
    if (connection?.isAlive !== true) {
      connection = { isAlive: true, queue: Promise.resolve() };
      this.#connections.set(nodeId, connection);
    }
    const on = connection;
    const answer = on.queue.then(() => this.#answer<T>(on, batches, outcome));
    on.queue = answer.catch(() => undefined);
    return new Promise((resolve, reject) => {
      this.#waiting.push(reject);
      answer.then(resolve, reject);
    });
  }

  async #answer<T>(on: ModelConnection, batches: ReadBatches, outcome: RequestOutcome): Promise<T> {
    const process = (): ProducePartitionResponse[] => batches.map(({ at, bytes }) => this.#process(at, bytes));
    if (on.isAlive) await this.#pause(this.delayMs());
    if (!on.isAlive || outcome === 'lost-before') {
      on.isAlive = false;
      throw new KafkaConnectionError('lost');
    }
    if (outcome === 'hangs' || outcome === 'late') {
      await this.#pause(this.requestTimeoutMs);
      on.isAlive = false;
      if (outcome === 'late') this.#doLate(process);
      throw new KafkaConnectionError('timed out');
    }
    const partitions = process();
    if (outcome === 'answered') {
      partitions.forEach(({ errorCode }, i) => {
        const { topic, partition, values } = batches[i]!.at;
        if (errorCode === 0) for (const value of values) this.partition(topic, partition).acknowledged.add(value);
      });
      return { partitions, throttleTimeMs: 0 } as T;
    }
    on.isAlive = false;
    throw new KafkaConnectionError('lost');
  }

  #doLate(process: () => void): void {
    this.late++;
    setTimeout(() => {
      this.late--;
      process();
    }, this.requestTimeoutMs / 2);
  }

  #process(at: ModelBatch, batch: RecordBatch): ProducePartitionResponse {
    this.seen.push(at);
    const result = (errorCode: number, baseOffset = -1): ProducePartitionResponse => {
      const { topic, partition } = at;
      return { topic, partition, errorCode, baseOffset, logAppendTimeMs: -1, recordErrors: [], errorMessage: null };
    };
    const partition = this.topics.get(at.topic)?.partitions[at.partition];
    if (partition === undefined) return result(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    if (partition.leader !== at.nodeId) return result(ErrorCode.NOT_LEADER_OR_FOLLOWER);
    const outcome = this.onBatch(at);
    if (outcome === 'forgotten') {
      // As brokers before 2.5 said it, and those since of a gap: the id stays refused here.
      partition.producers.set(at.producerId, { lastSequence: -2, batches: [] });
      return result(ErrorCode.UNKNOWN_PRODUCER_ID);
    }
    if (outcome !== undefined && outcome.append !== true) return result(outcome.errorCode);
    const appended = this.#append(partition, at, batch);
    return outcome === undefined || appended.errorCode !== 0
      ? result(appended.errorCode, appended.baseOffset)
      : result(outcome.errorCode);
  }

  #append({ producers, log }: ModelPartition, at: ModelBatch, batch: RecordBatch) {
    const { producerId, baseSequence } = batch;
    const lastSequence = (baseSequence + batch.recordCount - 1) % SEQUENCES;
    let known = producers.get(producerId);
    if (known === undefined) {
      known = { lastSequence: -1, batches: [] };
      producers.set(producerId, known);
    } else if (known.lastSequence === -2) {
      return { errorCode: ErrorCode.UNKNOWN_PRODUCER_ID, baseOffset: -1 };
    } else {
      const same = known.batches.find((b) => b.baseSequence === baseSequence && b.lastSequence === lastSequence);
      if (same !== undefined) return { errorCode: 0, baseOffset: same.baseOffset };
      if (baseSequence !== (known.lastSequence + 1) % SEQUENCES)
        return { errorCode: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, baseOffset: -1 };
    }
    const baseOffset = log.length;
    log.push(...at.values);
    known.lastSequence = lastSequence;
    known.batches = [...known.batches, { baseSequence, lastSequence, baseOffset }].slice(-5);
    return { errorCode: 0, baseOffset };
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (ms !== Number.POSITIVE_INFINITY) setTimeout(resolve, ms);
    });
  }
}

type ReadBatches = readonly { readonly at: ModelBatch; readonly bytes: RecordBatch }[];

function readProduce(nodeId: number, body: Buffer): ReadBatches {
  const { topics } = findApi(0)!.request.read(new FrameReader(body, 0, 8, false));
  return topics.flatMap(
    ({ name, partitions }: { name: string; partitions: { partition: number; records: Buffer }[] }) =>
      partitions.map(({ partition, records }) => {
        const bytes = new RecordBatch(Buffer.from(records), 0, { topic: name, partition });
        const values: string[] = [];
        for (const cursor = bytes.records(); cursor.next(); ) values.push(String(cursor.value()));
        const { producerId, baseSequence } = bytes;
        return { at: { topic: name, partition, nodeId, producerId, baseSequence, values }, bytes };
      }),
  );
}
