/** When punctuators are due. Mirrors `PunctuationQueue`: missed intervals collapse to one call. */
import type { Cancellable, PunctuationType } from '../../topology/index.ts';
import { StreamsError } from '../errors.ts';

const TYPES: readonly PunctuationType[] = ['stream-time', 'wall-clock-time'];

interface Schedule {
  readonly type: PunctuationType;
  readonly intervalMs: number;
  readonly callback: (timestamp: number) => void | Promise<void>;
  nextMs: number;
  cancelled: boolean;
}

export class Punctuations {
  #schedules: Schedule[] = [];

  /**
   * @param node whose schedule it is, for errors
   * @param nowMs wall-clock time, for the first call of a wall-clock schedule; stream time starts at 0
   * @throws MILLRACE_RUNTIME_INVALID_PUNCTUATION
   */
  add(
    node: string,
    intervalMs: number,
    type: PunctuationType,
    nowMs: number,
    callback: Schedule['callback'],
  ): Cancellable {
    if (!(intervalMs >= 1 && Number.isSafeInteger(intervalMs) && TYPES.includes(type))) {
      throw new StreamsError(
        'MILLRACE_RUNTIME_INVALID_PUNCTUATION',
        `${node}: schedule() with an interval of ${intervalMs} ms and the type ${type}. The interval must be a whole ` +
          `number ≥ 1, the type one of ${TYPES.join(', ')}.`,
        { context: { node } },
      );
    }
    const schedule: Schedule = {
      type,
      intervalMs,
      callback,
      nextMs: type === 'stream-time' ? 0 : nowMs + intervalMs,
      cancelled: false,
    };
    this.#schedules.push(schedule);
    return {
      cancel: () => {
        schedule.cancelled = true;
        this.#schedules = this.#schedules.filter((other) => other !== schedule);
      },
    };
  }

  isDue(type: PunctuationType, timeMs: number): boolean {
    if (type === 'wall-clock-time') this.#keepUp(timeMs);
    return this.#schedules.some((schedule) => schedule.type === type && schedule.nextMs <= timeMs);
  }

  /** A clock that was set back would be waited for: in Java it is. */
  #keepUp(wallMs: number): void {
    for (const schedule of this.#schedules)
      if (schedule.type === 'wall-clock-time')
        schedule.nextMs = Math.min(schedule.nextMs, wallMs + schedule.intervalMs);
  }

  /** Calls what is due, in order of time; returns whether anything was. */
  async run(type: PunctuationType, timeMs: number): Promise<boolean> {
    const due = this.#schedules.filter((schedule) => schedule.type === type && schedule.nextMs <= timeMs);
    due.sort((a, b) => a.nextMs - b.nextMs);
    for (const schedule of due) {
      if (schedule.cancelled) continue;
      const missed = Math.floor((timeMs - schedule.nextMs) / schedule.intervalMs);
      schedule.nextMs += (missed + 1) * schedule.intervalMs;
      await schedule.callback(timeMs);
    }
    return due.length > 0;
  }
}
