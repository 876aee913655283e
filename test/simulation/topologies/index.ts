/** The topologies that are simulated, by name. A new one is a function in a file here and a line in this table. */
import { byKey, byValue, chain, twoStores } from './aggregations.ts';
import { batch, calls, exactBatch } from './asynchronous.ts';
import { byValueInAvro } from './avro.ts';
import { pattern } from './patterns.ts';
import type { TopologyPlan } from './plan.ts';
import { random } from './random.ts';
import { table } from './tables.ts';
import { windowed } from './windows.ts';

export interface PlanOptions {
  /** Of the input. */
  readonly partitions: number;
  /** What a random topology is drawn from. */
  readonly shape: string;
}

export const topologies: Readonly<Record<string, (options: PlanOptions) => TopologyPlan>> = {
  'by-key': byKey,
  'by-value': byValue,
  chain,
  'two-stores': twoStores,
  table,
  windowed,
  pattern,
  avro: byValueInAvro,
  calls,
  batch,
  'exact-batch': exactBatch,
  random,
};
