/**
 * Which leader epochs wrote where: each epoch's first offset. Tells followers and readers where a log of theirs diverges
 * (KIP-101, KIP-320). Mirrors `LeaderEpochFileCache`.
 */

/** Who leads a partition now. */
export interface Leadership {
  /** A node's id; −1: nobody. */
  readonly leader: number;
  /** Grows by one with each change. */
  readonly epoch: number;
}

export interface EpochStart {
  readonly epoch: number;
  readonly startOffset: number;
}

export interface EpochEnd {
  /** −1: the log knows nothing of the epoch. */
  readonly epoch: number;
  /** Behind the epoch's last record; −1 as above. */
  readonly endOffset: number;
}

const UNKNOWN: EpochEnd = { epoch: -1, endOffset: -1 };

export class LeaderEpochs {
  #starts: EpochStart[] = [];

  /** The epoch has its first record, or its leader, at this offset. One that left no record before it is forgotten. */
  assign(epoch: number, startOffset: number): void {
    const last = this.#starts.at(-1);
    if (last !== undefined && epoch <= last.epoch) return;
    this.#starts = this.#starts.filter((one) => one.startOffset < startOffset);
    this.#starts.push({ epoch, startOffset });
  }

  get earliest(): EpochStart | undefined {
    return this.#starts[0];
  }

  get latest(): EpochStart | undefined {
    return this.#starts.at(-1);
  }

  /**
   * Where the records of `epoch` end, under the largest epoch up to it that is known. Before all that is known, where that
   * begins; behind the latest, nothing.
   */
  endOf(epoch: number, logEndOffset: number): EpochEnd {
    if (epoch < 0) return UNKNOWN;
    if (epoch === this.latest?.epoch) return { epoch, endOffset: logEndOffset };
    const next = this.#starts.find((one) => one.epoch > epoch);
    if (next === undefined) return UNKNOWN;
    const known = this.#starts.findLast((one) => one.epoch <= epoch);
    return { epoch: known?.epoch ?? epoch, endOffset: next.startOffset };
  }

  /** Records before `offset` are gone. */
  startsAt(offset: number): void {
    const first = this.#starts.findLast((one) => one.startOffset <= offset);
    if (first === undefined) return;
    const later = this.#starts.filter((one) => one.startOffset > offset);
    this.#starts = [{ epoch: first.epoch, startOffset: offset }, ...later];
  }

  /** Records from `offset` on are gone. */
  endsAt(offset: number): void {
    this.#starts = this.#starts.filter((one) => one.startOffset < offset);
  }
}
