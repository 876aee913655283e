/** What the main job must do on any broker: equal to an independent computation, and never less after SIGKILL. */
import { expect, test } from 'vitest';
import { type AggregationJob, expectAtLeast, series } from './aggregation-job.ts';
import { expectAggregates, groupByWindow } from './metrics.ts';
import { temporaryFolder } from './programs.ts';
import { waitFor } from './wait.ts';

/** @param sessionTimeoutMs after which a killed process is missed */
export function aggregationSuite(theJob: () => AggregationJob, sessionTimeoutMs: number): void {
  test('two processes: the last output of each key and window equals an independent computation', async () => {
    const first = theJob().startProgram();
    const second = theJob().startProgram();
    const metrics = series(20_000, 1);
    await theJob().send(metrics);
    await theJob().waitForLagZero();
    // Later than any interleaving allows: dropped.
    await theJob().send(series(200, 2).map((metric) => ({ ...metric, timestamp: metric.timestamp - 1_800_000 })));
    await theJob().waitForLagZero();
    expect(await theJob().inputCount()).toBe(20_200);
    expectAggregates(await theJob().readOutputs(), metrics);
    expect(await first.kill('SIGTERM')).toBe(0);
    expect(await second.kill('SIGTERM')).toBe(0);
    const dropped = [first, second].map((program) =>
      Number(/"droppedRecordsTotal":(\d+)[^\n]*"stopped"/.exec(program.output())?.[1]),
    );
    expect(dropped[0]! + dropped[1]!).toBe(200);
  });

  test('one of two processes killed with SIGKILL midway, several times: no count is lower', async () => {
    const metrics = series(60_000, 3);
    theJob().startProgram();
    const own = { STATE_DIR: temporaryFolder(), SESSION_TIMEOUT_MS: String(sessionTimeoutMs) };
    let victim = theJob().startProgram(own);
    for (let round = 0; round < 3; round++) {
      await theJob().send(metrics.slice(round * 20_000, (round + 1) * 20_000));
      await waitFor(() => /"tasks assigned"/.test(victim.output()), 60_000, 'the second process to have tasks');
      await victim.kill('SIGKILL');
      victim = theJob().startProgram(own);
    }
    await theJob().waitForLagZero();
    expectAtLeast(await theJob().readOutputs(), groupByWindow(metrics));
  });
}
