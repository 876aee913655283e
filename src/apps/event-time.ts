/** When something happened that a service wrote: its field `timestamp`, or the record's where the field says nothing. */
import type { TimestampExtractor } from '../index.ts';

/** ms since the epoch. A field that is 0, as where JSON leaves it out, or negative says nothing. */
export const eventTime: TimestampExtractor<{ readonly timestamp: number }> = ({ timestamp }, record) =>
  timestamp > 0 ? timestamp : record.timestamp;
