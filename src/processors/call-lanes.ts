/**
 * Which calls may run: those of one lane (a key, a partition) one after another, in the order they were added; lanes side
 * by side, and what has no lane as well.
 */
export class CallLanes<C> {
  /** Those that wait behind the first of their lane. */
  readonly #waiting = new Map<unknown, C[]>();
  readonly #laneOf: (call: C) => unknown;
  #ready: C[] = [];
  #next = 0;

  /** @param laneOf undefined: no lane */
  constructor(laneOf: (call: C) => unknown) {
    this.#laneOf = laneOf;
  }

  add(call: C): void {
    const lane = this.#laneOf(call);
    const waiting = lane === undefined ? undefined : this.#waiting.get(lane);
    if (waiting !== undefined) waiting.push(call);
    else {
      if (lane !== undefined) this.#waiting.set(lane, []);
      this.#ready.push(call);
    }
  }

  /** The next call that may run, in the order in which they became ready. */
  take(): C | undefined {
    const call = this.#ready[this.#next];
    if (call === undefined) return undefined;
    if (++this.#next === this.#ready.length) {
      this.#ready = [];
      this.#next = 0;
    }
    return call;
  }

  /** A call that was taken is to run again; its lane waits for it. */
  again(call: C): void {
    this.#ready.push(call);
  }

  /** A call that was taken is done: the next of its lane may run. */
  done(call: C): void {
    const lane = this.#laneOf(call);
    if (lane === undefined) return;
    const waiting = this.#waiting.get(lane)!;
    const next = waiting.shift();
    if (next === undefined) this.#waiting.delete(lane);
    else this.#ready.push(next);
  }
}
