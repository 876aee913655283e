/** What the fetcher knows of a partition and of a broker besides the records: who leads, what fails, since when. */
import { Backoff } from '../backoff.ts';

/** Since when something does not get on, by the fetcher's clock, and why; 0: it does. */
export class Standstill {
  sinceMs = 0;
  why = '';
  #bytes = 0;

  /** The first time counts, the last reason is told. */
  note(sinceMs: number, why: string): void {
    if (this.sinceMs === 0) this.sinceMs = sinceMs;
    this.why = why;
  }

  clear(): void {
    this.sinceMs = 0;
    this.why = '';
  }

  /** @param bytes that came in all: while they come, a large answer is on its way */
  moved(bytes: number, nowMs: number): void {
    if (bytes === this.#bytes) return;
    this.#bytes = bytes;
    if (this.sinceMs > 0) this.sinceMs = nowMs;
  }

  lasts(nowMs: number, boundMs: number): boolean {
    return this.sinceMs > 0 && nowMs - this.sinceMs > boundMs;
  }
}

/** A partition's. */
export class FetchState {
  /** Node id, as of the metadata; −1: nobody, as far as is known. */
  leader = -1;
  leaderEpoch = -1;
  /** The leader has changed: whether its log still has what lies before the position is to be asked (KIP-320). */
  needsValidation = false;
  /** The position was out of range and is being looked up. */
  resetting = false;
  /** Not asked for before this time, by the fetcher's clock, while its leader is being looked for. */
  retryAtMs = 0;
  /** What the last request asked for: an answer to something else says nothing. */
  askedOffset = -1;
  askedEpoch = -1;
  /** The number of that request. */
  askedRound = 0;
  readonly backoff = new Backoff();
  readonly standstill = new Standstill();

  get canBeAsked(): boolean {
    return !this.needsValidation && !this.resetting;
  }

  /** @param positionEpoch without one there is nothing to validate */
  lead(leader: number, leaderEpoch: number, positionEpoch: number): void {
    if (leader === this.leader && leaderEpoch === this.leaderEpoch) return;
    this.leader = leader;
    this.leaderEpoch = leaderEpoch;
    if (leader >= 0) this.needsValidation = positionEpoch >= 0 && leaderEpoch >= 0;
  }
}
