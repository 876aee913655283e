/**
 * What becomes of a position that the log does not have: out of range, or on a log that was truncated. Nothing is moved on
 * the word of a leader that may be an old one.
 */
import { Backoff } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import type { KafkaCluster } from './cluster.ts';
import { isFinal, type KafkaError, LogTruncatedError, OffsetOutOfRangeError } from './errors.ts';
import { listOffset, type OffsetCluster, type OffsetResetPolicy } from './offsets.ts';
import type { PartitionBuffer } from './partition-buffer.ts';
import { judgePosition, mustFail } from './position-validation.ts';
import type { TopicPartition } from './record-batch.ts';
import type { EpochEndOffset } from './requests/23-offset-for-leader-epoch.ts';

export interface PositionKeeperOptions {
  readonly resetPolicy: (topic: string) => OffsetResetPolicy;
  readonly onReset?: ((at: TopicPartition, offset: number, policy: OffsetResetPolicy) => void) | undefined;
  readonly onTruncated?: ((at: TopicPartition, position: number, offset: number) => void) | undefined;
  /** Ends the tries. */
  readonly signal: AbortSignal;
  /** A partition that must not go on. */
  onFailure(error: KafkaError): void;
}

export class PositionKeeper {
  readonly #cluster: OffsetCluster & Pick<KafkaCluster, 'logger'>;
  readonly #options: PositionKeeperOptions;

  constructor(cluster: OffsetCluster & Pick<KafkaCluster, 'logger'>, options: PositionKeeperOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  /** Takes over what the leader says of the epoch of the fetch position; resolves when the position stands. */
  async validated(buffer: PartitionBuffer, answer: EpochEndOffset): Promise<void> {
    const { topic, partition, position, fetching } = buffer;
    const verdict = judgePosition(buffer.fetchOffset, answer);
    fetching.needsValidation = false;
    if (verdict.kind === 'valid') return;
    if (mustFail(this.#options.resetPolicy(topic), verdict, position)) {
      const divergence = verdict.kind === 'lost' ? -1 : verdict.offset;
      this.#fail(buffer, new LogTruncatedError(topic, partition, position, divergence));
    } else if (verdict.kind === 'lost') {
      this.#cluster.logger.warn({ topic, partition, position }, 'the log was truncated before the position');
      fetching.resetting = true;
      await this.#reset(buffer);
    } else {
      const { offset, leaderEpoch } = verdict;
      this.#cluster.logger.warn(
        { topic, partition, position, offset },
        'the log was truncated, going on where it diverges',
      );
      if (buffer.truncate(offset, leaderEpoch)) this.#options.onTruncated?.({ topic, partition }, position, offset);
    }
  }

  /**
   * The leader of the last metadata answered that it does not have the position. Before that is believed, the metadata is
   * asked again: a leader that was cut off does not know that it is none any more.
   */
  async outOfRange(buffer: PartitionBuffer): Promise<void> {
    const { topic, partition, fetching } = buffer;
    const { leader, leaderEpoch } = fetching;
    fetching.resetting = true;
    await this.#untilDone(buffer, 'looking for the leader of a partition', () => this.#cluster.refresh([topic]));
    const isLeader =
      this.#cluster.leaderOf(topic, partition) === leader &&
      this.#cluster.leaderEpochOf(topic, partition) === leaderEpoch;
    if (!isLeader) fetching.resetting = false;
    else if (this.#options.resetPolicy(topic) === 'none')
      this.#fail(buffer, new OffsetOutOfRangeError(topic, partition, buffer.fetchOffset));
    else await this.#reset(buffer);
  }

  /** Looks up where a partition without a position begins. */
  async find(buffer: PartitionBuffer): Promise<void> {
    buffer.fetching.resetting = true;
    await this.#reset(buffer);
  }

  async #reset(buffer: PartitionBuffer): Promise<void> {
    const { topic, partition, fetchOffset, fetching } = buffer;
    const policy = this.#options.resetPolicy(topic);
    if (policy === 'none') {
      this.#fail(buffer, new OffsetOutOfRangeError(topic, partition, fetchOffset));
      return;
    }
    const offset = await this.#untilDone(buffer, 'looking up a position', () =>
      listOffset(this.#cluster, { topic, partition }, policy),
    );
    fetching.resetting = false;
    // Sought elsewhere meanwhile.
    if (offset === undefined || buffer.fetchOffset !== fetchOffset) return;
    this.#cluster.logger[fetchOffset < 0 ? 'debug' : 'warn'](
      { topic, partition, from: fetchOffset, to: offset },
      `position reset to ${policy}`,
    );
    buffer.seek(offset);
    this.#options.onReset?.({ topic, partition }, offset, policy);
  }

  /** Tries for as long as the partition is wanted; it stands back meanwhile. Undefined: it is not wanted any more. */
  async #untilDone<T>(buffer: PartitionBuffer, what: string, step: () => Promise<T>): Promise<T | undefined> {
    const { topic, partition } = buffer;
    const backoff = new Backoff();
    while (!this.#options.signal.aborted && !buffer.failed) {
      try {
        return await step();
      } catch (error) {
        if (isFinal(error)) {
          this.#fail(buffer, error);
          return undefined;
        }
        this.#cluster.logger[backoff.attempt === 0 ? 'debug' : 'warn'](
          { topic, partition, error: messageOf(error) },
          `${what} failed, trying again`,
        );
        await backoff.wait(this.#options.signal);
      }
    }
    return undefined;
  }

  #fail(buffer: PartitionBuffer, error: KafkaError): void {
    buffer.failed = true;
    this.#options.onFailure(error);
  }
}
