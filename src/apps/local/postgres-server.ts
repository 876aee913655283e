/** PostgreSQL's server as a child process: started, watched and stopped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { atMost, delay } from '../../backoff.ts';
import { MillraceError } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import { monotonicMs } from '../../monotonic.ts';
import type { ProcessUser } from './postgres-user.ts';

export interface PostgresServerOptions {
  /** Path of the program. */
  readonly program: string;
  /** The data folder, as initdb makes it. */
  readonly data: string;
  readonly port: number;
  readonly user: ProcessUser;
  /** By name, as in postgresql.conf. */
  readonly settings: Readonly<Record<string, string>>;
  readonly logger: Logger;
}

/** ms that a start may take: a recovery after a crash included. */
const START_MS = 60_000;
/** ms for a stop in order, which writes a checkpoint; then ms for one without. */
const FAST_STOP_MS = 10_000;
const IMMEDIATE_STOP_MS = 5_000;
const KEPT_LINES = 10;
const POLL_MS = 20;

/**
 * Ends the server when this process is gone, however it went: its end of the pipe is closed then. The number is compared
 * with the server's own, since another process may have it by now.
 */
const WATCH = 'cat >/dev/null; [ "$(head -n 1 "$1" 2>/dev/null)" = "$2" ] && kill -INT "$2"';

export class PostgresServer {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #lines: string[] = [];
  #watch: ChildProcess | undefined;
  #hasExited = false;
  #isStopping = false;

  private constructor({ program, data, port, user, settings, logger }: PostgresServerOptions, onReady: () => void) {
    const flags = Object.entries({ ...SETTINGS, ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    // A group of its own: Ctrl-C is for this process, which still has work for the server then.
    const child = spawn(program, ['-D', data, '-p', String(port), ...flags], {
      ...user,
      cwd: '/',
      env: { ...process.env, LC_ALL: 'C' },
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    this.#child = child;
    createInterface({ input: child.stderr! }).on('line', (line) => {
      logger.debug({ line }, 'PostgreSQL');
      this.#lines.push(line);
      if (this.#lines.length > KEPT_LINES) this.#lines.shift();
      if (line.includes('database system is ready to accept connections')) onReady();
    });
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#lines.push(error.message);
        resolve();
      });
      child.once('close', () => resolve());
    });
    void this.#exited.then(() => {
      this.#hasExited = true;
      this.#watch?.kill('SIGKILL');
    });
    if (process.platform !== 'win32' && child.pid !== undefined) this.#watch = watch(child.pid, data, user);
  }

  /**
   * @returns once it takes connections
   * @throws MILLRACE_APPS_POSTGRES_START
   */
  static async start(options: PostgresServerOptions): Promise<PostgresServer> {
    let onReady = (): void => {};
    const ready = new Promise<void>((resolve) => {
      onReady = resolve;
    });
    const server = new PostgresServer(options, onReady);
    const over = new AbortController();
    let isReady = false;
    await Promise.race([ready.then(() => (isReady = true)), server.#exited, delay(START_MS, over.signal)]);
    over.abort();
    if (!isReady) {
      const output = server.#lines.join('\n');
      await server.stop();
      throw startFailed(output === '' ? `it was not ready within ${START_MS / 1000} s` : output);
    }
    void server.#exited.then(() => {
      if (!server.#isStopping)
        options.logger.error(
          { lines: server.#lines },
          'PostgreSQL has ended by itself: what needs it waits from now on',
        );
    });
    return server;
  }

  /** Of the server's first process. */
  get pid(): number {
    return this.#child.pid!;
  }

  /** Ends it in order, connections are closed; without order where that takes more than ten seconds. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#watch?.kill('SIGKILL');
    for (const [signal, ms] of STOPS) {
      if (this.#hasExited) return;
      this.#child.kill(signal);
      await atMost(ms, this.#exited);
    }
  }
}

/** PostgreSQL's fast and immediate shutdown; then, as nothing is lost that a recovery does not find, the end. */
const STOPS: readonly (readonly [NodeJS.Signals, number])[] = [
  ['SIGINT', FAST_STOP_MS],
  ['SIGQUIT', IMMEDIATE_STOP_MS],
  ['SIGKILL', IMMEDIATE_STOP_MS],
];

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  logging_collector: 'off',
  log_destination: 'stderr',
  lc_messages: 'C',
};

/** @param reason the server's last words */
export function startFailed(reason: string): MillraceError {
  return new MillraceError('MILLRACE_APPS_POSTGRES_START', `The local PostgreSQL does not start: ${reason}`);
}

function watch(pid: number, data: string, user: ProcessUser): ChildProcess {
  const watching = spawn('/bin/sh', ['-c', WATCH, 'sh', join(data, 'postmaster.pid'), String(pid)], {
    ...user,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  // Without a shell it is the next start that ends the server.
  watching.on('error', () => undefined);
  watching.unref();
  (watching.stdin as Socket | null)?.unref();
  return watching;
}

/**
 * Ends the server that a killed process has left on the folder, and removes what says that there is one where there is none:
 * in a container its number is often another process's.
 */
export async function stopOrphan(data: string, logger: Logger): Promise<void> {
  const path = join(data, 'postmaster.pid');
  const pid = readPid(path);
  if (pid === undefined) return;
  for (const [signal, ms] of STOPS) {
    if (!isServerOf(pid, data)) break;
    logger.warn({ pid, signal }, 'ending the PostgreSQL that a killed process has left');
    process.kill(pid, signal);
    const deadline = monotonicMs() + ms;
    while (isServerOf(pid, data) && monotonicMs() < deadline) await delay(POLL_MS);
  }
  rmSync(path, { force: true });
}

function readPid(path: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(path, 'utf8'), 10);
    return pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Whether that process runs, and is a server of that folder. */
function isServerOf(pid: number, data: string): boolean {
  try {
    process.kill(pid, 0);
    // The arguments, as they were given above; empty for one that has ended and was not asked for yet.
    return process.platform !== 'linux' || readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`\0-D\0${data}\0`);
  } catch {
    return false;
  }
}
