/**
 * Fetches assigned partitions into their buffers: one request a broker with every partition it leads, the next one out
 * while the last is processed. Partitions that gave data go to the end of the next request, so none is starved. Leader
 * moves, unknown topics and broker restarts are ridden out with backoff and a warning.
 */
import { Backoff } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import { byTopic, type KafkaCluster } from './cluster.ts';
import { loadZstd } from './compression/index.ts';
import { ErrorCode, errorName, KafkaError, KafkaProtocolError, OffsetOutOfRangeError } from './errors.ts';
import { listOffset, type OffsetResetPolicy } from './offsets.ts';
import { PartitionBuffer } from './partition-buffer.ts';
import type { BatchOptions, TopicPartition } from './record-batch.ts';
import { fetchRequest } from './requests/01-fetch.ts';

export interface FetcherOptions extends BatchOptions {
  /** Default read_uncommitted, as Kafka's consumer. */
  readonly isolationLevel?: 'read_uncommitted' | 'read_committed';
  /** Bytes a request brings at most, over all partitions (fetch.max.bytes). Default 8 MiB. */
  readonly maxBytes?: number;
  /** Bytes a request brings of one partition at most; a larger batch still comes whole (KIP-74). Default 512 KiB. */
  readonly maxBytesPerPartition?: number;
  /** The broker answers when it has this many bytes. Default 1. */
  readonly minBytes?: number;
  /** ms the broker waits for minBytes. Default 500. */
  readonly maxWaitMs?: number;
  /** A partition with more bytes than this waiting is not asked for. Default 256 KiB. */
  readonly maxBufferedBytesPerPartition?: number;
  /** Bytes waiting over all partitions above which only empty partitions are asked for. Default 64 MiB. */
  readonly maxBufferedBytes?: number;
  /** Where to go on when a position is out of range. */
  readonly resetPolicy?: (topic: string) => OffsetResetPolicy;
  /** A position was reset; 'latest' positions are to be committed at once. */
  readonly onReset?: (at: TopicPartition, offset: number, policy: OffsetResetPolicy) => void;
  /** Data has come, or what stopped the fetching: for a caller that waits for more than this fetcher. */
  readonly onData?: () => void;
}

const IDLE_MS = 100;

export class Fetcher {
  readonly #cluster: KafkaCluster;
  readonly #options: Required<Omit<FetcherOptions, 'onReset' | 'onData' | 'checkCrc' | 'maxDecompressedBytes'>> &
    FetcherOptions;
  /** In the order of the next request. */
  #buffers: PartitionBuffer[] = [];
  readonly #loops = new Map<number, Promise<void>>();
  readonly #stop = new AbortController();
  #wakers: (() => void)[] = [];
  #waiting: (() => void) | undefined;
  /** Data came since `waitForData` last returned: it may have come before anyone waited. */
  #arrived = false;
  #failure: KafkaError | undefined;
  #needsLeaders = false;

  constructor(cluster: KafkaCluster, options: FetcherOptions = {}) {
    this.#cluster = cluster;
    this.#options = {
      isolationLevel: 'read_uncommitted',
      maxBytes: 8 * 1024 * 1024,
      maxBytesPerPartition: 512 * 1024,
      minBytes: 1,
      maxWaitMs: 500,
      maxBufferedBytesPerPartition: 256 * 1024,
      maxBufferedBytes: 64 * 1024 * 1024,
      resetPolicy: () => 'none',
      ...options,
    };
  }

  /** Starts fetching a partition at `offset`; returns its buffer. */
  add({ topic, partition }: TopicPartition, offset: number): PartitionBuffer {
    const buffer = new PartitionBuffer(topic, partition, offset);
    this.#buffers.push(buffer);
    this.#needsLeaders = true;
    return buffer;
  }

  /** Stops fetching a partition; an answer on its way is dropped. */
  remove(buffer: PartitionBuffer): void {
    buffer.failed = true;
    this.#buffers = this.#buffers.filter((other) => other !== buffer);
  }

  /** Looks up leaders of newly added partitions and starts a loop for each broker. */
  async start(): Promise<void> {
    await loadZstd();
    await this.#findLeaders();
    this.wake();
  }

  /** To be called after buffers were drained, resumed or sought: loops that had nothing to ask for look again. */
  wake(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const waker of wakers) waker();
  }

  /** Resolves when data arrived since the last call, after `timeoutMs` at the latest. Throws what stopped the fetching. */
  async waitForData(timeoutMs: number): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#arrived) {
      this.#arrived = false;
      return;
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#waiting = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#waiting = undefined;
    this.#arrived = false;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** What stopped the fetching. */
  get failure(): KafkaError | undefined {
    return this.#failure;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.wake();
    await this.#cluster.close();
    await Promise.all(this.#loops.values());
  }

  async #findLeaders(): Promise<void> {
    this.#needsLeaders = false;
    const topics = [...new Set(this.#buffers.map((b) => b.topic))];
    // Without topics too: the brokers are to be known.
    await this.#cluster.refresh(topics);
    this.#startLoops();
  }

  #startLoops(): void {
    if (this.#stop.signal.aborted) return;
    for (const nodeId of this.#cluster.connections.nodeIds) {
      if (!this.#loops.has(nodeId)) {
        this.#loops.set(
          nodeId,
          // In a turn of its own: a loop's first step may come here again.
          Promise.resolve()
            .then(() => this.#loop(nodeId))
            .finally(() => {
              this.#loops.delete(nodeId);
              // This broker left the cluster: its partitions are led elsewhere now.
              this.#startLoops();
            }),
        );
      }
    }
  }

  async #loop(nodeId: number): Promise<void> {
    const backoff = new Backoff();
    while (!this.#stop.signal.aborted && this.#cluster.connections.nodeIds.includes(nodeId)) {
      try {
        if (this.#needsLeaders) await this.#findLeaders();
        this.#startLoops();
        const wanted = this.#wantedFrom(nodeId);
        if (wanted.length === 0 || this.#wouldHoldUp(nodeId, wanted)) {
          await this.#idle();
          continue;
        }
        await this.#fetch(nodeId, wanted);
        if (backoff.attempt > 0) this.#cluster.logger.info({ nodeId }, 'fetching again');
        backoff.reset();
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (error instanceof KafkaError && !error.retriable) {
          this.#fail(error);
          return;
        }
        this.#warn(backoff, { nodeId, error: messageOf(error) }, 'fetch failed, trying again');
        this.#needsLeaders = true;
        await backoff.wait(this.#stop.signal);
      }
    }
  }

  #wantedFrom(nodeId: number): PartitionBuffer[] {
    const { maxBufferedBytesPerPartition, maxBufferedBytes } = this.#options;
    let total = 0;
    for (const buffer of this.#buffers) total += buffer.bufferedBytes;
    const now = Date.now();
    return this.#buffers.filter((buffer) => {
      if (buffer.retryAtMs > now || buffer.paused || buffer.failed || buffer.resetting) return false;
      if (buffer.bufferedBytes > (total > maxBufferedBytes ? 0 : maxBufferedBytesPerPartition)) return false;
      const leader = this.#cluster.leaderOf(buffer.topic, buffer.partition);
      if (leader < 0) this.#needsLeaders = true;
      return leader === nodeId;
    });
  }

  /**
   * The broker would hold this request back for maxWaitMs, since nothing asked for has data, while a partition whose
   * buffer is full now has more: its next fetch would have to wait behind.
   */
  #wouldHoldUp(nodeId: number, wanted: readonly PartitionBuffer[]): boolean {
    if (wanted.some((buffer) => buffer.expectsMore)) return false;
    return this.#buffers.some(
      (buffer) =>
        buffer.expectsMore &&
        !buffer.paused &&
        !wanted.includes(buffer) &&
        this.#cluster.leaderOf(buffer.topic, buffer.partition) === nodeId,
    );
  }

  /** Waits until something changed; leaders that are still unknown are asked for again. */
  async #idle(): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(done, IDLE_MS);
      this.#wakers.push(done);
    });
    if (this.#buffers.some((b) => !b.failed && this.#cluster.leaderOf(b.topic, b.partition) < 0))
      this.#needsLeaders = true;
  }

  async #fetch(nodeId: number, wanted: readonly PartitionBuffer[]): Promise<void> {
    const { maxBytes, maxBytesPerPartition, minBytes, maxWaitMs, isolationLevel } = this.#options;
    const asked = new Map(wanted.map((buffer) => [buffer, buffer.fetchOffset]));
    const topics = byTopic(
      wanted.map((buffer) => ({
        topic: buffer.topic,
        partition: buffer.partition,
        currentLeaderEpoch: -1,
        fetchOffset: buffer.fetchOffset,
        maxBytes: maxBytesPerPartition,
      })),
    );
    const answer = await this.#cluster.send(
      nodeId,
      fetchRequest(topics, { maxBytes, minBytes, maxWaitMs, isolationLevel }),
    );
    if (answer.errorCode !== ErrorCode.NONE)
      throw new KafkaProtocolError(answer.errorCode, `Fetching from broker ${nodeId}`);
    const served = new Set<PartitionBuffer>();
    for (const response of answer.partitions) {
      const buffer = wanted.find((b) => b.partition === response.partition && b.topic === response.topic);
      // Removed, or sought elsewhere, while the request was out.
      if (buffer === undefined || !this.#buffers.includes(buffer) || buffer.fetchOffset !== asked.get(buffer)) continue;
      if (response.errorCode === ErrorCode.NONE) {
        const before = buffer.fetchOffset;
        buffer.backoff.reset();
        buffer.add(response, isolationLevel === 'read_committed', this.#options);
        if (buffer.fetchOffset !== before || buffer.failed) served.add(buffer);
      } else if (response.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
        void this.#reset(buffer);
      } else {
        // Leader moves, topics unknown for a while, rights taken away: what can come back is waited for.
        this.#standBack(buffer, response.errorCode);
      }
    }
    if (served.size > 0) {
      this.#buffers = [...this.#buffers.filter((b) => !served.has(b)), ...served];
      this.#arrived = true;
      this.#waiting?.();
      this.#options.onData?.();
    }
  }

  /** A partition without a usable leader waits by itself; the others of the broker go on. */
  #standBack(buffer: PartitionBuffer, errorCode: number): void {
    const { topic, partition, backoff } = buffer;
    this.#warn(
      backoff,
      { topic, partition, error: errorName(errorCode) },
      'partition not available, looking for its leader',
    );
    buffer.retryAtMs = Date.now() + backoff.nextMs();
    this.#needsLeaders = true;
  }

  async #reset(buffer: PartitionBuffer): Promise<void> {
    const policy = this.#options.resetPolicy(buffer.topic);
    const { topic, partition } = buffer;
    if (policy === 'none') {
      this.#fail(new OffsetOutOfRangeError(topic, partition, buffer.fetchOffset));
      return;
    }
    buffer.resetting = true;
    const backoff = new Backoff();
    while (!this.#stop.signal.aborted && !buffer.failed) {
      try {
        const offset = await listOffset(this.#cluster, { topic, partition }, policy);
        this.#cluster.logger.warn(
          { topic, partition, from: buffer.fetchOffset, to: offset },
          `position out of range, reset to ${policy}`,
        );
        buffer.seek(offset);
        buffer.resetting = false;
        this.#options.onReset?.({ topic, partition }, offset, policy);
        this.wake();
        return;
      } catch (error) {
        this.#warn(
          backoff,
          { topic, partition, error: messageOf(error) },
          'looking up a position failed, trying again',
        );
        await backoff.wait(this.#stop.signal);
      }
    }
  }

  #warn(backoff: Backoff, fields: object, message: string): void {
    this.#cluster.logger[backoff.attempt === 0 ? 'debug' : 'warn'](fields, message);
  }

  #fail(error: KafkaError): void {
    this.#failure ??= error;
    this.#waiting?.();
    this.#options.onData?.();
  }
}
