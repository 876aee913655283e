/** What must hold of the sink on any broker: whatever becomes of its processes, each record is in the table once. */
import { expect, test } from 'vitest';
import { PARTITIONS, running, type SinkJob, tasksOf } from './sink-job.ts';
import { committing, type Held, type Moment, type OnCommit, sending, stored } from './sink-moments.ts';
import { waitFor } from './wait.ts';

export interface SinkSuiteOptions {
  readonly job: () => SinkJob;
  readonly onCommit: OnCommit;
  /** After which a killed or stopped process is missed. */
  readonly sessionTimeoutMs: number;
}

const sum = (offsets: readonly number[]): number => offsets.reduce((total, offset) => total + Math.max(offset, 0), 0);

export function sinkSuite({ job: theJob, onCommit, sessionTimeoutMs }: SinkSuiteOptions): void {
  const SESSION_TIMEOUT_MS = String(sessionTimeoutMs);

  /** What the database has that the group does not know of, when the program is killed. */
  const crashes: readonly (readonly [name: string, Moment, isAhead: boolean])[] = [
    ['its statement has not arrived', sending, false],
    ['it is stored and not answered', stored, true],
    ['it is answered and not committed', committing(onCommit, 'before'), true],
    ['it is committed', committing(onCommit, 'after'), false],
  ];

  test('killed at each moment of a batch, the program stores each record once', async () => {
    const job = theJob();
    for (const [name, moment, isAhead] of crashes) {
      await job.send(400);
      const program = job.start({ SESSION_TIMEOUT_MS, COMMIT_INTERVAL_MS: '600000' });
      moment(job.proxy, () => program.process.kill('SIGKILL'));
      await waitFor(() => program.process.signalCode === 'SIGKILL', 30_000, `SIGKILL when ${name}`);
      expect(await job.storedCount(), name).toBeLessThan(job.sent);
      if (isAhead) expect(sum(await job.remembered()), name).toBeGreaterThan(sum(await job.committed()));
    }
    const last = job.start();
    await job.waitForStored();
    expect(await last.kill('SIGTERM')).toBe(0);
    await job.expectEachOnce();
  });

  test('stopped beyond its session with a batch in hand, a member stores nothing that another has stored', async () => {
    const job = theJob();
    const own = await job.proxyOfItsOwn();
    const stopping = job.start({ SESSION_TIMEOUT_MS }, own);
    await running(stopping);
    const other = job.start({ SESSION_TIMEOUT_MS });
    for (const moment of [sending, stored]) {
      await waitFor(
        () => tasksOf(stopping) > 0 && tasksOf(other) > 0 && tasksOf(stopping) + tasksOf(other) === PARTITIONS,
      );
      let held: Held | undefined;
      moment(own, (piece) => {
        stopping.process.kill('SIGSTOP');
        held = piece;
      });
      await job.send(300);
      await waitFor(() => held !== undefined && tasksOf(other) === PARTITIONS, 30_000, 'all tasks to be the other’s');
      await job.waitForStored();
      held!.pass();
      stopping.process.kill('SIGCONT');
      await waitFor(() => tasksOf(other) < PARTITIONS);
    }
    await job.send(100);
    await job.waitForStored();
    expect(await stopping.kill('SIGTERM')).toBe(0);
    expect(await other.kill('SIGTERM')).toBe(0);
    await job.expectEachOnce();
  });

  test('a member that joins and leaves while records come stores each once, as does the one that stays', async () => {
    const job = theJob();
    const staying = job.start({ SESSION_TIMEOUT_MS });
    await running(staying);
    const joining = job.start({ SESSION_TIMEOUT_MS });
    const sendUntil = async (isEnough: () => boolean): Promise<void> => {
      do {
        await job.send(150);
        await job.waitForStored(job.sent - 100);
      } while (!isEnough());
    };
    await sendUntil(() => tasksOf(joining) > 0 && tasksOf(staying) < PARTITIONS);
    await sendUntil(() => /"all tasks run"/.test(joining.output()));
    const leaving = joining.kill('SIGTERM');
    await sendUntil(() => tasksOf(staying) === PARTITIONS);
    expect(await leaving).toBe(0);
    await job.waitForStored();
    expect(await staying.kill('SIGTERM')).toBe(0);
    await job.expectEachOnce();
  });
}
