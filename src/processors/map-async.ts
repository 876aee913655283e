/**
 * `mapAsync`: hands each record to an asynchronous function and its result on, in one of the task's later turns. No
 * equivalent in Kafka Streams.
 *
 * A record is in the pending store from when it comes until its result is safe, so a commit waits for no call, and a call
 * under way when the process dies is issued again. A call that ends before the first flush behind it leaves nothing in the
 * changelog. One that was logged is deleted only when the brokers have acknowledged what came of it: a deletion that
 * reached the changelog before its result reached the topic would lose the result.
 */
import { attempt, Retry, type RetryPolicy } from '../attempts.ts';
import { latin1 } from '../bytes.ts';
import { messageOf } from '../errors.ts';
import { type Serde, serialize } from '../serdes/index.ts';
import type { LiveStore } from '../state/index.ts';
import {
  type AsynchronousEnvironment,
  type AsynchronousOperator,
  type CallContext,
  type ErrorPolicy,
  type ProcessingContext,
  type ProcessorContext,
  resultOf,
  StreamRecord,
} from '../topology/index.ts';
import { CallLanes } from './call-lanes.ts';
import { callFailed } from './errors.ts';
import type { PendingRecord } from './pending-call.ts';
import { ForwardingProcessor } from './stateless.ts';

export interface MapAsyncSettings<K, V, K2, V2> {
  readonly fn: (key: K, value: V, context: CallContext) => PromiseLike<readonly [K2, V2]>;
  /** What comes of a record that was tried in vain; null: nothing. Undefined: as `errorPolicy` says. */
  readonly onFailure:
    | ((error: unknown, key: K, value: V, context: { readonly attempts: number }) => readonly [K2, V2] | null)
    | undefined;
  readonly store: string;
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  readonly order: 'key' | 'partition' | 'none';
  /** Calls that run at a time, per task. */
  readonly concurrency: number;
  /** Records that wait for their results, per task, past which no more are taken. */
  readonly maxPending: number;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  readonly errorPolicy: ErrorPolicy;
}

/** What is numbered by the clock is still a safe integer. */
const SEQUENCES_A_MS = 1_000;

/** A record that waits for its result. */
class Call<K, V> {
  readonly sequence: number;
  readonly record: PendingRecord<K, V>;
  readonly lane: unknown;
  readonly retry: Retry;

  constructor(sequence: number, record: PendingRecord<K, V>, lane: unknown, retry: Retry) {
    this.sequence = sequence;
    this.record = record;
    this.lane = lane;
    this.retry = retry;
  }
}

type Outcome<K, V, R> =
  | { readonly call: Call<K, V>; readonly result: R }
  | { readonly call: Call<K, V>; readonly error: unknown };

export class MapAsyncProcessor<K, V, K2, V2> extends ForwardingProcessor<K, V, K2, V2> implements AsynchronousOperator {
  readonly #settings: MapAsyncSettings<K, V, K2, V2>;
  readonly #lanes = new CallLanes<Call<K, V>>(({ lane }) => lane);
  #environment!: AsynchronousEnvironment;
  #store!: LiveStore<number, PendingRecord<K, V>, ProcessingContext>;
  /** What came of calls, in the order in which they ended. */
  #outcomes: Outcome<K, V, readonly [K2, V2]>[] = [];
  /** Handed on, but in the changelog still. */
  #delivered: Call<K, V>[] = [];
  #pending = 0;
  #running = 0;
  #nextSequence = 0;
  /** Calls below are in the changelog. */
  #loggedBelow = 0;
  #isHeld = false;
  /** For dead letters. */
  #keepsSource = false;

  constructor(settings: MapAsyncSettings<K, V, K2, V2>) {
    super();
    this.#settings = settings;
  }

  override init(context: ProcessorContext<K2, V2>): void {
    super.init(context);
    this.#environment = this.context.asynchronous(this);
    this.#store = this.context.liveStore(this.#settings.store);
    this.#keepsSource =
      this.#settings.errorPolicy.response === 'continue' && this.#environment.deadLetterTopic !== undefined;
    // By the clock, so that no deletion by an owner before, late on its way, meets a number that is used again.
    this.#nextSequence = this.context.currentSystemTimeMs() * SEQUENCES_A_MS;
  }

  get isFull(): boolean {
    return this.#pending >= this.#settings.maxPending;
  }

  get isBusy(): boolean {
    return this.#running > 0 || this.#outcomes.length > 0;
  }

  hold(held: boolean): void {
    this.#isHeld = held;
    this.#start();
  }

  async resume(): Promise<void> {
    for await (const { key: sequence, value: record } of this.#store.iterations.all()) {
      this.#add(this.#newCall(sequence, record));
      this.#nextSequence = Math.max(this.#nextSequence, sequence + 1);
    }
    this.#loggedBelow = this.#nextSequence;
    this.#start();
  }

  process({ key, value, timestamp, headers }: StreamRecord<K, V>): void {
    const { topic, partition, offset } = this.context.recordMetadata() ?? { topic: null, partition: -1, offset: -1 };
    const source = this.#keepsSource ? this.context.sourceBytes() : null;
    const call = this.#newCall(this.#nextSequence, {
      key,
      value,
      timestamp,
      headers,
      topic,
      partition,
      offset,
      source,
    });
    // Refused by a serde, nothing has happened yet.
    this.#store.putForeign(call.sequence, 0, call.record, timestamp);
    this.#nextSequence++;
    this.#add(call);
    this.#start();
  }

  beforeFlush(): void {
    this.#loggedBelow = this.#nextSequence;
  }

  deliver(): number {
    const outcomes = this.#outcomes;
    if (outcomes.length === 0) return 0;
    this.#outcomes = [];
    for (const outcome of outcomes) {
      const { record } = outcome.call;
      this.context.withContext(record, () => {
        const result = 'error' in outcome ? this.#resultOfFailure(outcome.call, outcome.error) : outcome.result;
        if (result !== null) this.#forward(record, result);
      });
      this.#settle(outcome.call);
    }
    return outcomes.length;
  }

  outputsAcknowledged(): boolean {
    const delivered = this.#delivered;
    if (delivered.length === 0) return false;
    this.#delivered = [];
    for (const call of delivered) this.#delete(call);
    // Now rather than with the next commit: a crash in between would call for them again.
    this.#store.flush();
    return true;
  }

  #newCall(sequence: number, record: PendingRecord<K, V>): Call<K, V> {
    return new Call(sequence, record, this.#laneOf(record), new Retry(this.#settings.retry));
  }

  #laneOf({ key, topic, partition }: PendingRecord<K, V>): unknown {
    const { order, key: serde } = this.#settings;
    if (order === 'none') return undefined;
    if (order === 'partition') return `${topic}-${partition}`;
    if (key === null || key === undefined) return undefined;
    return serde.primitive ? key : latin1(serialize(serde, key, this.#settings.store, 'key')!);
  }

  #add(call: Call<K, V>): void {
    this.#pending++;
    this.#lanes.add(call);
  }

  #start(): void {
    while (!this.#isHeld && this.#running < this.#settings.concurrency) {
      const call = this.#lanes.take();
      if (call === undefined) return;
      this.#running++;
      void this.#run(call);
    }
  }

  /** Never rejects. What comes after the task was closed is nobody's. */
  async #run(call: Call<K, V>): Promise<void> {
    const { fn, timeoutMs } = this.#settings;
    const { signal: closed } = this.#environment;
    const { record, retry } = call;
    retry.begin(this.#environment.monotonicMs());
    try {
      const result = await attempt(
        (signal) => fn(record.key, record.value, this.#contextOf(call, signal)),
        timeoutMs,
        closed,
      );
      this.#ended({ call, result });
    } catch (error) {
      if (!closed.aborted) this.#failed(call, error);
    }
  }

  #contextOf({ record, retry }: Call<K, V>, signal: AbortSignal): CallContext {
    const { applicationId, taskId } = this.context;
    const { timestamp, headers, topic, partition, offset } = record;
    return { applicationId, taskId, attempt: retry.attempts, signal, timestamp, headers, topic, partition, offset };
  }

  #failed(call: Call<K, V>, error: unknown): void {
    const { monotonicMs, delay, signal, logger } = this.#environment;
    const delayMs = call.retry.delayMs(error, monotonicMs());
    if (delayMs === undefined) {
      this.#ended({ call, error });
      return;
    }
    const { topic, partition, offset } = call.record;
    logger[call.retry.attempts < 3 ? 'debug' : 'warn'](
      { node: this.node, topic, partition, offset, attempt: call.retry.attempts, error: messageOf(error) },
      'a call failed, trying again',
    );
    // While it waits others may run, but for those behind it in its lane.
    this.#running--;
    this.#start();
    void delay(delayMs, signal).then(() => {
      if (signal.aborted) return;
      this.#lanes.again(call);
      this.#start();
    });
  }

  #ended(outcome: Outcome<K, V, readonly [K2, V2]>): void {
    this.#running--;
    this.#outcomes.push(outcome);
    this.#lanes.done(outcome.call);
    this.#start();
    this.#environment.ring();
  }

  /** @returns null where nothing comes of it */
  #resultOfFailure(call: Call<K, V>, error: unknown): readonly [K2, V2] | null {
    const { onFailure, errorPolicy } = this.#settings;
    const { key, value, topic, partition, offset } = call.record;
    const { attempts } = call.retry;
    const at = topic === null ? '' : ` at ${topic}-${partition} offset ${offset}`;
    const context = {
      node: this.node,
      taskId: this.context.taskId,
      ...(topic === null ? {} : { topic, partition, offset }),
    };
    const failure = callFailed(error, attempts, at, context);
    if (errorPolicy.response === 'fail' && onFailure === undefined) throw failure;
    const kept = errorPolicy.response === 'continue' && this.#deadLetter(call, failure);
    const result = onFailure === undefined ? null : resultOf(onFailure(error, key, value, { attempts }), this.node);
    if (result === null) this.context.drop('failed');
    this.#environment.logger.warn(
      { ...context, attempts, error: messageOf(error), deadLetter: kept },
      'a call failed for good',
    );
    return result;
  }

  #deadLetter({ record, retry }: Call<K, V>, error: Error): boolean {
    const { topic, partition, offset, timestamp, headers, source } = record;
    const { key, value } = source ?? {
      key: serialize(this.#settings.key, record.key, this.#settings.store, 'key'),
      value: serialize(this.#settings.value, record.value, this.#settings.store, 'value'),
    };
    return this.context.sendDeadLetter({
      topic,
      partition,
      offset,
      timestamp,
      headers,
      key,
      value,
      error,
      attempts: retry.attempts,
    });
  }

  #forward({ timestamp, headers }: PendingRecord<K, V>, result: readonly [K2, V2]): void {
    const { node } = this;
    const [key, value] = resultOf(result, node);
    this.context.forward(new StreamRecord(resultOf(key, node), resultOf(value, node), timestamp, headers));
  }

  /** What came of it is handed on: it is pending no more. */
  #settle(call: Call<K, V>): void {
    this.#pending--;
    if (call.sequence < this.#loggedBelow && !this.#environment.commitsAtomically) this.#delivered.push(call);
    else this.#delete(call);
  }

  #delete({ sequence, record }: Call<K, V>): void {
    this.context.withContext(record, () => this.#store.putForeign(sequence, 0, null, record.timestamp));
  }
}
