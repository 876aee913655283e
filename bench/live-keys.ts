/** (g) What a record costs as live keys grow beyond the cache's budget: the aggregation by key over loads of more keys. */
import { aggregation } from './cases.ts';

export const liveKeys = aggregation('by-key', true);
