/** What a run is made from: everything that the seed decides, before anything runs, so that parts can be left out. */
import type { PlannedFault } from '../faults/fault.ts';
import { planFaults } from '../faults/index.ts';
import { RandomStreams } from '../kernel/random.ts';
import { topologies } from '../topologies/index.ts';
import { randomSettings, type Settings } from './settings.ts';

export interface Scenario {
  /** Of everything that is drawn while it runs: latencies, ids, what is written. */
  readonly seed: string;
  readonly topology: string;
  /** What a random topology is drawn from. */
  readonly shape: string;
  readonly members: number;
  /** Of the input topics. */
  readonly partitions: number;
  /** Brokers. */
  readonly nodes: number;
  readonly records: number;
  readonly keys: number;
  /** Virtual ms in which records are written and faults happen. */
  readonly activeMs: number;
  /** ms that records are late at most. */
  readonly lateMs: number;
  /** Share of the records that come in bursts. */
  readonly bursts: number;
  /** ms that each packet takes between two machines. */
  readonly latencyMs: number;
  readonly settings: Settings;
  readonly faults: readonly PlannedFault[];
}

export interface ScenarioLimits {
  /** Of these topologies; undefined: of all. */
  readonly topologies?: readonly string[] | undefined;
  /** With these kinds of faults; undefined: with all. */
  readonly kinds?: readonly string[] | undefined;
}

export function scenarioOf(seed: string, { topologies: names, kinds }: ScenarioLimits = {}): Scenario {
  const streams = new RandomStreams(seed);
  const random = streams.of('scenario');
  const topology = random.pick(names ?? Object.keys(topologies));
  const members = random.pick([1, 2, 2, 3, 4]);
  const partitions = random.int(1, 4);
  const nodes = random.pick([1, 3, 3]);
  const activeMs = random.pick([30_000, 60_000, 120_000]);
  const base = {
    seed,
    topology,
    shape: seed,
    members,
    partitions,
    nodes,
    records: random.pick([50, 200, 1_000]),
    keys: random.pick([1, 5, 30, 30]),
    activeMs,
    lateMs: random.pick([0, 10_000, 60_000]),
    bursts: random.pick([0, 0.5, 0.9]),
    latencyMs: random.pick([0.25, 0.25, 2, 20]),
    settings: randomSettings(streams.of('settings')),
  };
  return { ...base, faults: planFaults(streams, base, kinds) };
}
