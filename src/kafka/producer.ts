/**
 * The producer: records are encoded into batches as they arrive, batches leave when they are full or have lingered.
 * Idempotent: a sequence a partition, up to five batches in flight, order kept through retries. `send` is synchronous;
 * memory is bounded by `isFull` and `drained()`, which the caller is to heed between records. What fails of one partition
 * holds up that partition only. A record that cannot be delivered stops the producer, or is told to its listener, as
 * `afterFailure` says.
 */
import { abortController } from '../backoff.ts';
import type { Header } from '../headers.ts';
import { BatchSender } from './batch-sender.ts';
import type { KafkaCluster } from './cluster.ts';
import { loadZstd } from './compression/index.ts';
import { withDefaults } from './defaults.ts';
import type { DeliveryListener } from './delivery-listener.ts';
import { DeliveryWatch } from './delivery-watch.ts';
import type { KafkaError } from './errors.ts';
import { partitionForKey } from './murmur2.ts';
import {
  compressionFailed,
  deliveryTimedOut,
  discarded,
  invalidTimestamp,
  noSuchPartition,
  producerClosed,
} from './produce-errors.ts';
import { untilProducerId } from './producer-ids.ts';
import { PRODUCER_DEFAULTS, type ProducerOptions } from './producer-options.ts';
import type { ProducerPartition } from './producer-partition.ts';
import { type ProducerTopic, ProducerTopics } from './producer-topics.ts';
import { type UnroutedRecord, UnroutedRecords } from './unrouted-records.ts';
import { Waiters } from './waiters.ts';
import { WriterPool } from './writer-pool.ts';

/** What of a cluster producing needs: a test may put its own in its place. */
export type ProducerCluster = Pick<
  KafkaCluster,
  'send' | 'sendToAny' | 'refresh' | 'leaderOf' | 'partitionCount' | 'topic' | 'logger' | 'reset' | 'close'
>;

const NOTHING = Buffer.alloc(0);

/**
 * At least once: a batch whose answer was lost goes again under its sequence, and the broker knows it. It is written twice
 * only where the broker has forgotten the producer meanwhile, and what is dropped by `discard()` may have been written.
 */
export class Producer {
  readonly #cluster: ProducerCluster;
  readonly #options: Required<ProducerOptions>;
  readonly #writers = new WriterPool();
  readonly #topics: ProducerTopics;
  readonly #unrouted: UnroutedRecords;
  readonly #sender: BatchSender;
  readonly #watch: DeliveryWatch;
  readonly #waiters = new Waiters();
  readonly #stop = abortController();
  /** Partitions with an open batch. */
  readonly #open = new Set<ProducerPartition>();
  /** Partitions with records that are not acknowledged. */
  readonly #unacknowledged = new Set<ProducerPartition>();
  #bufferedBytes = 0;
  #closedBatches = 0;
  #lingerTimer: NodeJS.Timeout | undefined;
  #metadataTimer: NodeJS.Timeout | undefined;
  #flushing = 0;
  #failure: KafkaError | undefined;

  constructor(cluster: ProducerCluster, options: ProducerOptions = {}) {
    this.#cluster = cluster;
    this.#options = withDefaults(PRODUCER_DEFAULTS, options);
    this.#topics = new ProducerTopics(cluster, this.#writers);
    this.#watch = new DeliveryWatch(this.#options.deliveryTimeoutMs, (nowMs) => this.#checkDelivery(nowMs));
    const onBytes = (delta: number): void => {
      this.#bufferedBytes += delta;
    };
    this.#unrouted = new UnroutedRecords({
      cluster,
      timeoutMs: this.#options.unknownTopicTimeoutMs,
      afterFailure: this.#options.afterFailure,
      signal: this.#stop.signal,
      onKnown: (topic, records) => this.#routed(topic, records),
      onBytes,
      onGivenUp: () => this.#settle(),
      onFailure: (error) => this.#fail(error),
    });
    this.#sender = new BatchSender({
      cluster,
      topics: this.#topics,
      unacknowledged: this.#unacknowledged,
      requestTimeoutMs: this.#options.requestTimeoutMs,
      afterFailure: this.#options.afterFailure,
      signal: this.#stop.signal,
      onBytes,
      onAnswers: () => this.#settle(),
      onFailure: (error) => this.#fail(error),
    });
  }

  /** Gets a producer id. @throws KafkaProtocolError CLUSTER_AUTHORIZATION_FAILED: the user may not write idempotently */
  async start(): Promise<void> {
    await loadZstd();
    const { unknownTopicTimeoutMs: timeoutMs, metadataMaxAgeMs } = this.#options;
    const identity = await untilProducerId(this.#cluster, { signal: this.#stop.signal, timeoutMs });
    if (this.#stop.signal.aborted) throw producerClosed();
    // Topics grow without anything failing. Not a reason to keep the process alive.
    clearInterval(this.#metadataTimer);
    this.#metadataTimer = setInterval(() => this.#sender.refresh(this.#topics.names), metadataMaxAgeMs);
    this.#metadataTimer.unref();
    this.#sender.start(identity);
  }

  /** Looks up topics ahead, so that their records are routed as they are sent. */
  async prepare(topics: readonly string[]): Promise<void> {
    if (topics.length === 0) return;
    await this.#cluster.refresh(topics);
    this.#topics.adopt();
  }

  /** True where more than `bufferBytes` wait to be acknowledged: await `drained()` before the next record. */
  get isFull(): boolean {
    return this.#bufferedBytes > this.#options.bufferBytes;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** The offset behind the last record written to a partition; −1 where none was, or since `discard()`. */
  ackedOffset(topic: string, partition: number): number {
    return this.#topics.partition(topic, partition)?.ackedOffset ?? -1;
  }

  /** What stopped the producer, at once; every later call throws it. */
  get failure(): KafkaError | undefined {
    return this.#failure;
  }

  /** Partitions of a topic, as records are routed; 0 while they are not known. */
  partitionCount(topic: string): number {
    return this.#topics.partitionCount(topic);
  }

  /**
   * Hot. Appends a record; key and value are ranges of buffers, copied here; a length of −1 is null.
   * @param partition −1: by Java's murmur2 of the key; without a key, a partition that changes with each batch
   * @param timestamp ms since the epoch
   * @param listener is told what becomes of the record, unless this throws
   * @throws the error that stopped the producer; ProduceError the record cannot be written, and nothing else is lost
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
    listener?: DeliveryListener,
  ): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (!Number.isSafeInteger(timestamp)) throw invalidTimestamp(topic, timestamp);
    const route = this.#topics.get(topic) ?? this.#route(topic);
    if (route === undefined) {
      this.#stash(topic, {
        partition,
        timestamp,
        key: keyLength < 0 ? null : Buffer.from(keyBuffer.subarray(keyStart, keyStart + keyLength)),
        value: valueLength < 0 ? null : Buffer.from(valueBuffer.subarray(valueStart, valueStart + valueLength)),
        headers,
        listener,
        sinceMs: this.#watch.nowMs,
      });
      return;
    }
    const { partitions } = route;
    let index = partition;
    if (index < 0) {
      index =
        keyLength >= 0
          ? partitionForKey(keyBuffer, partitions.length, keyStart, keyStart + keyLength)
          : this.#topics.stickyPartition(route);
    }
    const target = partitions[index];
    if (target === undefined) throw noSuchPartition(topic, index, partitions.length);
    const before = target.openBytes;
    target.append(timestamp, keyBuffer, keyStart, keyLength, valueBuffer, valueStart, valueLength, headers, listener);
    const after = target.openBytes;
    this.#bufferedBytes += after - before;
    if (before === 0) this.#opened(target);
    if (after >= this.#options.batchBytes) {
      this.#close(target);
      this.#sender.schedulePump();
    } else if (this.#lingerTimer === undefined) {
      this.#lingerTimer = setTimeout(() => {
        this.#lingerTimer = undefined;
        this.#closeAll();
        this.#sender.pump();
      }, this.#options.lingerMs);
    }
  }

  /** Resolves when the buffer has room again. @throws the error that stopped the producer; MILLRACE_KAFKA_DISCARDED */
  drained(): Promise<void> {
    this.#closeAll();
    this.#sender.pump();
    return this.#until(() => this.#bufferedBytes <= this.#options.bufferBytes / 2);
  }

  /**
   * Resolves when every record sent before is acknowledged by all in-sync replicas, whatever is sent meanwhile.
   * @throws the error that stopped the producer; MILLRACE_KAFKA_DISCARDED
   */
  async flush(): Promise<void> {
    this.#flushing++;
    try {
      this.#closeAll();
      this.#sender.pump();
      const unrouted = [...this.#unrouted.topics()].map(({ topic }) => topic);
      if (unrouted.length > 0) {
        await this.#until(() => !unrouted.some((topic) => this.#unrouted.has(topic)));
        this.#closeAll();
        this.#sender.pump();
      }
      const last = this.#closedBatches;
      await this.#until(() => !this.#hasUpTo(last));
    } finally {
      this.#flushing--;
    }
  }

  /**
   * Drops every record that is not acknowledged, and what was learned of those that are: to be called when the tasks that
   * sent them are another's. Its connections are reset, so that nothing leaves later; what a broker has received by now may
   * still be written. Goes on under a new producer id, which is got before anything is sent again. Pending `flush()` and
   * `drained()` reject with MILLRACE_KAFKA_DISCARDED; a producer that has failed stays failed.
   */
  discard(): void {
    if (this.#stop.signal.aborted) return;
    const error = discarded();
    this.#unrouted.giveUpAll(error);
    for (const partition of this.#topics.all()) partition.discard(error);
    this.#open.clear();
    this.#unacknowledged.clear();
    this.#bufferedBytes = 0;
    this.#stopTimers();
    this.#waiters.rejectAll(error);
    this.#cluster.reset();
    this.#sender.discard();
  }

  /** Drops what is not acknowledged; `flush()` first to keep it. */
  async close(): Promise<void> {
    this.#stop.abort();
    clearInterval(this.#metadataTimer);
    this.#fail(producerClosed());
    await this.#cluster.close();
  }

  #route(topic: string): ProducerTopic | undefined {
    // Order: what waits for metadata goes before what comes now.
    return this.#unrouted.has(topic) ? undefined : this.#topics.open(topic);
  }

  #stash(topic: string, record: UnroutedRecord): void {
    this.#watch.start();
    this.#unrouted.add(topic, record);
  }

  #routed(topic: string, records: readonly UnroutedRecord[]): void {
    for (const record of records) {
      try {
        this.#sendRouted(topic, record);
      } catch (error) {
        record.listener?.failed(error as KafkaError, undefined, false);
        if (this.#options.afterFailure === 'stop') this.#fail(error as KafkaError);
      }
    }
    if (this.#flushing > 0) this.#closeAll();
    this.#sender.pump();
    this.#settle();
  }

  #sendRouted(topic: string, record: UnroutedRecord): void {
    const { partition, timestamp, key, value, headers, listener } = record;
    this.send(
      topic,
      partition,
      timestamp,
      key ?? NOTHING,
      0,
      key?.length ?? -1,
      value ?? NOTHING,
      0,
      value?.length ?? -1,
      headers,
      listener,
    );
  }

  /** A batch was begun. */
  #opened(partition: ProducerPartition): void {
    this.#watch.start();
    partition.opened(this.#watch.nowMs);
    this.#open.add(partition);
    this.#unacknowledged.add(partition);
  }

  #close(partition: ProducerPartition): void {
    const before = partition.openBytes;
    this.#open.delete(partition);
    try {
      const batch = partition.close(this.#options.compression, this.#sender.identity, ++this.#closedBatches);
      if (batch !== undefined) this.#bufferedBytes += batch.bytes.length - before;
      this.#sender.add(partition);
    } catch (error) {
      const failure = compressionFailed(partition.topic, partition.partition, error);
      if (this.#options.afterFailure === 'stop') {
        this.#fail(failure);
        return;
      }
      partition.dropOpen(failure);
      if (partition.oldestMs === undefined) this.#unacknowledged.delete(partition);
      this.#bufferedBytes -= before;
      this.#settle();
    }
  }

  #closeAll(): void {
    for (const partition of this.#open) this.#close(partition);
  }

  #checkDelivery(nowMs: number): void {
    const { deliveryTimeoutMs, afterFailure } = this.#options;
    const thenMs = nowMs - deliveryTimeoutMs;
    if (afterFailure === 'goOn') {
      this.#expire(thenMs);
      return;
    }
    const overdue = this.#overdue(thenMs);
    if (overdue === undefined) return;
    const { topic, partition, sinceMs, trouble } = overdue;
    this.#fail(deliveryTimedOut(topic, partition, nowMs - sinceMs, trouble, afterFailure));
  }

  /** Gives up what waits since then. */
  #expire(thenMs: number): void {
    const { deliveryTimeoutMs, afterFailure } = this.#options;
    for (const partition of this.#unacknowledged) {
      const { topic, partition: number, oldestMs, trouble } = partition;
      if (oldestMs === undefined || oldestMs > thenMs) continue;
      this.#sender.expire(partition, thenMs, deliveryTimedOut(topic, number, deliveryTimeoutMs, trouble, afterFailure));
    }
    for (const topic of this.#unrouted.topics()) {
      if (topic.records[0]!.sinceMs > thenMs) continue;
      const { topic: name, trouble } = topic;
      const error = deliveryTimedOut(name, undefined, deliveryTimeoutMs, trouble, afterFailure);
      this.#unrouted.giveUp(topic, error, thenMs);
    }
    this.#settle();
  }

  /** The first found that waits since then. */
  #overdue(thenMs: number) {
    for (const { topic, partition, oldestMs, trouble } of this.#unacknowledged)
      if (oldestMs !== undefined && oldestMs <= thenMs) return { topic, partition, sinceMs: oldestMs, trouble };
    for (const { topic, records, trouble } of this.#unrouted.topics()) {
      const { sinceMs } = records[0]!;
      if (sinceMs <= thenMs) return { topic, partition: undefined, sinceMs, trouble };
    }
    return undefined;
  }

  #hasUpTo(batch: number): boolean {
    for (const partition of this.#unacknowledged) if (partition.hasUpTo(batch)) return true;
    return false;
  }

  #until(done: () => boolean): Promise<void> {
    return this.#failure === undefined ? this.#waiters.until(done) : Promise.reject(this.#failure);
  }

  #settle(): void {
    if (this.#bufferedBytes === 0) this.#watch.rest();
    if (this.#failure === undefined) this.#waiters.look();
  }

  #stopTimers(): void {
    clearTimeout(this.#lingerTimer);
    this.#lingerTimer = undefined;
    this.#watch.rest();
  }

  #fail(error: KafkaError): void {
    this.#failure ??= error;
    this.#stopTimers();
    this.#sender.stop();
    this.#unrouted.giveUpAll(this.#failure);
    for (const partition of this.#topics.all()) partition.tellAll(this.#failure);
    this.#waiters.rejectAll(this.#failure);
  }
}
