/**
 * Lets the first anomaly of an id pass, and none of that id within a day of it. To be used behind a repartition by id, so
 * that one task sees all of them.
 *
 * What a day is is told by the anomalies' own times, in whatever order they come. What is remembered goes by the wall
 * clock, for two days at least: one anomaly whose time is years ahead must not make everything else forgotten, nor one
 * that is years old be forgotten at once.
 *
 * A mark says which record made it, by its offset. A crash may leave the mark in its changelog and nothing of what came of
 * the record: when that is read again it is no repetition, and passes.
 *
 * An anomaly that does not say when it was has its record's time from here on.
 */
import {
  json,
  type Processor,
  type ProcessorContext,
  type StreamRecord,
  string,
  type WindowStore,
  windowStore,
} from '../../index.ts';
import type { Anomaly } from './alert.ts';

const DAY_MS = 86_400_000;
/** Days before today whose marks are looked at. */
const KEPT_DAYS = 2;
/** Of one id and day: an id that comes at ever other times must not grow without end. */
const MAX_MARKS = 100;

/** What passed: its time, ms since the epoch, and its offset in the topic that is read. */
type Mark = readonly [timeMs: number, offset: number];

/** By id, a window a day of the wall clock. */
export const ALERTED_IDS = windowStore<string, readonly Mark[]>('alerted-ids', {
  key: string(),
  value: json(),
  windowSizeMs: DAY_MS,
  // A clock that was set back is no reason to refuse a mark.
  retentionMs: (KEPT_DAYS + 2) * DAY_MS,
  // Brokers delete from the changelog by its records' times, which would be the anomalies'.
  topicConfigs: { 'message.timestamp.type': 'LogAppendTime' },
});

export class FirstOfItsId implements Processor<string, Anomaly, string, Anomaly> {
  #context!: ProcessorContext<string, Anomaly>;
  #marks!: WindowStore<string, readonly Mark[]>;

  init(context: ProcessorContext<string, Anomaly>): void {
    this.#context = context;
    this.#marks = context.getStateStore(ALERTED_IDS.name);
  }

  process(record: StreamRecord<string, Anomaly>): void {
    const { key: id, value: anomaly } = record;
    const timeMs = anomaly.timestamp > 0 ? anomaly.timestamp : record.timestamp;
    const { offset } = this.#context.recordMetadata()!;
    const today = Math.floor(this.#context.currentSystemTimeMs() / DAY_MS);
    let isMarked = false;
    // From tomorrow on: the clock may have been set back.
    for (let day = today + 1; day >= today - KEPT_DAYS; day--) {
      for (const [markedMs, by] of this.#marks.fetch(id, day * DAY_MS) ?? []) {
        if (by === offset) isMarked = true;
        else if (by < offset && Math.abs(timeMs - markedMs) < DAY_MS) return;
      }
    }
    if (!isMarked) this.#mark(id, today * DAY_MS, [timeMs, offset]);
    this.#context.forward(record.withValue({ ...anomaly, timestamp: timeMs }));
  }

  #mark(id: string, dayMs: number, mark: Mark): void {
    const marks = this.#marks.fetch(id, dayMs) ?? [];
    this.#marks.put(id, [...marks, mark].slice(-MAX_MARKS), dayMs);
  }
}
