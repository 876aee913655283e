/**
 * `npm run simulate -- [options]`: a whole cluster in one process, in virtual time, by seeds; in the manner of
 * FoundationDB and TigerBeetle.
 *
 *     --seeds N        runs of N seeds (default 100), one after the other from a random first one, which is printed
 *     --from S         from this first seed
 *     --seed S         this one alone
 *     --repeat N       so many times in one process: the histories must be the same
 *     --minutes N      fresh seeds for so many real minutes
 *     --topology A,B   these topologies only (topologies/index.ts)
 *     --only A,B       these kinds of faults only (faults/index.ts); none: an empty word
 *     --except A,B     all kinds of faults but these
 *     --jobs N         child processes, default 2
 *     --disk level     LevelDB for the members' state, in the real world while virtual time stands still
 *     --replay FILE    a scenario that was made smaller
 *     --named          the named scenarios (scenarios.ts)
 *     --trace          the whole history of what fails; of --seed, --replay and --named in any case
 *     --no-shrink      does not make failing scenarios smaller
 *
 * How it is made, from below: `kernel/` is virtual time, processes and Node's globals; `network/` is node:net in memory;
 * `disk/` is what stands in for LevelDB; `world/` puts brokers, members and writers together and runs a scenario through
 * its phases (start, faults, rest, restarts); `observe/` watches without taking part.
 *
 * **A new fault**: an entry in a file of `faults/`, with `plan` (arguments from the seed) and `apply` (what it does to the
 * world); what does not end by itself registers `during` or `onHeal`. `mayStop` says what an application may be stopped with.
 * **A new check**: a file in `checks/` and a line in `checks/index.ts`. `watch` listens from the start (`world.logs`: what
 * brokers appended and accepted; `world.wire`: every request and answer), `atRest` looks when everything is processed,
 * `afterRestart` when it was closed and started again without input. `world.fail(name, text)` is a violation.
 * **A new topology**: a function in `topologies/` and a line in `topologies/index.ts`: the topology and, beside it, which
 * record goes to which key of which store. The checks need no more.
 * **A failing seed** prints the smallest scenario that fails the same way and a file to replay it from; that becomes a named
 * scenario (`scenarios.ts`), since seeds give other scenarios when the generator changes.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { faultKinds } from './faults/index.ts';
import { lineText } from './observe/trace.ts';
import { Pool } from './pool.ts';
import { printFailure, Summary } from './report.ts';
import { type RunOptions, simulate } from './run.ts';
import { namedScenarios } from './scenarios.ts';
import type { Answer } from './worker.ts';
import { type Scenario, type ScenarioLimits, scenarioOf } from './world/scenario.ts';

const { values: args } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string' },
    seed: { type: 'string' },
    repeat: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    topology: { type: 'string' },
    only: { type: 'string' },
    except: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    disk: { type: 'string', default: 'memory' },
    replay: { type: 'string' },
    named: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    'no-shrink': { type: 'boolean', default: false },
  },
});

const SHRINK_RUNS = 150;
/** Failures of one check that are made smaller and printed; of the others the seeds are named. */
const PRINTED = 3;

const words = (text: string | undefined): string[] | undefined => text?.split(',').filter((word) => word !== '');
const except = words(args.except) ?? [];
const limits: ScenarioLimits = {
  topologies: words(args.topology),
  kinds: words(args.only) ?? Object.keys(faultKinds).filter((kind) => !except.includes(kind)),
};
const options: RunOptions = {
  disk: args.disk === 'level' ? 'level' : 'memory',
};

if (args.named) process.exitCode = await runNamed();
else if (args.replay !== undefined)
  process.exitCode = await runOne(JSON.parse(readFileSync(args.replay, 'utf8')) as Scenario);
else if (args.seed !== undefined) process.exitCode = await runOne(scenarioOf(args.seed, limits));
else process.exitCode = await runMany();

/** One scenario in this process, with its history where it fails. */
async function runOne(scenario: Scenario): Promise<number> {
  const outcome = await simulate(scenario, { ...options, readable: true });
  if (args.trace) for (const line of outcome.lines) console.log(lineText(line));
  const { violations, hash, events, virtualMs, cpuMs } = outcome;
  for (let i = 1; i < Number(args.repeat); i++) {
    const again = await simulate(scenario, options);
    if (again.hash === hash) continue;
    console.log(`seed ${scenario.seed} gives another history the second time: ${hash}, then ${again.hash}`);
    return 1;
  }
  if (violations.length > 0) printFailure(outcome, outcome, false);
  console.log(
    `\nseed ${scenario.seed}: ${violations.length === 0 ? 'passes' : 'fails'}, hash ${hash}, ${events} events, ` +
      `${(virtualMs / 1000).toFixed(1)} s of virtual time in ${(cpuMs / 1000).toFixed(2)} s of processor time`,
  );
  return violations.length === 0 ? 0 : 1;
}

/** Seeds one after the other, over child processes. */
async function runMany(): Promise<number> {
  const first = Number(args.from ?? Math.floor(Math.random() * 1_000_000_000));
  const untilMs = args.minutes === undefined ? Number.POSITIVE_INFINITY : Date.now() + Number(args.minutes) * 60_000;
  const count = args.minutes === undefined ? Number(args.seeds) : Number.POSITIVE_INFINITY;
  console.log(`first seed ${first}`);
  const startMs = Date.now();
  const summary = new Summary();
  const printed = new Map<string, number>();
  const pool = new Pool(Number(args.jobs));
  const turn = async (seed: string): Promise<void> => {
    const scenario = scenarioOf(seed, limits);
    const answer = await pool.run({ scenario, options, shrinkRuns: 0 });
    if (answer === 'hung') {
      console.log(`\nSeed ${seed} hangs: code that never yields, or a process that died.`);
      summary.failures.set('hung', [...(summary.failures.get('hung') ?? []), seed]);
      return;
    }
    summary.add(answer.outcome, answer.heapBytes);
    const check = answer.outcome.violations[0]?.check;
    if (check === undefined) return;
    const times = (printed.get(check) ?? 0) + 1;
    printed.set(check, times);
    if (times > PRINTED) return;
    const smaller = args['no-shrink'] ? answer : await pool.run({ scenario, options, shrinkRuns: SHRINK_RUNS });
    printFailure(answer.outcome, (smaller as Answer).smallest!, args.trace);
  };
  const open = new Set<Promise<void>>();
  for (let i = 0; i < count && Date.now() < untilMs; i++) {
    const running: Promise<void> = turn(String(first + i)).finally(() => open.delete(running));
    open.add(running);
    if (open.size >= Number(args.jobs)) await Promise.race(open);
  }
  await Promise.all(open);
  pool.close();
  summary.print(Date.now() - startMs);
  return summary.failures.size === 0 ? 0 : 1;
}

/** The named scenarios. */
async function runNamed(): Promise<number> {
  let wrong = 0;
  for (const { name, scenario } of namedScenarios) {
    const { violations } = await simulate(scenario, options);
    const [first] = violations;
    if (first !== undefined) wrong++;
    console.log(first === undefined ? `ok    ${name}` : `WRONG ${name}: fails ${first.check}: ${first.text}`);
  }
  return wrong === 0 ? 0 : 1;
}
