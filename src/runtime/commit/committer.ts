/**
 * A commit: flush caches, finish what was begun, send the positions, write the databases. Its outcome says whether the
 * group still had the member; where it had not, nothing of the round is kept, and the tasks are another's.
 *
 * At least once: a crash between two of the steps repeats records and never loses one.
 */
import { Backoff, settlesBefore } from '../../backoff.ts';
import { messageOf } from '../../errors.ts';
import {
  commitOffsets,
  type Generation,
  type KafkaCluster,
  KafkaError,
  MemberFencedError,
  type OffsetAndMetadata,
  partitionKey,
  type TopicPartition,
} from '../../kafka/index.ts';
import type { Logger } from '../../logger.ts';
import { monotonicMs } from '../../monotonic.ts';
import { interrupted, timedOut } from '../retry.ts';
import type { Task } from '../task/task.ts';
import { positionsOf } from './positions.ts';

/** `fenced`: the group has gone on without this member, what it has open may be another's already. */
export type CommitOutcome = 'committed' | 'fenced';

export interface CommitterOptions {
  readonly cluster: KafkaCluster;
  readonly logger: Logger;
  /** Ends a commit that gets no further: the application is being closed, and has waited long enough. */
  readonly signal: AbortSignal;
  /** ms after which positions that cannot be committed are an error (task.timeout.ms). */
  readonly taskTimeoutMs: number;
  /** What must be done before positions may go out: records written and acknowledged. */
  finish(): Promise<void>;
  /** By changelog topic, the offset behind what the task's database will reflect. */
  changelogPositions(task: Task): ReadonlyMap<string, number>;
  /** The broker does not know these partitions any more. */
  onGone(partitions: readonly TopicPartition[]): void;
  /** Called in every turn: the thread is waiting, not hanging. */
  alive(): void;
}

type Position = TopicPartition & OffsetAndMetadata;

/** ms after which a database that nothing is written to says anew that it is up to date: state is rebuilt for its age. */
const TOUCH_MS = 600_000;
/** Tries after which a partition that the broker does not know is taken for deleted: brokers learn of topics late. */
const UNKNOWN_TRIES = 6;

export class Committer {
  readonly #options: CommitterOptions;
  /** Partitions that were deleted: their positions are not sent any more. */
  readonly #gone = new Set<string>();

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /**
   * @param generation the one that the tasks were assigned in: its identity is what the positions are committed with
   * @throws what stopped the producer; StreamsError MILLRACE_RUNTIME_TASK_TIMEOUT, MILLRACE_RUNTIME_INTERRUPTED
   */
  async commit(wanted: readonly Task[], generation: Generation): Promise<CommitOutcome> {
    const { finish, signal } = this.#options;
    if (generation.lost.aborted) return 'fenced';
    for (const task of wanted) task.flush();
    // What a cache held back may have begun a batch: no position is committed in the middle of one.
    const tasks = wanted.filter((task) => task.isCommittable);
    if (tasks.length === 0) return 'committed';
    if (!(await settlesBefore(finish(), generation.lost, signal))) {
      if (generation.lost.aborted) return 'fenced';
      throw interrupted('writing');
    }
    const outcome = await this.#commitPositions(tasks.flatMap(positionsOf), generation);
    if (outcome === 'fenced') return outcome;
    await this.#writeDatabases(tasks);
    for (const task of tasks) task.committed();
    return outcome;
  }

  /** Partitions that were gone are asked for again: they may have been made anew. */
  forgetGone(): void {
    this.#gone.clear();
  }

  async #commitPositions(positions: readonly Position[], generation: Generation): Promise<CommitOutcome> {
    const { cluster, logger, signal, taskTimeoutMs, alive } = this.#options;
    const backoff = new Backoff();
    const deadline = monotonicMs() + taskTimeoutMs;
    let open = positions.filter((at) => !this.#gone.has(partitionKey(at)));
    for (let unknownTries = 0; open.length > 0; ) {
      if (generation.lost.aborted) return 'fenced';
      if (signal.aborted) throw interrupted('committing');
      try {
        const unknown = await commitOffsets(cluster, generation, open);
        if (unknown.length === 0) break;
        open = open.filter((at) => unknown.some((other) => partitionKey(other) === partitionKey(at)));
        if (++unknownTries >= UNKNOWN_TRIES) {
          this.#drop(unknown);
          break;
        }
      } catch (error) {
        if (error instanceof MemberFencedError) {
          logger.warn({ code: error.code }, error.message);
          return 'fenced';
        }
        if (!(error instanceof KafkaError) || !error.retriable) throw error;
        if (monotonicMs() >= deadline) throw timedOut('Committing', taskTimeoutMs, error);
        logger[backoff.attempt < 2 ? 'debug' : 'warn']({ error: messageOf(error) }, 'committing failed, trying again');
      }
      alive();
      await backoff.wait(signal, generation.lost);
    }
    return 'committed';
  }

  #drop(partitions: readonly TopicPartition[]): void {
    const names = partitions.map(partitionKey);
    for (const name of names) this.#gone.add(name);
    this.#options.logger.warn({ partitions: names }, 'partitions are gone, their positions are not committed any more');
    this.#options.onGone(partitions);
  }

  /** The databases write in threads of their own, side by side. */
  async #writeDatabases(tasks: readonly Task[]): Promise<void> {
    const results = await Promise.allSettled(
      tasks.map(async (task) => {
        const isDirty = task.dirty || task.commitRequested;
        if (!isDirty && monotonicMs() - task.writtenAtMs < TOUCH_MS) return;
        task.writtenAtMs = monotonicMs();
        task.dirty = false;
        task.commitRequested = false;
        if (isDirty) await task.state.commit(this.#options.changelogPositions(task), Date.now());
        else await task.state.touch(Date.now());
      }),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}
