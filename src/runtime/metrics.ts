/** Counters of an application, in Kafka Streams' names. Read by `KafkaStreams.metrics()`, tests and the benchmark. */
import type { DropReason } from '../topology/index.ts';

export interface MetricsSnapshot {
  /** Records processed by sources (`process-total`). */
  readonly processTotal: number;
  /** Records dropped (`dropped-records-total`). */
  readonly droppedRecordsTotal: number;
  readonly droppedByReason: Readonly<Partial<Record<DropReason, number>>>;
  readonly commitTotal: number;
  /** Records restored from changelogs. */
  readonly restoreTotal: number;
}

export class Metrics {
  processed = 0;
  commits = 0;
  restored = 0;
  readonly #dropped = new Map<DropReason, number>();

  drop(reason: DropReason): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + 1);
  }

  snapshot(): MetricsSnapshot {
    return {
      processTotal: this.processed,
      droppedRecordsTotal: [...this.#dropped.values()].reduce((sum, n) => sum + n, 0),
      droppedByReason: Object.fromEntries(this.#dropped),
      commitTotal: this.commits,
      restoreTotal: this.restored,
    };
  }
}
