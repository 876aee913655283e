/** The programs as a user runs them: `node dist/apps/….js` with an environment. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = process.cwd();

export interface Program {
  readonly process: ChildProcess;
  /** Everything written to standard output and error so far. */
  output(): string;
  /** Exit code; null after a signal. */
  readonly exited: Promise<number | null>;
  kill(signal: NodeJS.Signals): Promise<number | null>;
}

/** @param fileLimitKb no file can grow beyond it: what a full disk is to a program, in the middle of a write too */
export function startProgram(
  app: string,
  env: Readonly<Record<string, string>>,
  args: readonly string[] = [],
  fileLimitKb?: number,
): Program {
  const command = [process.execPath, join(ROOT, 'dist/apps', `${app}.js`), ...args];
  const limited = ['bash', '-c', `ulimit -f ${fileLimitKb}; exec "$0" "$@"`, ...command];
  const [file, ...rest] = fileLimitKb === undefined ? command : limited;
  const child = spawn(file!, rest, {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += String(chunk);
    });
  }
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  return {
    process: child,
    output: () => output,
    exited,
    kill(signal) {
      child.kill(signal);
      return exited;
    },
  };
}

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'millrace-test-'));
}
