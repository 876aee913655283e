/** The checks of every run. A new one is a file here and a line in this list. */
import { acknowledged } from './acknowledged.ts';
import { changelogOrder } from './changelog-order.ts';
import type { Check } from './check.ts';
import { contents } from './contents.ts';
import { lateWrites } from './late-writes.ts';
import { outputs } from './outputs.ts';
import { positions } from './positions.ts';
import { spinning, stops } from './processes.ts';
import { progress } from './progress.ts';
import { relays } from './relays.ts';
import { repeats } from './repeats.ts';
import { sinks } from './sinks.ts';
import { stores } from './stores.ts';

export const checks: readonly Check[] = [
  acknowledged,
  changelogOrder,
  lateWrites,
  positions,
  relays,
  sinks,
  contents,
  outputs,
  stores,
  repeats,
  stops,
  spinning,
  progress,
];
