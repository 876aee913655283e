/** How keys are laid out in a task's database: prefix int16 | [segment int64] | key of the changelog. */

/** To be raised where the drawing above changes: databases of another version are rebuilt. */
export const LAYOUT_VERSION = 1;

const MIN_SEGMENT_INTERVAL_MS = 60_000;

/** As RocksDB's segments in Java: half the retention, at least a minute. */
export function segmentIntervalOf(retentionMs: number): number {
  return Math.max(Math.floor(retentionMs / 2), MIN_SEGMENT_INTERVAL_MS);
}

/** A range of keys as in the database; `to` exclusive. */
export interface LocalRange {
  readonly from: Buffer;
  readonly to: Buffer | undefined;
}
