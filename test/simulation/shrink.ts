/**
 * Makes a failing scenario smaller: again and again something is left out, and what still fails in the same way is kept,
 * until nothing can go.
 */
import { type Outcome, type RunOptions, simulate } from './run.ts';
import type { Scenario } from './world/scenario.ts';
import { plainSettings, type Settings } from './world/settings.ts';

/**
 * @param runs at most
 * @returns the smallest scenario found that fails the same check first, with its outcome
 */
export async function shrink(first: Outcome, options: RunOptions, runs: number): Promise<Outcome> {
  const check = first.violations[0]!.check;
  let best = first;
  let left = runs;
  for (let progress = true; progress && left > 0; ) {
    progress = false;
    for (const candidate of smaller(best.scenario)) {
      if (left-- <= 0) break;
      const outcome = await simulate(candidate, options);
      if (outcome.violations[0]?.check !== check) continue;
      best = outcome;
      progress = true;
      break;
    }
  }
  return best;
}

const PLAIN_LATENCY_MS = 0.25;

/** What could go, the most telling first. */
function* smaller(scenario: Scenario): Generator<Scenario> {
  const { faults, members, records, keys, partitions, nodes, lateMs, bursts, latencyMs, activeMs, settings } = scenario;
  if (faults.length > 3) {
    const half = Math.floor(faults.length / 2);
    yield { ...scenario, faults: faults.slice(0, half) };
    yield { ...scenario, faults: faults.slice(half) };
  }
  for (let i = faults.length - 1; i >= 0; i--) yield { ...scenario, faults: faults.filter((_, index) => index !== i) };
  if (members > 1) yield { ...scenario, members: members - 1 };
  if (nodes > 1) yield { ...scenario, nodes: 1 };
  if (partitions > 1) yield { ...scenario, partitions: partitions - 1 };
  if (records > 1) yield { ...scenario, records: Math.floor(records / 2) };
  if (keys > 1) yield { ...scenario, keys: 1 };
  if (lateMs > 0) yield { ...scenario, lateMs: 0 };
  if (bursts > 0) yield { ...scenario, bursts: 0 };
  if (latencyMs > PLAIN_LATENCY_MS) yield { ...scenario, latencyMs: PLAIN_LATENCY_MS };
  const last = Math.max(5_000, ...faults.map(({ atMs }) => atMs + 5_000));
  if (last < activeMs) yield { ...scenario, activeMs: last };
  for (const name of Object.keys(settings) as (keyof Settings)[])
    if (settings[name] !== plainSettings[name])
      yield { ...scenario, settings: { ...settings, [name]: plainSettings[name] } };
}
