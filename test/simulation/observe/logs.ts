/**
 * What the brokers have appended and accepted, in the order in which they did: the truth that everything is compared with.
 * It sees the embedded broker's own calls, so that what is purged, compacted or deleted later stays known here.
 */
import { GroupCoordinator, type OffsetCommit } from '../../../src/embedded/broker/groups/group-coordinator.ts';
import { PartitionLog } from '../../../src/embedded/broker/log/partition-log.ts';
import { RecordBatch } from '../../../src/kafka/index.ts';
import type { Kernel } from '../kernel/kernel.ts';

export interface LogRecord {
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: number;
  /** The append's place among all appends and commits. */
  readonly step: number;
}

/** An unclean election: what a log had from some offset on is lost. */
export interface Truncation {
  readonly topic: string;
  readonly partition: number;
  readonly lost: readonly LogRecord[];
}

export interface Append {
  readonly topic: string;
  readonly partition: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly records: readonly LogRecord[];
  /** Its place among all appends and commits. */
  readonly step: number;
  readonly atUs: number;
}

export interface Commit {
  readonly groupId: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly step: number;
  readonly atUs: number;
}

export class Logs {
  readonly appends: ((append: Append) => void)[] = [];
  readonly commits: ((commit: Commit) => void)[] = [];
  readonly truncations: ((truncation: Truncation) => void)[] = [];
  /** Appends and commits so far. */
  steps = 0;
  readonly #kernel: Kernel;
  readonly #records = new Map<string, LogRecord[]>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** All that was ever appended, but for what a log's end lost. */
  recordsOf(topic: string, partition: number): readonly LogRecord[] {
    return this.#records.get(`${topic}/${partition}`) ?? [];
  }

  /** Every topic that ever had a record. */
  topics(): Set<string> {
    return new Set([...this.#records.keys()].map((name) => name.slice(0, name.lastIndexOf('/'))));
  }

  /** Partitions of a topic that ever had a record: numbers below this. */
  partitionsOf(topic: string): number {
    let count = 0;
    for (const name of this.#records.keys())
      if (name.startsWith(`${topic}/`)) count = Math.max(count, Number(name.slice(topic.length + 1)) + 1);
    return count;
  }

  /** Begins to watch; returns how to end it. */
  install(): () => void {
    const { append, truncateTo } = PartitionLog.prototype;
    const { commit } = GroupCoordinator.prototype;
    const appended = (log: PartitionLog, bytes: Buffer, baseOffset: number): void =>
      this.#appended(log, bytes, baseOffset);
    const committed = (groupId: string, commits: readonly OffsetCommit[]): void => this.#committed(groupId, commits);
    PartitionLog.prototype.append = function (this: PartitionLog, records: Buffer) {
      const before = this.endOffset;
      const result = append.call(this, records);
      // A repetition is answered with its old offset, and appends nothing.
      if (this.endOffset > before) appended(this, Buffer.from(records), result.baseOffset);
      return result;
    };
    const truncated = (log: PartitionLog): void => this.#truncated(log);
    PartitionLog.prototype.truncateTo = function (this: PartitionLog, offset) {
      truncateTo.call(this, offset);
      truncated(this);
    };
    GroupCoordinator.prototype.commit = function (this: GroupCoordinator, groupId, commits) {
      commit.call(this, groupId, commits);
      committed(groupId, commits);
    };
    return () => {
      PartitionLog.prototype.append = append;
      PartitionLog.prototype.truncateTo = truncateTo;
      GroupCoordinator.prototype.commit = commit;
    };
  }

  #appended({ topic, partition }: PartitionLog, bytes: Buffer, baseOffset: number): void {
    const batch = new RecordBatch(bytes, 0, { topic, partition });
    const now = this.#now();
    const records: LogRecord[] = [];
    for (let cursor = batch.records(); cursor.next(); )
      records.push({
        offset: baseOffset + cursor.offset - batch.baseOffset,
        key: cursor.key(),
        value: cursor.value(),
        timestamp: cursor.timestamp,
        step: now.step,
      });
    const name = `${topic}/${partition}`;
    const all = this.#records.get(name);
    if (all === undefined) this.#records.set(name, [...records]);
    else all.push(...records);
    const { producerId, producerEpoch, baseSequence } = batch;
    const append = { topic, partition, producerId, producerEpoch, baseSequence, records, ...now };
    for (const listener of this.appends) listener(append);
  }

  #truncated({ topic, partition, endOffset }: PartitionLog): void {
    const all = this.#records.get(`${topic}/${partition}`) ?? [];
    const from = all.findIndex(({ offset }) => offset >= endOffset);
    if (from < 0) return;
    const lost = all.splice(from);
    for (const listener of this.truncations) listener({ topic, partition, lost });
  }

  #committed(groupId: string, commits: readonly OffsetCommit[]): void {
    for (const { topic, partition, offset } of commits) {
      const commit = { groupId, topic, partition, offset, ...this.#now() };
      for (const listener of this.commits) listener(commit);
    }
  }

  #now(): { step: number; atUs: number } {
    return { step: this.steps++, atUs: this.#kernel.nowUs };
  }
}
