/** Child processes that run scenarios. One that says nothing for too long is ended: its scenario hangs. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { Answer, Job } from './worker.ts';

/** ms of real time for one job. */
const JOB_MS = 60_000;
const SHRINK_MS = 600_000;

export class Pool {
  readonly #size: number;
  #idle: ChildProcess[] = [];
  #all = 0;
  #waiting: ((child: ChildProcess) => void)[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  /** `hung`: it did not end in time, or the process died. */
  async run(job: Job): Promise<Answer | 'hung'> {
    const child = await this.#take();
    const answer = await new Promise<Answer | 'hung'>((resolve) => {
      const timer = setTimeout(
        () => {
          child.kill('SIGKILL');
          resolve('hung');
        },
        job.shrinkRuns > 0 ? SHRINK_MS : JOB_MS,
      );
      const finish = (result: Answer | 'hung'): void => {
        clearTimeout(timer);
        child.removeAllListeners('message');
        child.removeAllListeners('exit');
        resolve(result);
      };
      child.once('message', (message) => finish(message as Answer));
      child.once('exit', () => finish('hung'));
      child.send(job);
    });
    if (answer !== 'hung') this.#give(child);
    else this.#give(this.#start());
    return answer;
  }

  close(): void {
    for (const child of this.#idle) child.kill();
  }

  #take(): Promise<ChildProcess> {
    const child = this.#idle.pop() ?? (this.#all < this.#size ? this.#start() : undefined);
    if (child !== undefined) {
      this.#all = Math.max(this.#all, 1);
      return Promise.resolve(child);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #give(child: ChildProcess): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(child);
    else next(child);
  }

  #start(): ChildProcess {
    this.#all++;
    return fork(join(import.meta.dirname, 'worker.js'), [], {
      execArgv: ['--expose-gc', '--enable-source-maps'],
      serialization: 'advanced',
    });
  }
}
