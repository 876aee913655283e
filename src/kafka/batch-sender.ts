/**
 * Sends the producer's batches: which go now, what becomes of their answers, and under which producer id. A partition whose
 * batch could not be written holds off by itself while its leader is looked up; the others go on.
 */
import { messageOf } from '../errors.ts';
import type { KafkaCluster } from './cluster.ts';
import { ErrorCode, errorName, isFinal, type KafkaError, KafkaProtocolError } from './errors.ts';
import { isOfSingleRecords, leavesOpen, outcomeUnknown, refused } from './produce-errors.ts';
import { planRequests } from './produce-plan.ts';
import { untilProducerId } from './producer-ids.ts';
import type { AfterFailure } from './producer-options.ts';
import type { Identity, PendingBatch, ProducerPartition } from './producer-partition.ts';
import type { ProducerTopics } from './producer-topics.ts';
import { type ProducePartitionResponse, produceRequest } from './requests/00-produce.ts';
import { RunningClock } from './running-clock.ts';

/** ms between two warnings: with many partitions of a broker that is away, one says it. */
const WARN_MS = 1_000;
/** Tries of a partition that are not worth a warning: leaders move. */
const QUIET_TRIES = 2;

export interface BatchSenderOptions {
  readonly cluster: Pick<KafkaCluster, 'send' | 'sendToAny' | 'refresh' | 'leaderOf' | 'topic' | 'logger'>;
  readonly topics: ProducerTopics;
  /** Partitions with records that are not acknowledged; those that have none any more are taken out. */
  readonly unacknowledged: Set<ProducerPartition>;
  readonly requestTimeoutMs: number;
  /** `goOn`: what cannot be delivered is given up by itself; `onFailure` is not called. */
  readonly afterFailure: AfterFailure;
  readonly signal: AbortSignal;
  /** Bytes more that wait to be acknowledged; negative: that do not any more. */
  onBytes(delta: number): void;
  /** The answers of a request are taken over. */
  onAnswers(): void;
  onFailure(error: KafkaError): void;
}

export class BatchSender {
  readonly #options: BatchSenderOptions;
  readonly #clock = new RunningClock();
  /** Partitions with batches to send, in order of who goes first. */
  readonly #waiting = new Set<ProducerPartition>();
  readonly #inFlightByNode = new Map<number, number>();
  /** Topics whose leaders are to be looked up. */
  readonly #troubled = new Set<string>();
  /** What partitions begin to write under; each keeps its own until the broker has lost it. Undefined: none was got yet. */
  #identity: Identity | undefined;
  /** Another one after each `discard()`: the answers to what went out before it say nothing. */
  #era = 0;
  #renewing = false;
  #refreshing = false;
  #pumpScheduled = false;
  #retryTimer: NodeJS.Timeout | undefined;
  #nextWarningMs = 0;
  #isStarted = false;
  #isStopped = false;

  constructor(options: BatchSenderOptions) {
    this.#options = options;
  }

  /** For partitions that have none yet; undefined: batches wait for it. */
  get identity(): Identity | undefined {
    return this.#identity;
  }

  /** From now on batches go, under this producer id. */
  start(identity: Identity): void {
    this.#isStarted = true;
    this.#stamp(identity);
    this.pump();
  }

  /** The partition has a batch to send. */
  add(partition: ProducerPartition): void {
    this.#waiting.add(partition);
    // Where a new id could not be got, what waited for it was given up.
    if (partition.needsNewIdentity) this.#renewWhereReady(partition);
    else if (this.#identity === undefined && this.#isStarted) this.#renewIdentity();
  }

  /** Gives up what waits in a partition since then. */
  expire(partition: ProducerPartition, thenMs: number, error: KafkaError): void {
    for (const batch of partition.overdue(thenMs)) this.#giveUp(batch, error);
  }

  /** Sends what may go in this turn, once it is over. */
  schedulePump(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      this.pump();
    });
  }

  /** Sends what may go now: per broker at most five requests, per partition in order. */
  pump(): void {
    const { cluster } = this.#options;
    const leaderOf = (at: ProducerPartition): number => cluster.leaderOf(at.topic, at.partition);
    while (!this.#isStopped && this.#identity !== undefined) {
      const now = this.#clock.nowMs;
      const { requests, leaderless, nextAtMs } = planRequests(
        this.#waiting,
        leaderOf,
        this.#inFlightByNode,
        now,
        Date.now(),
      );
      for (const partition of leaderless) {
        const errorCode = cluster.topic(partition.topic)?.errorCode ?? ErrorCode.NONE;
        this.#holdOff(partition, errorCode === ErrorCode.NONE ? 'it has no leader' : errorName(errorCode));
      }
      for (const [node, batches] of requests) void this.#produce(node, batches);
      // What did not fit into these requests goes with the next ones, as long as there are any.
      if (requests.size > 0 || leaderless.length > 0) continue;
      clearTimeout(this.#retryTimer);
      if (nextAtMs !== Number.POSITIVE_INFINITY) this.#retryTimer = setTimeout(() => this.pump(), nextAtMs - now);
      return;
    }
  }

  /** The partitions have dropped their batches: forgets those that are out, and goes on under a new producer id. */
  discard(): void {
    this.#era++;
    this.#waiting.clear();
    this.#inFlightByNode.clear();
    clearTimeout(this.#retryTimer);
    this.#identity = undefined;
    if (this.#isStarted) this.#renewIdentity();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#retryTimer);
  }

  /** Looks up the leaders of these topics. One request at a time, and no batch waits for it. */
  refresh(topics: Iterable<string>): void {
    for (const topic of topics) this.#troubled.add(topic);
    if (this.#refreshing || this.#isStopped || this.#troubled.size === 0) return;
    this.#refreshing = true;
    const { cluster, topics: known } = this.#options;
    const wanted = [...this.#troubled];
    this.#troubled.clear();
    cluster
      .refresh(wanted)
      .then(() => known.adopt())
      .catch((error: unknown) => {
        if (isFinal(error) && !this.#goesOn) this.#options.onFailure(error);
        cluster.logger.debug({ error: messageOf(error) }, 'no broker to ask for leaders, trying again');
      })
      .finally(() => {
        this.#refreshing = false;
        this.pump();
      });
  }

  async #produce(node: number, batches: readonly PendingBatch[]): Promise<void> {
    const era = this.#era;
    this.#inFlightByNode.set(node, (this.#inFlightByNode.get(node) ?? 0) + 1);
    const sent = this.#sent(batches);
    const topics = [...sent].map(([topic, partitions]) => ({
      topic,
      partitions: [...partitions].map(([partition, { bytes }]) => ({ partition, batch: bytes })),
    }));
    const onOut = (): void => {
      for (const batch of batches) batch.isOut = true;
    };
    const { cluster, requestTimeoutMs: timeoutMs, onAnswers, onFailure } = this.#options;
    let why = 'the broker left it out of its answer';
    try {
      const answer = await cluster.send(node, produceRequest(topics, { timeoutMs, onOut }));
      if (era !== this.#era) return;
      for (const response of answer.partitions) {
        const partitions = sent.get(response.topic);
        const batch = partitions?.get(response.partition);
        if (batch === undefined) continue;
        partitions!.delete(response.partition);
        this.#answered(batch, response, node);
      }
    } catch (error) {
      if (era !== this.#era) return;
      if (isFinal(error)) {
        if (!this.#goesOn) {
          onFailure(error);
          return;
        }
        for (const batch of batches) this.#giveUp(batch, error);
      }
      why = messageOf(error);
    }
    this.#inFlightByNode.set(node, this.#inFlightByNode.get(node)! - 1);
    for (const unanswered of sent.values())
      for (const batch of unanswered.values()) this.#retry(batch, why, batch.isOut);
    this.pump();
    onAnswers();
  }

  /** The batches of a request by topic and partition. Their partitions go behind those whose batches did not fit. */
  #sent(batches: readonly PendingBatch[]): Map<string, Map<number, PendingBatch>> {
    const sent = new Map<string, Map<number, PendingBatch>>();
    for (const batch of batches) {
      const { owner } = batch;
      this.#waiting.delete(owner);
      if (owner.hasReady) this.#waiting.add(owner);
      const partitions = sent.get(owner.topic);
      if (partitions === undefined) sent.set(owner.topic, new Map([[owner.partition, batch]]));
      else partitions.set(owner.partition, batch);
    }
    return sent;
  }

  #answered(batch: PendingBatch, response: ProducePartitionResponse, node: number): void {
    const { owner } = batch;
    const { errorCode } = response;
    batch.isOut = false;
    switch (errorCode) {
      case ErrorCode.NONE:
      case ErrorCode.DUPLICATE_SEQUENCE_NUMBER:
        this.#written(batch, response, node);
        break;
      case ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER:
      case ErrorCode.UNKNOWN_PRODUCER_ID:
      case ErrorCode.INVALID_PRODUCER_EPOCH: {
        // Behind a batch that failed this is expected; at the front the broker has lost the producer's state.
        const isFront = owner.isFront(batch);
        if (isFront) owner.needsNewIdentity = true;
        this.#retry(batch, isFront || owner.trouble === '' ? errorName(errorCode) : owner.trouble, false);
        break;
      }
      case ErrorCode.MESSAGE_TOO_LARGE:
      case ErrorCode.RECORD_LIST_TOO_LARGE:
        if (batch.recordCount === 1) this.#refused(batch, response, batch.listeners?.[0] !== undefined);
        else this.#split(batch);
        break;
      default:
        if (new KafkaProtocolError(errorCode, '').retriable)
          this.#retry(batch, errorName(errorCode), leavesOpen(errorCode));
        else if (this.#goesOn && batch.recordCount > 1 && isOfSingleRecords(errorCode)) this.#split(batch);
        else this.#refused(batch, response);
    }
    this.#renewWhereReady(owner);
  }

  /** @param isTold one record, and whoever sent it is told by itself: no reason to stop */
  #refused(batch: PendingBatch, response: ProducePartitionResponse, isTold = false): void {
    const error = refused(batch, response);
    if (!this.#goesOn && !isTold) {
      this.#options.onFailure(error);
      return;
    }
    if (leavesOpen(response.errorCode)) batch.mayBeWritten = true;
    this.#drop(batch);
    batch.owner.giveUp(batch, error);
  }

  #split(batch: PendingBatch): void {
    const { owner } = batch;
    if (batch.isGivenUp) {
      this.#drop(batch);
      return;
    }
    this.#options.onBytes(owner.split(batch));
    this.#waiting.add(owner);
  }

  get #goesOn(): boolean {
    return this.#options.afterFailure === 'goOn';
  }

  /**
   * Tells who asks for its records, and drops it, at once or when its request has ended: the partition cannot go on under
   * another id before that. What comes behind it keeps its sequences, so that the broker says whether there is a gap: if it
   * was written, there is none.
   */
  #giveUp(batch: PendingBatch, error: KafkaError): void {
    const { owner } = batch;
    owner.giveUp(batch, error);
    if (!owner.isInFlight(batch)) this.#drop(batch);
  }

  #drop(batch: PendingBatch): void {
    const { owner, bytes } = batch;
    owner.drop(batch);
    if (!owner.hasReady) this.#waiting.delete(owner);
    if (owner.oldestMs === undefined) this.#options.unacknowledged.delete(owner);
    this.#options.onBytes(-bytes.length);
  }

  #written(batch: PendingBatch, { baseOffset, logAppendTimeMs }: ProducePartitionResponse, node: number): void {
    const { owner, maxTimestamp, bytes } = batch;
    owner.done(batch, baseOffset, node, logAppendTimeMs >= 0 ? logAppendTimeMs : maxTimestamp, Date.now());
    if (owner.oldestMs === undefined) this.#options.unacknowledged.delete(owner);
    this.#options.onBytes(-bytes.length);
  }

  /** @param isOpen whether it is written */
  #retry(batch: PendingBatch, why: string, isOpen: boolean): void {
    const { owner } = batch;
    batch.isOut = false;
    if (isOpen) batch.mayBeWritten = true;
    if (batch.isGivenUp) this.#drop(batch);
    else {
      owner.retry(batch);
      this.#waiting.add(owner);
    }
    this.#holdOff(owner, why);
    this.#renewWhereReady(owner);
  }

  #holdOff(partition: ProducerPartition, why: string): void {
    const now = this.#clock.nowMs;
    const { topic, partition: number, backoff } = partition;
    partition.holdOff(now, why);
    const isWarning = backoff.attempt > QUIET_TRIES && now >= this.#nextWarningMs;
    if (isWarning) this.#nextWarningMs = now + WARN_MS;
    this.#options.cluster.logger[isWarning ? 'warn' : 'debug'](
      { topic, partition: number, error: why, partitionsWaiting: this.#waiting.size },
      'writing failed, trying again',
    );
    this.refresh([topic]);
  }

  /** Of those in flight none may be written under the old id once the partition goes on under a new one. */
  #renewWhereReady({ needsNewIdentity, inFlightCount, topic, partition, hasGap }: ProducerPartition): void {
    if (!needsNewIdentity || inFlightCount > 0 || this.#renewing) return;
    const why = hasGap ? 'records before were given up' : 'the broker no longer knows this producer';
    this.#options.cluster.logger[hasGap ? 'info' : 'warn'](
      { topic, partition },
      `${why}; going on under a new producer id`,
    );
    this.#renewIdentity();
  }

  #renewIdentity(): void {
    const { cluster, signal } = this.#options;
    if (this.#renewing || this.#isStopped) return;
    this.#renewing = true;
    untilProducerId(cluster, { signal })
      .then(
        (identity) => {
          this.#renewing = false;
          this.#stamp(identity);
          if (this.#needsIdentity()) this.#renewIdentity();
        },
        (error: unknown) => {
          this.#renewing = false;
          if (!signal.aborted) this.#notRenewed(error as KafkaError);
        },
      )
      .finally(() => this.pump());
  }

  /** What waits for the new id is given up; what comes asks for one again. */
  #notRenewed(error: KafkaError): void {
    const { unacknowledged, onFailure, onAnswers } = this.#options;
    if (!this.#goesOn) {
      onFailure(error);
      return;
    }
    for (const partition of unacknowledged)
      if (isWaitingForIdentity(partition)) for (const batch of partition.ready()) this.#giveUp(batch, error);
    onAnswers();
  }

  #needsIdentity(): boolean {
    if (this.#identity === undefined) return true;
    for (const partition of this.#options.unacknowledged)
      if (isWaitingForIdentity(partition) && partition.hasReady) return true;
    return false;
  }

  /** Only where it is needed: what may have been written under an older id would be written twice under this one. */
  #stamp(identity: Identity): void {
    this.#identity = identity;
    for (const partition of this.#options.unacknowledged) {
      if (!isWaitingForIdentity(partition)) continue;
      if (this.#goesOn) this.#giveUpUncertain(partition);
      partition.restamp(identity);
    }
  }

  /** What may have been written would be written twice. */
  #giveUpUncertain(partition: ProducerPartition): void {
    for (const batch of partition.ready())
      if (batch.mayBeWritten) this.#giveUp(batch, outcomeUnknown(partition.topic, partition.partition));
  }
}

/** Of its batches none can be written under the old id any more. */
function isWaitingForIdentity({ identity, needsNewIdentity, inFlightCount }: ProducerPartition): boolean {
  return identity === undefined || (needsNewIdentity && inFlightCount === 0);
}
