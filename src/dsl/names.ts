/** Prefixes of generated names, as in Java, and what a user's name may be. */
import { TopologyError } from '../topology/index.ts';

export const Prefix = {
  SOURCE: 'KSTREAM-SOURCE-',
  SINK: 'KSTREAM-SINK-',
  FILTER: 'KSTREAM-FILTER-',
  PEEK: 'KSTREAM-PEEK-',
  FLATMAP: 'KSTREAM-FLATMAP-',
  FLATMAPVALUES: 'KSTREAM-FLATMAPVALUES-',
  MAP: 'KSTREAM-MAP-',
  MAPVALUES: 'KSTREAM-MAPVALUES-',
  PROCESSOR: 'KSTREAM-PROCESSOR-',
  PROCESSVALUES: 'KSTREAM-PROCESSVALUES-',
  KEY_SELECT: 'KSTREAM-KEY-SELECT-',
  FOREACH: 'KSTREAM-FOREACH-',
  MAPASYNC: 'KSTREAM-MAPASYNC-',
  FOREACHBATCH: 'KSTREAM-FOREACHBATCH-',
  REPARTITION: 'KSTREAM-REPARTITION-',
  BRANCH: 'KSTREAM-BRANCH-',
  MERGE: 'KSTREAM-MERGE-',
  REDUCE: 'KSTREAM-REDUCE-',
  AGGREGATE: 'KSTREAM-AGGREGATE-',
  TABLE_SOURCE: 'KTABLE-SOURCE-',
  TABLE_FILTER: 'KTABLE-FILTER-',
  TABLE_MAPVALUES: 'KTABLE-MAPVALUES-',
  TABLE_TOSTREAM: 'KTABLE-TOSTREAM-',
} as const;

/** A generated store name is the prefix of its operator, `STATE-STORE-` and a number. */
export const STORE_SUFFIX = 'STATE-STORE-';

/** @throws MILLRACE_TOPOLOGY_INVALID_NAME */
export function checkName(name: string | undefined): void {
  if (name === undefined) return;
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(name) || name === '.' || name === '..') {
    throw new TopologyError(
      'MILLRACE_TOPOLOGY_INVALID_NAME',
      `The name '${name}' cannot be part of a topic name: letters, digits, '.', '_' and '-' only, at most 249.`,
    );
  }
}
