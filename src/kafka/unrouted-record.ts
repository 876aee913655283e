/** A record for a topic whose partitions are not known yet: kept as a copy until they are. */
import type { Header } from '../headers.ts';

export interface UnroutedRecord {
  readonly partition: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly Header[];
}

/** The object itself. */
const OVERHEAD_BYTES = 64;

/** Bytes it counts against the producer's buffer. */
export function sizeOf({ key, value }: UnroutedRecord): number {
  return OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0);
}
