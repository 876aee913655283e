/**
 * What a partition knows of its producers, kept beside its segments where batches were taken out of the log: without it a
 * restart would not know them any more. Apache Kafka writes such a snapshot for each segment; here one is written each time
 * that batches go.
 *
 *     <dataDir>/topics/<topic>/<partition>/producers.json        { "endOffset": …, "states": […], "aborted": […] }
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProducerSnapshot } from './producer-states.ts';

const NAME = 'producers.json';

export interface StoredProducers extends ProducerSnapshot {
  /** Of the log, when it was written: what lies behind it is not in the snapshot. */
  readonly endOffset: number;
}

export function writeProducers(folder: string, producers: StoredProducers): void {
  const path = join(folder, NAME);
  writeFileSync(`${path}.new`, JSON.stringify(producers));
  renameSync(`${path}.new`, path);
}

/** Undefined where there is none, or none that can be read: a crash may have cut it off. */
export function readProducers(folder: string): StoredProducers | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, NAME), 'utf8')) as StoredProducers;
  } catch (error) {
    if (error instanceof SyntaxError || (error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      return undefined;
    throw error;
  }
}
