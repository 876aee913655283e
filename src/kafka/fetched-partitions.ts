/**
 * The partitions that a fetcher has, in the order of its next request, and which of them may be asked for. No I/O: what a
 * round of requests looks like is decided here, in time that grows with their number.
 */
import type { KafkaCluster } from './cluster.ts';
import type { PartitionBuffer } from './partition-buffer.ts';

export class FetchedPartitions {
  readonly #buffers = new Set<PartitionBuffer>();
  readonly #byTopic = new Map<string, Map<number, PartitionBuffer>>();
  /** What was marked last as asked for has this number. */
  #round = 0;

  get topics(): string[] {
    return [...this.#byTopic.keys()];
  }

  [Symbol.iterator](): Iterator<PartitionBuffer> {
    return this.#buffers.values();
  }

  get(topic: string, partition: number): PartitionBuffer | undefined {
    return this.#byTopic.get(topic)?.get(partition);
  }

  /** Another buffer of the same partition is to be deleted first. */
  add(buffer: PartitionBuffer): void {
    this.#buffers.add(buffer);
    const partitions = this.#byTopic.get(buffer.topic);
    if (partitions === undefined) this.#byTopic.set(buffer.topic, new Map([[buffer.partition, buffer]]));
    else partitions.set(buffer.partition, buffer);
  }

  delete(buffer: PartitionBuffer): void {
    const partitions = this.#byTopic.get(buffer.topic);
    if (!this.#buffers.delete(buffer) || partitions === undefined) return;
    partitions.delete(buffer.partition);
    if (partitions.size === 0) this.#byTopic.delete(buffer.topic);
  }

  /** The partition gave data: the others go before it in the next request. */
  moveToEnd(buffer: PartitionBuffer): void {
    if (this.#buffers.delete(buffer)) this.#buffers.add(buffer);
  }

  /**
   * Takes over who leads which; to be called when the metadata is another, not in each round.
   * @returns whether all have a leader that can be sent to
   */
  takeLeaders(cluster: {
    readonly connections: Pick<KafkaCluster['connections'], 'has'>;
    leaderOf(topic: string, partition: number): number;
    leaderEpochOf(topic: string, partition: number): number;
  }): boolean {
    let allLed = true;
    for (const { topic, partition, fetching, fetchEpoch } of this.#buffers) {
      const leader = cluster.leaderOf(topic, partition);
      fetching.lead(leader, cluster.leaderEpochOf(topic, partition), fetchEpoch);
      if (!cluster.connections.has(leader)) allLed = false;
    }
    return allLed;
  }

  /**
   * What to ask a broker for, in order; marks it as asked for.
   * @param mostBytes a partition with more bytes buffered is left out
   * @param mostBytesInAll with more in all, only empty partitions are asked for
   */
  wantedFrom(nodeId: number, nowMs: number, mostBytes: number, mostBytesInAll: number): PartitionBuffer[] {
    let total = 0;
    for (const buffer of this.#buffers) total += buffer.bufferedBytes;
    const most = total > mostBytesInAll ? 0 : mostBytes;
    const round = ++this.#round;
    const wanted: PartitionBuffer[] = [];
    for (const buffer of this.#buffers) {
      const { fetching } = buffer;
      if (fetching.leader !== nodeId || buffer.bufferedBytes > most || buffer.paused || buffer.failed) continue;
      if (fetching.retryAtMs > nowMs || !fetching.canBeAsked) continue;
      fetching.askedRound = round;
      wanted.push(buffer);
    }
    return wanted;
  }

  /**
   * The broker would hold this request back for maxWaitMs, since nothing asked for has data, while a partition whose
   * buffer is full now has more: its next fetch would have to wait behind.
   * @param wanted of the last `wantedFrom`
   */
  wouldHoldUp(nodeId: number, wanted: readonly PartitionBuffer[]): boolean {
    if (wanted.some((buffer) => buffer.expectsMore)) return false;
    const round = this.#round;
    for (const { fetching, paused, expectsMore } of this.#buffers) {
      if (fetching.leader === nodeId && fetching.askedRound !== round && expectsMore && !paused) return true;
    }
    return false;
  }

  /** Positions that a broker is to be asked about before anything is fetched behind them. */
  unvalidatedAt(nodeId: number, nowMs: number): PartitionBuffer[] {
    const found: PartitionBuffer[] = [];
    for (const buffer of this.#buffers) {
      const { leader, needsValidation, resetting, retryAtMs } = buffer.fetching;
      if (needsValidation && leader === nodeId && !resetting && !buffer.failed && retryAtMs <= nowMs)
        found.push(buffer);
    }
    return found;
  }
}
