/**
 * What goes on beside the record path in one task: calls of `mapAsync` and batches of `forEachBatch`. Their promises only
 * leave something to be picked up here; the thread does that in its turn.
 *
 * The batches of a task end together. From then until their positions are committed the task processes, delivers and
 * punctuates nothing: a position may not be committed in the middle of a batch.
 */
import { partitionKey } from '../../kafka/index.ts';
import { SchemaPendingError } from '../../serdes/index.ts';
import {
  type AsynchronousOperator,
  type BatchOperator,
  type BatchPosition,
  isBatchOperator,
} from '../../topology/index.ts';
import type { RecordQueue } from './record-queue.ts';

export class AsynchronousWork {
  readonly #operators: AsynchronousOperator[] = [];
  readonly #batches: BatchOperator[] = [];
  /** By partition, what a target system remembers after the last batch. */
  readonly #remembered = new Map<string, number>();
  /** `handled`: stored, and to be committed. */
  #batch: 'gathering' | 'handling' | 'handled' = 'gathering';
  #failure: { readonly error: unknown } | undefined;

  add(operator: AsynchronousOperator): void {
    this.#operators.push(operator);
    if (isBatchOperator(operator)) this.#batches.push(operator);
  }

  /** True where the task is to process no record now. */
  get isFull(): boolean {
    return this.#batch !== 'gathering' || this.#operators.some((operator) => operator.isFull);
  }

  /** True from the end of a batch until its positions are committed. */
  get isFrozen(): boolean {
    return this.#batch !== 'gathering';
  }

  /** True where positions would be in the middle of a batch. */
  get hasOpenBatch(): boolean {
    return this.#batch === 'handling' || this.#batches.some(({ size }) => size > 0);
  }

  get isHandled(): boolean {
    return this.#batch === 'handled';
  }

  /** True while functions of the user's run, or their results wait. */
  get isBusy(): boolean {
    return this.#batch === 'handling' || this.#failure !== undefined || this.#operators.some(({ isBusy }) => isBusy);
  }

  isBatchDue(nowMs: number): boolean {
    return this.#batch === 'gathering' && this.#batches.some((batch) => batch.isDue(nowMs));
  }

  /** @param signal the task is being closed */
  async resume(signal: AbortSignal): Promise<void> {
    for (const operator of this.#operators) {
      for (let resumed = false; !resumed && !signal.aborted; ) {
        try {
          await operator.resume?.();
          resumed = true;
        } catch (error) {
          if (!(error instanceof SchemaPendingError)) throw error;
          await error.resolve(signal);
        }
      }
    }
  }

  /** @throws what ends the task */
  deliver(): number {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.isFrozen) return 0;
    let delivered = 0;
    for (const operator of this.#operators) delivered += operator.deliver?.() ?? 0;
    return delivered;
  }

  /**
   * Ends the batches: their handlers run, behind what the task wrote before.
   * @param signal the task is closed: what becomes of them is nobody's any more
   */
  endBatch(
    queues: readonly RecordQueue[],
    { written, signal, onEnd }: { written(): Promise<void>; readonly signal: AbortSignal; onEnd(): void },
  ): void {
    this.#batch = 'handling';
    let positions = this.#positions(queues);
    const handled = async (): Promise<void> => {
      for (;;) {
        // Calls that are pending, and state, must not be lost where the positions are kept elsewhere.
        await written();
        await Promise.all(this.#batches.map((batch) => batch.handle(positions)));
        if (this.#batches.every(({ size }) => size === 0)) return;
        // Nothing should come meanwhile; what does is a batch behind this one, at the same positions.
        positions = positions.map((at) => ({ ...at, expected: at.next }));
      }
    };
    handled().then(
      () => {
        this.#batch = 'handled';
        if (!signal.aborted) onEnd();
      },
      (error: unknown) => {
        if (signal.aborted) return;
        this.#failure = { error };
        onEnd();
      },
    );
  }

  /**
   * A commit is done: the batch that it was for has its positions, the next one begins, and what was handed on before is safe.
   * @returns true where stores were written to, for the next commit: a deletion in the database that the changelog does not
   *   have yet would be a record that comes back on another machine
   */
  committed(queues: readonly RecordQueue[]): boolean {
    let wrote = false;
    for (const operator of this.#operators) if (operator.outputsAcknowledged?.() === true) wrote = true;
    if (this.#batch === 'handled') {
      this.#batch = 'gathering';
      for (const queue of queues)
        if (queue.position >= 0) this.#remembered.set(partitionKey(queue.source), queue.position);
    }
    return wrote;
  }

  /** What a target system remembers of the task's input partitions: where the task begins. */
  remembered(positions: ReadonlyMap<string, number>): void {
    for (const [partition, offset] of positions) this.#remembered.set(partition, offset);
  }

  hold(held: boolean): void {
    for (const operator of this.#operators) operator.hold?.(held);
  }

  beforeFlush(): void {
    for (const operator of this.#operators) operator.beforeFlush?.();
  }

  #positions(queues: readonly RecordQueue[]): BatchPosition[] {
    const known = queues.filter(({ position }) => position >= 0);
    return known.map(({ source: { topic, partition }, position }) => ({
      topic,
      partition,
      expected: this.#remembered.get(partitionKey({ topic, partition })) ?? null,
      next: position,
    }));
  }
}
