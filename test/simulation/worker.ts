/** A child process that runs scenarios as its parent asks for them, one after the other. */
import { type Outcome, type RunOptions, simulate } from './run.ts';
import { shrink } from './shrink.ts';
import type { Scenario } from './world/scenario.ts';

export interface Job {
  readonly scenario: Scenario;
  readonly options: RunOptions;
  /** Runs to spend on making it smaller, where it fails. */
  readonly shrinkRuns: number;
}

export interface Answer {
  readonly outcome: Outcome;
  /** The smallest that fails the same way, with its history; undefined where it does not fail. */
  readonly smallest: Outcome | undefined;
  /** Bytes of live objects after the run. */
  readonly heapBytes: number;
}

async function work({ scenario, options, shrinkRuns }: Job): Promise<Answer> {
  const outcome = await simulate(scenario, options);
  let smallest: Outcome | undefined;
  if (outcome.violations.length > 0) {
    const smaller = await shrink(outcome, options, shrinkRuns);
    smallest = await simulate(smaller.scenario, { ...options, readable: true });
  }
  globalThis.gc?.();
  return { outcome, smallest, heapBytes: process.memoryUsage().heapUsed };
}

process.on('message', (job: Job) => {
  work(job).then(
    (answer) => process.send!(answer),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
