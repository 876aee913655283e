/**
 * Fetches assigned partitions into their buffers: one request a broker with every partition it leads, the next one out
 * while the last is processed. Partitions that gave data go to the end of the next request, so none is starved. Leader
 * moves, unknown topics and broker restarts are ridden out with backoff and a warning; nothing of one broker waits for
 * another, nor for the metadata. A round costs time in the number of partitions, not in its square.
 */
import { abortController, Backoff } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import { byTopic, type KafkaCluster } from './cluster.ts';
import { loadZstd } from './compression/index.ts';
import type { KafkaConnections } from './connections.ts';
import { withDefaults } from './defaults.ts';
import { ErrorCode, errorName, isFinal, KafkaConnectionError, type KafkaError } from './errors.ts';
import { Standstill } from './fetch-state.ts';
import { FetchedPartitions } from './fetched-partitions.ts';
import { FETCHER_DEFAULTS, type FetcherOptions } from './fetcher-options.ts';
import { PartitionBuffer } from './partition-buffer.ts';
import { PositionKeeper } from './position-keeper.ts';
import type { TopicPartition } from './record-batch.ts';
import { type FetchPartitionResponse, fetchRequest } from './requests/01-fetch.ts';
import { offsetForLeaderEpochRequest } from './requests/23-offset-for-leader-epoch.ts';
import { RunningClock } from './running-clock.ts';
import { comeBack, standBack } from './stand-back.ts';

/** What of a cluster fetching needs: a test may put its own in its place. */
export type FetcherCluster = Pick<
  KafkaCluster,
  'send' | 'refresh' | 'leaderOf' | 'leaderEpochOf' | 'metadataVersion' | 'logger' | 'close'
> & { readonly connections: Pick<KafkaConnections, 'nodeIds' | 'has' | 'fetchedBytes'> };

/** ms after which a loop that has nothing to ask for looks again. */
const IDLE_MS = 100;
/** ms between two looks at what stands still. */
const WATCH_MS = 500;

export class Fetcher {
  readonly #cluster: FetcherCluster;
  readonly #options: typeof FETCHER_DEFAULTS & FetcherOptions;
  readonly #partitions = new FetchedPartitions();
  readonly #positions: PositionKeeper;
  readonly #loops = new Map<number, Promise<void>>();
  /** By broker: since when its answer is waited for, or why there is none. */
  readonly #brokers = new Map<number, Standstill>();
  /** Lookups on their way: closing waits for them. */
  readonly #background = new Set<Promise<void>>();
  readonly #stop = abortController();
  /** A thread that calls at all calls every now and then: a longer gap is no time in which anything could be fetched. */
  readonly #clock = new RunningClock(1_000);
  #wakers: (() => void)[] = [];
  #waiting: (() => void) | undefined;
  /** Data came since `waitForData` last returned: it may have come before anyone waited. */
  #arrived = false;
  #failure: KafkaError | undefined;
  /** Nothing is fetched any more. */
  #halted = false;
  #started = false;
  #needsLeaders = false;
  #lookingUp = false;
  readonly #lookUpBackoff = new Backoff();
  #nextLookUpMs = 0;
  #staleAtMs = Number.POSITIVE_INFINITY;
  /** The metadata that the buffers' leaders are of; −1: a buffer has come since. */
  #leadersOf = -1;
  #nextWatchMs = 0;

  constructor(cluster: FetcherCluster, options: FetcherOptions = {}) {
    this.#cluster = cluster;
    this.#options = withDefaults(FETCHER_DEFAULTS, options);
    const { resetPolicy, onReset, onTruncated } = this.#options;
    this.#positions = new PositionKeeper(cluster, {
      resetPolicy,
      onReset,
      onTruncated,
      signal: this.#stop.signal,
      onFailure: (error) => this.#fail(error),
    });
  }

  /** What stopped a partition, or all: out of range or truncated under 'none', a broker that is too old. */
  get failure(): KafkaError | undefined {
    return this.#failure;
  }

  /**
   * Starts fetching a partition at `offset`; returns its buffer. One that was fetched already is given up for it.
   * @param offset undefined: where the reset policy says, which is looked up for as long as it takes
   * @param leaderEpoch of the last record before the offset, as it was committed: a log that was truncated below the offset
   *   meanwhile is noticed (KIP-320). −1: not known, nothing is checked
   */
  add({ topic, partition }: TopicPartition, offset: number | undefined, leaderEpoch = -1): PartitionBuffer {
    const before = this.#partitions.get(topic, partition);
    if (before !== undefined) this.remove(before);
    const buffer = new PartitionBuffer(topic, partition, offset, leaderEpoch);
    this.#partitions.add(buffer);
    if (offset === undefined) this.#do(this.#positions.find(buffer));
    this.#needsLeaders = true;
    this.#leadersOf = -1;
    return buffer;
  }

  /** Stops fetching a partition; an answer on its way is dropped. */
  remove(buffer: PartitionBuffer): void {
    buffer.failed = true;
    this.#partitions.delete(buffer);
  }

  /** Looks up leaders of newly added partitions and starts a loop for each broker. */
  async start(): Promise<void> {
    await loadZstd();
    this.#started = true;
    await this.#findLeaders();
    this.wake();
  }

  /** To be called after buffers were drained, resumed or sought: loops that had nothing to ask for look again. */
  wake(): void {
    this.#look();
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

  async close(): Promise<void> {
    this.#stop.abort();
    this.wake();
    this.#waiting?.();
    await this.#cluster.close();
    await Promise.all([...this.#loops.values(), ...this.#background]);
  }

  async #findLeaders(): Promise<void> {
    this.#needsLeaders = false;
    this.#staleAtMs = this.#clock.nowMs + this.#options.metadataMaxAgeMs;
    // Without topics too: the brokers are to be known.
    await this.#cluster.refresh(this.#partitions.topics);
    this.#takeLeaders();
    this.#startLoops();
  }

  /** Cheap, and called often: looks leaders up where that is due, and sees what stands still. */
  #look(): void {
    const now = this.#clock.nowMs;
    if (!this.#started || this.#stop.signal.aborted || this.#halted) return;
    this.#takeLeaders();
    if (now >= this.#staleAtMs) this.#needsLeaders = true;
    if (this.#needsLeaders && !this.#lookingUp && now >= this.#nextLookUpMs) this.#lookUp();
    if (now < this.#nextWatchMs) return;
    this.#nextWatchMs = now + WATCH_MS;
    const { connections, logger } = this.#cluster;
    standBack(this.#partitions, now, { brokers: this.#brokers, connections, holdMs: this.#options.maxWaitMs, logger });
  }

  /** Loops do not wait for it: a broker that does not answer this must not hold up those that have data. */
  #lookUp(): void {
    this.#lookingUp = true;
    this.#do(
      this.#findLeaders()
        .catch((error: unknown) => {
          this.#needsLeaders = true;
          if (isFinal(error)) this.#halt(error);
          else this.#warn(this.#lookUpBackoff, { error: messageOf(error) }, 'looking up leaders failed, trying again');
        })
        .finally(() => {
          this.#lookingUp = false;
          this.#nextLookUpMs = this.#clock.nowMs + this.#lookUpBackoff.nextMs();
        }),
    );
  }

  #takeLeaders(): void {
    const { metadataVersion } = this.#cluster;
    if (this.#leadersOf === metadataVersion) return;
    this.#leadersOf = metadataVersion;
    if (this.#partitions.takeLeaders(this.#cluster)) this.#lookUpBackoff.reset();
    else this.#needsLeaders = true;
  }

  #startLoops(): void {
    for (const nodeId of this.#cluster.connections.nodeIds) {
      if (this.#stop.signal.aborted || this.#halted) return;
      if (this.#loops.has(nodeId)) continue;
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

  async #loop(nodeId: number): Promise<void> {
    const backoff = new Backoff();
    const standstill = new Standstill();
    const { maxBufferedBytesPerPartition, maxBufferedBytes } = this.#options;
    this.#brokers.set(nodeId, standstill);
    while (!this.#stop.signal.aborted && !this.#halted && this.#cluster.connections.has(nodeId)) {
      try {
        this.#look();
        const unvalidated = this.#partitions.unvalidatedAt(nodeId, this.#clock.nowMs);
        if (unvalidated.length > 0) await this.#validate(nodeId, unvalidated, standstill);
        const wanted = this.#partitions.wantedFrom(
          nodeId,
          this.#clock.nowMs,
          maxBufferedBytesPerPartition,
          maxBufferedBytes,
        );
        if (wanted.length > 0 && !this.#partitions.wouldHoldUp(nodeId, wanted))
          await this.#fetch(nodeId, wanted, standstill);
        else if (unvalidated.length === 0) {
          // Nothing is asked for, so that nothing is missing either.
          standstill.clear();
          await this.#idle();
          continue;
        }
        if (standstill.sinceMs === 0) {
          if (backoff.attempt > 0) this.#cluster.logger.info({ nodeId }, 'fetching again');
          backoff.reset();
        }
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        if (isFinal(error)) {
          this.#halt(error);
          break;
        }
        standstill.note(this.#clock.nowMs, messageOf(error));
        this.#warn(backoff, { nodeId, error: messageOf(error) }, 'fetch failed, trying again');
        this.#needsLeaders = true;
        await backoff.wait(this.#stop.signal);
      }
    }
    this.#brokers.delete(nodeId);
  }

  /** Waits until something changed, or a while. */
  async #idle(): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(done, IDLE_MS);
      this.#wakers.push(done);
    });
  }

  async #fetch(nodeId: number, wanted: readonly PartitionBuffer[], standstill: Standstill): Promise<void> {
    const { maxBytes, maxBytesPerPartition, minBytes, maxWaitMs, isolationLevel } = this.#options;
    const topics = byTopic(
      wanted.map(({ topic, partition, fetchOffset, fetching }) => {
        fetching.askedOffset = fetchOffset;
        fetching.askedEpoch = fetching.leaderEpoch;
        return {
          topic,
          partition,
          fetchOffset,
          currentLeaderEpoch: fetching.leaderEpoch,
          maxBytes: maxBytesPerPartition,
        };
      }),
    );
    standstill.note(this.#clock.nowMs, `no answer from broker ${nodeId}`);
    const answer = await this.#cluster.send(
      nodeId,
      fetchRequest(topics, { maxBytes, minBytes, maxWaitMs, isolationLevel }),
    );
    // Whatever it is, the broker says it of the whole request: as if there had been no answer.
    if (answer.errorCode !== ErrorCode.NONE)
      throw new KafkaConnectionError(`Fetching from broker ${nodeId}: it answered ${errorName(answer.errorCode)}.`);
    standstill.clear();
    let served = false;
    for (const response of answer.partitions) {
      const buffer = this.#partitions.get(response.topic, response.partition);
      if (buffer !== undefined && this.#isAnswerTo(buffer, nodeId)) served = this.#take(buffer, response) || served;
    }
    if (!served) return;
    this.#arrived = true;
    this.#waiting?.();
    this.#options.onData?.();
  }

  /** False where it was removed, sought elsewhere, or got another leader, while the request was out. */
  #isAnswerTo({ fetching, fetchOffset, failed }: PartitionBuffer, nodeId: number): boolean {
    const { leader, leaderEpoch, askedOffset, askedEpoch, canBeAsked } = fetching;
    return !failed && canBeAsked && leader === nodeId && leaderEpoch === askedEpoch && fetchOffset === askedOffset;
  }

  /** @returns whether the answer brought something */
  #take(buffer: PartitionBuffer, response: FetchPartitionResponse): boolean {
    const { fetching, fetchOffset: before } = buffer;
    if (response.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
      this.#do(this.#positions.outOfRange(buffer));
      return false;
    }
    if (response.errorCode !== ErrorCode.NONE) {
      // Leader moves, topics unknown for a while, rights taken away: what can come back is waited for.
      this.#retryLater(buffer, response.errorCode);
      return false;
    }
    fetching.backoff.reset();
    comeBack(buffer, this.#cluster.logger);
    buffer.add(response, this.#options.isolationLevel === 'read_committed', this.#options);
    if (buffer.fetchOffset === before && !buffer.failed) return false;
    this.#partitions.moveToEnd(buffer);
    return true;
  }

  /** A partition without a usable leader waits by itself; the others of the broker go on. */
  #retryLater({ topic, partition, fetching }: PartitionBuffer, errorCode: number): void {
    const { backoff, standstill } = fetching;
    const error = errorName(errorCode);
    standstill.note(this.#clock.nowMs, error);
    // Told once, when it stands back.
    this.#cluster.logger.debug({ topic, partition, error }, 'partition not available, looking for its leader');
    fetching.retryAtMs = this.#clock.nowMs + backoff.nextMs();
    this.#needsLeaders = true;
  }

  /** Asks the new leader of each where the log of the position's epoch ends. */
  async #validate(nodeId: number, buffers: readonly PartitionBuffer[], standstill: Standstill): Promise<void> {
    const topics = byTopic(
      buffers.map(({ topic, partition, fetchOffset, fetchEpoch, fetching }) => {
        fetching.askedOffset = fetchOffset;
        fetching.askedEpoch = fetching.leaderEpoch;
        return { topic, partition, currentLeaderEpoch: fetching.leaderEpoch, leaderEpoch: fetchEpoch };
      }),
    );
    standstill.note(this.#clock.nowMs, `no answer from broker ${nodeId}`);
    const answer = await this.#cluster.send(nodeId, offsetForLeaderEpochRequest(topics));
    standstill.clear();
    for (const response of answer.partitions) {
      const buffer = this.#partitions.get(response.topic, response.partition);
      if (buffer === undefined || buffer.failed) continue;
      const { leader, leaderEpoch, askedEpoch, askedOffset } = buffer.fetching;
      if (leader !== nodeId || leaderEpoch !== askedEpoch || buffer.fetchOffset !== askedOffset) continue;
      if (response.errorCode === ErrorCode.NONE) this.#do(this.#positions.validated(buffer, response));
      else this.#retryLater(buffer, response.errorCode);
    }
    for (const buffer of buffers) {
      // The broker left it out: without a pause it would be asked again and again.
      if (buffer.fetching.needsValidation && buffer.fetching.retryAtMs <= this.#clock.nowMs)
        this.#retryLater(buffer, ErrorCode.UNKNOWN_SERVER_ERROR);
    }
  }

  #do(work: Promise<void>): void {
    const done = work
      .catch((error: unknown) => this.#halt(error as KafkaError))
      .finally(() => {
        this.#background.delete(done);
        this.wake();
      });
    this.#background.add(done);
  }

  #warn(backoff: Backoff, fields: object, message: string): void {
    this.#cluster.logger[backoff.attempt === 0 ? 'debug' : 'warn'](fields, message);
  }

  #halt(error: KafkaError): void {
    this.#halted = true;
    this.#fail(error);
    this.wake();
  }

  #fail(error: KafkaError): void {
    this.#failure ??= error;
    this.#waiting?.();
    this.#options.onData?.();
  }
}
