/**
 * The producer: records are encoded into batches as they arrive, batches leave when they are full or have lingered.
 * Idempotent: a sequence a partition, up to five batches in flight, order kept through retries. `send` is synchronous;
 * memory is bounded by `isFull` and `drained()`, which the caller is to heed between records.
 */
import { Backoff, delay } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import type { Header } from '../headers.ts';
import type { KafkaCluster } from './cluster.ts';
import { type CompressionType, loadZstd } from './compression/index.ts';
import { ErrorCode, errorName, KafkaError, KafkaProtocolError, ProduceError } from './errors.ts';
import { partitionForKey } from './murmur2.ts';
import { noSuchPartition, refused } from './produce-errors.ts';
import { planRequests } from './produce-plan.ts';
import { type Identity, type PendingBatch, ProducerPartition } from './producer-partition.ts';
import { type ProducePartitionResponse, produceRequest } from './requests/00-produce.ts';
import { initProducerIdRequest } from './requests/admin.ts';
import { sizeOf, type UnroutedRecord } from './unrouted-record.ts';
import { WriterPool } from './writer-pool.ts';

export interface ProducerOptions {
  /** ms a batch waits for more records (linger.ms). Default 20. */
  readonly lingerMs?: number;
  /** Bytes at which a batch is closed (batch.size). Default 256 KiB. */
  readonly batchBytes?: number;
  /** Default none. */
  readonly compression?: CompressionType;
  /** Bytes not yet acknowledged above which `isFull` (buffer.memory). Default 32 MiB. */
  readonly bufferBytes?: number;
  /** ms the broker waits for its in-sync replicas (request.timeout.ms). Default 30000. */
  readonly requestTimeoutMs?: number;
  /** ms after which a topic that does not exist is an error (max.block.ms). Default 60000. */
  readonly unknownTopicTimeoutMs?: number;
}

const NOTHING = Buffer.alloc(0);

export class Producer {
  readonly #cluster: KafkaCluster;
  readonly #options: Required<ProducerOptions>;
  readonly #partitions = new Map<string, ProducerPartition[]>();
  /** Records of topics whose metadata is not known yet. */
  readonly #unrouted = new Map<string, UnroutedRecord[]>();
  readonly #writers = new WriterPool();
  readonly #stop = new AbortController();
  #identity: Identity = { producerId: -1, producerEpoch: -1 };
  #bufferedBytes = 0;
  #lingerTimer: NodeJS.Timeout | undefined;
  #pumpScheduled = false;
  #flushing = false;
  #failure: KafkaError | undefined;
  #waiters: {
    readonly done: () => boolean;
    readonly resolve: () => void;
    readonly reject: (error: unknown) => void;
  }[] = [];
  readonly #inFlightByNode = new Map<number, number>();
  readonly #backoff = new Backoff();
  #recovering: Promise<void> | undefined;

  constructor(cluster: KafkaCluster, options: ProducerOptions = {}) {
    this.#cluster = cluster;
    this.#options = {
      lingerMs: 20,
      batchBytes: 256 * 1024,
      compression: 'none',
      bufferBytes: 32 * 1024 * 1024,
      requestTimeoutMs: 30_000,
      unknownTopicTimeoutMs: 60_000,
      ...options,
    };
  }

  /** Gets a producer id. @throws KafkaProtocolError CLUSTER_AUTHORIZATION_FAILED: the user may not write idempotently */
  async start(): Promise<void> {
    await loadZstd();
    this.#identity = await this.#initProducerId();
  }

  /** Looks up topics ahead, so that their records are routed as they are sent. */
  async prepare(topics: readonly string[]): Promise<void> {
    if (topics.length > 0) await this.#cluster.refresh(topics);
  }

  /** True where more than `bufferBytes` wait to be acknowledged: await `drained()` before the next record. */
  get isFull(): boolean {
    return this.#bufferedBytes > this.#options.bufferBytes;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** The offset behind the last record written to a partition; −1 where none was. */
  ackedOffset(topic: string, partition: number): number {
    return this.#partitions.get(topic)?.[partition]?.ackedOffset ?? -1;
  }

  /** What stopped the producer; every later call throws it. */
  get failure(): KafkaError | undefined {
    return this.#failure;
  }

  /** Partitions of a topic; 0 while they are not known. */
  partitionCount(topic: string): number {
    return this.#cluster.partitionCount(topic);
  }

  /**
   * Hot. Appends a record; key and value are ranges of buffers, copied here; a length of −1 is null.
   * @param partition −1: by Java's murmur2 of the key; without a key, a partition that changes with each batch
   * @param timestamp ms since the epoch
   * @throws the error that stopped the producer
   */
  send(
    topic: string,
    partition: number,
    timestamp: number,
    keyBuffer: Uint8Array,
    keyStart: number,
    keyLength: number,
    valueBuffer: Uint8Array,
    valueStart: number,
    valueLength: number,
    headers: readonly Header[],
  ): void {
    if (this.#failure !== undefined) throw this.#failure;
    const partitions = this.#partitions.get(topic) ?? this.#route(topic);
    if (partitions === undefined) {
      this.#stash(topic, {
        partition,
        timestamp,
        key: keyLength < 0 ? null : Buffer.from(keyBuffer.subarray(keyStart, keyStart + keyLength)),
        value: valueLength < 0 ? null : Buffer.from(valueBuffer.subarray(valueStart, valueStart + valueLength)),
        headers,
      });
      return;
    }
    let index = partition;
    if (index < 0) {
      index =
        keyLength >= 0
          ? partitionForKey(keyBuffer, partitions.length, keyStart, keyStart + keyLength)
          : stickyPartition(partitions);
    }
    const target = partitions[index];
    if (target === undefined) throw noSuchPartition(topic, index, partitions.length);
    const before = target.openBytes;
    target.append(timestamp, keyBuffer, keyStart, keyLength, valueBuffer, valueStart, valueLength, headers);
    this.#bufferedBytes += target.openBytes - before;
    if (target.openBytes >= this.#options.batchBytes) {
      this.#close(target);
      this.#schedulePump();
    } else if (this.#lingerTimer === undefined) {
      this.#lingerTimer = setTimeout(() => {
        this.#lingerTimer = undefined;
        this.#closeAll();
        this.#pump();
      }, this.#options.lingerMs);
    }
  }

  /** Resolves when the buffer has room again. */
  drained(): Promise<void> {
    this.#closeAll();
    this.#pump();
    return this.#until(() => this.#bufferedBytes <= this.#options.bufferBytes / 2);
  }

  /** Resolves when every record sent before is acknowledged by all in-sync replicas. */
  async flush(): Promise<void> {
    this.#flushing = true;
    try {
      this.#closeAll();
      this.#pump();
      await this.#until(() => this.#bufferedBytes === 0);
    } finally {
      this.#flushing = false;
    }
  }

  /** Drops what is not acknowledged; `flush()` first to keep it. */
  async close(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#lingerTimer);
    this.#failure ??= new ProduceError('MILLRACE_KAFKA_PRODUCER_CLOSED', 'The producer is closed.');
    this.#settle();
    await this.#cluster.close();
  }

  #route(topic: string): ProducerPartition[] | undefined {
    const count = this.#cluster.partitionCount(topic);
    // Order: what waits for metadata goes before what comes now.
    if (count === 0 || this.#unrouted.has(topic)) return undefined;
    const partitions = Array.from(
      { length: count },
      (_, partition) => new ProducerPartition(topic, partition, this.#writers),
    );
    this.#partitions.set(topic, partitions);
    return partitions;
  }

  #stash(topic: string, record: UnroutedRecord): void {
    this.#bufferedBytes += sizeOf(record);
    const waiting = this.#unrouted.get(topic);
    if (waiting !== undefined) {
      waiting.push(record);
      return;
    }
    this.#unrouted.set(topic, [record]);
    void this.#resolveTopic(topic);
  }

  async #resolveTopic(topic: string): Promise<void> {
    const backoff = new Backoff();
    const deadline = Date.now() + this.#options.unknownTopicTimeoutMs;
    while (!this.#stop.signal.aborted) {
      try {
        await this.#cluster.refresh([topic]);
        if (this.#cluster.partitionCount(topic) > 0) break;
        const code = this.#cluster.topic(topic)?.errorCode ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
        const error = new KafkaProtocolError(
          code,
          `Writing to topic ${topic}`,
          { topic },
          'Create it, or allow its use, first.',
        );
        if (!error.retriable || Date.now() > deadline) return this.#fail(error);
      } catch (error) {
        if (error instanceof KafkaError && !error.retriable) return this.#fail(error);
      }
      this.#cluster.logger[backoff.attempt < 3 ? 'debug' : 'warn'](
        { topic },
        'topic to write to is not known yet, looking again',
      );
      await backoff.wait(this.#stop.signal);
    }
    const records = this.#unrouted.get(topic) ?? [];
    this.#unrouted.delete(topic);
    try {
      for (const record of records) {
        this.#bufferedBytes -= sizeOf(record);
        const { key, value } = record;
        this.send(
          topic,
          record.partition,
          record.timestamp,
          key ?? NOTHING,
          0,
          key?.length ?? -1,
          value ?? NOTHING,
          0,
          value?.length ?? -1,
          record.headers,
        );
      }
      if (this.#flushing) this.#closeAll();
      this.#pump();
    } catch (error) {
      this.#fail(error as KafkaError);
    }
  }

  #close(partition: ProducerPartition): void {
    const before = partition.openBytes;
    const batch = partition.close(this.#options.compression, this.#identity);
    if (batch !== undefined) this.#bufferedBytes += batch.bytes.length - before;
  }

  #closeAll(): void {
    for (const partitions of this.#partitions.values()) {
      for (const partition of partitions) if (partition.openBytes > 0) this.#close(partition);
    }
  }

  #schedulePump(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  /** Sends what may go now: per broker at most five requests, per partition in order. */
  #pump(): void {
    if (this.#failure !== undefined || this.#recovering !== undefined) return;
    for (;;) {
      const { requests, leaderless } = planRequests(
        this.#partitions.values(),
        (at) => this.#cluster.leaderOf(at.topic, at.partition),
        this.#inFlightByNode,
      );
      for (const [node, batches] of requests) void this.#produce(node, batches);
      if (leaderless) void this.#recover('a partition has no leader');
      // What did not fit into these requests goes with the next ones, as long as there are any.
      if (requests.size === 0) return;
    }
  }

  async #produce(node: number, batches: readonly PendingBatch[]): Promise<void> {
    this.#inFlightByNode.set(node, (this.#inFlightByNode.get(node) ?? 0) + 1);
    const topics = new Map<string, { partition: number; batch: Buffer }[]>();
    for (const { owner, bytes } of batches) {
      const entry = { partition: owner.partition, batch: bytes };
      const list = topics.get(owner.topic);
      if (list === undefined) topics.set(owner.topic, [entry]);
      else list.push(entry);
    }
    const request = produceRequest(
      [...topics].map(([topic, partitions]) => ({ topic, partitions })),
      { timeoutMs: this.#options.requestTimeoutMs },
    );
    let trouble: string | undefined;
    try {
      const answer = await this.#cluster.send(node, request);
      this.#release(node);
      for (const response of answer.partitions) {
        const batch = batches.find((b) => b.owner.partition === response.partition && b.owner.topic === response.topic);
        if (batch !== undefined) trouble = this.#answered(batch, response) ?? trouble;
      }
    } catch (error) {
      this.#release(node);
      if (error instanceof KafkaError && !error.retriable) return this.#fail(error);
      for (const batch of batches) batch.owner.retry(batch);
      trouble = messageOf(error);
    }
    if (trouble !== undefined) await this.#recover(trouble);
    else this.#backoff.reset();
    this.#pump();
    this.#settle();
  }

  #release(node: number): void {
    this.#inFlightByNode.set(node, this.#inFlightByNode.get(node)! - 1);
  }

  /** Returns why the batch has to be sent again, undefined where it is done. */
  #answered(batch: PendingBatch, response: ProducePartitionResponse): string | undefined {
    const { owner } = batch;
    switch (response.errorCode) {
      case ErrorCode.NONE:
      case ErrorCode.DUPLICATE_SEQUENCE_NUMBER:
        owner.done(batch, response.baseOffset);
        this.#bufferedBytes -= batch.bytes.length;
        return undefined;
      case ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER:
      case ErrorCode.UNKNOWN_PRODUCER_ID:
      case ErrorCode.INVALID_PRODUCER_EPOCH:
        // Behind a batch that failed this is expected; at the front the broker has lost the producer's state.
        if (owner.isFront(batch)) owner.needsNewIdentity = true;
        owner.retry(batch);
        return errorName(response.errorCode);
      case ErrorCode.MESSAGE_TOO_LARGE:
      case ErrorCode.RECORD_LIST_TOO_LARGE:
        if (batch.recordCount > 1) {
          this.#bufferedBytes += owner.split(batch, this.#identity);
          return errorName(response.errorCode);
        }
        break;
    }
    const error = new KafkaProtocolError(response.errorCode, '');
    if (error.retriable) {
      owner.retry(batch);
      return errorName(response.errorCode);
    }
    this.#fail(refused(batch, response));
    return undefined;
  }

  /** Before anything is sent again: a pause, fresh leaders, and a new producer id where the broker lost ours. */
  #recover(why: string): Promise<void> {
    this.#recovering ??= this.#doRecover(why).finally(() => {
      this.#recovering = undefined;
      this.#pump();
      this.#settle();
    });
    return this.#recovering;
  }

  async #doRecover(why: string): Promise<void> {
    this.#cluster.logger[this.#backoff.attempt < 2 ? 'debug' : 'warn']({ error: why }, 'writing failed, trying again');
    await this.#backoff.wait(this.#stop.signal);
    while (!this.#stop.signal.aborted && this.#failure === undefined) {
      try {
        await this.#cluster.refresh([...this.#partitions.keys()]);
        await this.#renewIdentity();
        return;
      } catch (error) {
        if (error instanceof KafkaError && !error.retriable) return this.#fail(error);
        this.#cluster.logger.warn({ error: messageOf(error) }, 'no broker to write to, trying again');
        await this.#backoff.wait(this.#stop.signal);
      }
    }
  }

  async #renewIdentity(): Promise<void> {
    const all = [...this.#partitions.values()].flat();
    if (!all.some((p) => p.needsNewIdentity)) return;
    // A batch still out under the old id must be answered before it may go out under the new one.
    while (all.some((p) => p.inFlightCount > 0) && !this.#stop.signal.aborted) await delay(10, this.#stop.signal);
    this.#cluster.logger.warn({}, 'the broker no longer knows this producer; going on under a new producer id');
    this.#identity = await this.#initProducerId();
    for (const partition of all) partition.restamp(this.#identity);
  }

  async #initProducerId(): Promise<Identity> {
    const backoff = new Backoff();
    const deadline = Date.now() + this.#options.unknownTopicTimeoutMs;
    for (;;) {
      const answer = await this.#cluster.sendToAny(initProducerIdRequest(null, this.#options.requestTimeoutMs));
      if (answer.errorCode === ErrorCode.NONE)
        return { producerId: answer.producerId, producerEpoch: answer.producerEpoch };
      const error = new KafkaProtocolError(answer.errorCode, 'Getting a producer id');
      if (!error.retriable || Date.now() > deadline) throw error;
      await backoff.wait(this.#stop.signal);
    }
  }

  #until(done: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ done, resolve, reject });
      this.#settle();
    });
  }

  #settle(): void {
    this.#waiters = this.#waiters.filter((waiter) => {
      if (this.#failure !== undefined) waiter.reject(this.#failure);
      else if (waiter.done()) waiter.resolve();
      else return true;
      return false;
    });
  }

  #fail(error: KafkaError): void {
    this.#failure ??= error;
    this.#settle();
  }
}

function stickyPartition(partitions: readonly ProducerPartition[]): number {
  const open = partitions.findIndex((p) => p.openBytes > 0);
  return open >= 0 ? open : Math.floor(Math.random() * partitions.length);
}
