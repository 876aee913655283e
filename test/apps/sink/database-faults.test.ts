/** A database that is down, restarted, full of connections or asked wrongly: what is worth a retry, and that a retry goes on. */
import { inspect } from 'node:util';
import pg from 'pg';
import { afterAll, test as anyTest, beforeAll, beforeEach, describe, expect } from 'vitest';
import { DatabaseError, databaseError, isRetriable } from '../../../src/apps/sink/database-errors.ts';
import { MetricsTable } from '../../../src/apps/sink/metrics-table.ts';
import { freePort } from '../../support/free-port.ts';
import { move, refuseNothing, rowsFrom, storedPositions, storedValues } from '../../support/postgres/metrics.ts';
import { hasPostgres, OwnPostgres, query } from '../../support/postgres/postgres.ts';
import { waitFor } from '../../support/wait.ts';

const test = anyTest.runIf(hasPostgres);
const applicationId = 'sink';

let postgres: OwnPostgres;
let url: string;
const tables: MetricsTable[] = [];
beforeAll(async () => {
  if (!hasPostgres) return;
  postgres = new OwnPostgres();
  ({ url } = await postgres.start());
  await tableAt(url).prepare();
});
afterAll(async () => {
  for (const table of tables) await table.close();
  await postgres?.close();
});
beforeEach(async () => {
  if (hasPostgres) await query(url, 'TRUNCATE metrics, millrace_positions');
});

function tableAt(address: string, connections = 4): MetricsTable {
  const table = new MetricsTable({ url: address, connections, connectTimeoutMs: 5_000, statementTimeoutMs: 5_000 });
  tables.push(table);
  return table;
}

function at(change: (address: URL) => void): string {
  const address = new URL(url);
  change(address);
  return String(address);
}

async function errorOf(table: MetricsTable): Promise<DatabaseError> {
  const error = await table.load(applicationId, []).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof DatabaseError)) throw error;
  return error;
}

/** Writes batches of three, each until it is stored; what fails on the way must be worth the retry. */
class Writing {
  stored = 0;
  failed = 0;
  #isOver = false;
  readonly #done: Promise<void>;

  constructor(table: MetricsTable) {
    this.#done = this.#run(table);
  }

  async #run(table: MetricsTable): Promise<void> {
    while (!this.#isOver) {
      const from = this.stored;
      const positions = [move(from === 0 ? null : from, from + 3)];
      try {
        const outcome = await table.write({
          applicationId,
          rows: rowsFrom(from, 3),
          positions,
          refused: refuseNothing,
        });
        expect(outcome).not.toBe('fenced');
        this.stored += 3;
      } catch (error) {
        expect(error).toMatchObject({ code: 'MILLRACE_APPS_DATABASE_UNAVAILABLE', retriable: true });
        this.failed++;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }

  end(): Promise<void> {
    this.#isOver = true;
    return this.#done;
  }
}

test.for([
  ['stopped and started again', () => postgres.stop()],
  ['killed and started again', () => postgres.kill()],
] as const)('a database that is %s under a writer: it goes on, each record once', async ([, stop]) => {
  const writing = new Writing(tableAt(url));
  for (let round = 0; round < 2; round++) {
    const { stored, failed } = writing;
    await waitFor(() => writing.stored > stored + 30);
    await stop();
    await waitFor(() => writing.failed > failed);
    await postgres.start();
  }
  const { stored } = writing;
  await waitFor(() => writing.stored > stored + 30);
  await writing.end();
  expect(await storedValues(url)).toEqual([...Array(writing.stored).keys()]);
  expect(await storedPositions(url)).toEqual({ 'sink/metrics-0': writing.stored });
});

test('connections that an administrator ends under a writer: it goes on, each record once', async () => {
  const writing = new Writing(tableAt(url));
  for (let round = 0; round < 5; round++) {
    const { stored } = writing;
    await waitFor(() => writing.stored > stored + 15);
    await query(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace'");
  }
  await writing.end();
  expect(await storedValues(url)).toEqual([...Array(writing.stored).keys()]);
});

/** A user of the tables, with what its connections begin with. @returns the address */
async function createUser(name: string, settings: string): Promise<string> {
  await query(url, `CREATE ROLE ${name} LOGIN PASSWORD 'x' ${settings}`);
  await query(url, `GRANT SELECT, INSERT, UPDATE ON metrics, millrace_positions TO ${name}`);
  return at((address) => {
    address.username = name;
    address.password = 'x';
  });
}

test('a database out of connections is waited for', async () => {
  const few = await createUser('few', 'CONNECTION LIMIT 1');
  const other = new pg.Client({ connectionString: few });
  await other.connect();
  const writing = new Writing(tableAt(few));
  await waitFor(() => writing.failed > 1);
  expect(await errorOf(tableAt(few))).toMatchObject({ retriable: true, sqlState: '53300' });
  await other.end();
  await waitFor(() => writing.stored > 0);
  await writing.end();
});

test('a database that is read-only, as before a failover, is waited for', async () => {
  const reader = await createUser('reader', '');
  await query(url, "ALTER ROLE reader SET default_transaction_read_only = 'on'");
  const writing = new Writing(tableAt(reader));
  await waitFor(() => writing.failed > 1);
  // What failed took its connection with it.
  await query(url, 'ALTER ROLE reader RESET default_transaction_read_only');
  await waitFor(() => writing.stored > 0);
  await writing.end();
});

test('a statement that takes too long is ended by the server, and worth a retry', async () => {
  const table = new MetricsTable({ url, statementTimeoutMs: 50 });
  tables.push(table);
  await query(url, "INSERT INTO millrace_positions VALUES ('sink', 'metrics', 0, 3)");
  const other = new pg.Client({ connectionString: url });
  await other.connect();
  await other.query('BEGIN; UPDATE millrace_positions SET position = 4');
  const options = { applicationId, rows: rowsFrom(3, 1), positions: [move(3, 4)], refused: refuseNothing };
  await expect(table.write(options)).rejects.toMatchObject({ retriable: true, sqlState: '57014' });
  await other.query('ROLLBACK');
  await other.end();
  expect(await table.write(options)).toBe('written');
});

test('what only a person can mend is not worth a retry, and says so without the password', async () => {
  const nobody = await freePort();
  const cases: [string, string, RegExp][] = [
    [at((a) => (a.password = 'secret')), '28P01', /password authentication failed.*DATABASE_URL/],
    [at((a) => (a.username = 'stranger')), '28P01', /password authentication failed for user "stranger"/],
    [at((a) => (a.password = '')), 'none', /password.*DATABASE_URL/],
    [at((a) => (a.pathname = 'nowhere')), '3D000', /"nowhere" does not exist.*Create the database/],
    [at((a) => (a.search = 'sslmode=verify-full')), 'none', /SSL.*DATABASE_URL/],
  ];
  for (const [address, sqlState, message] of cases) {
    const error = await errorOf(tableAt(address));
    expect(error).toMatchObject({ code: 'MILLRACE_APPS_DATABASE_REFUSED', retriable: false });
    expect(error.sqlState ?? 'none').toBe(sqlState);
    expect(error.message).toMatch(message);
    expect(error.message).toContain('127.0.0.1');
    expect(`${error.message} ${JSON.stringify(error)}`).not.toMatch(/secret|[0-9a-f]{32}/);
  }
  const down = await errorOf(tableAt(at((a) => (a.port = String(nobody)))));
  expect(down).toMatchObject({ code: 'MILLRACE_APPS_DATABASE_UNAVAILABLE', retriable: true });
  expect(down.message).toMatch(new RegExp(`127\\.0\\.0\\.1:${nobody}/postgres: .*ECONNREFUSED`));
  const unknown = await errorOf(tableAt(at((a) => (a.hostname = 'database.invalid'))));
  expect(unknown).toMatchObject({ code: 'MILLRACE_APPS_DATABASE_UNAVAILABLE', retriable: true });
});

describe('without a database', () => {
  anyTest('an address that is none is refused without being repeated', () => {
    const wrong = ['', 'host', 'mysql://u:secret@host/x', 'postgres://u:secret@host:port/x'];
    for (const address of [...wrong, 'postgres://u:secret@host/x?sslrootcert=/nowhere']) {
      let error: unknown;
      try {
        new MetricsTable({ url: address });
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toMatchObject({
        message: expect.stringMatching(/^DATABASE_URL must be postgres:\/\/user:password@/),
      });
      expect(inspect(error)).not.toContain('secret');
    }
  });

  anyTest('what passes is worth a retry, what somebody must change is not', () => {
    const retriable =
      '08000 08001 08003 08006 25006 25P03 40001 40P01 53100 53200 53300 55P03 57014 57P01 57P02 57P03 58030';
    const final =
      '0A000 22021 23505 25001 28000 28P01 3D000 3F000 42501 42601 42703 42P01 54000 58P01 XX000 XX001 P0001';
    expect(retriable.split(' ').filter((state) => !isRetriable(state))).toEqual([]);
    expect(final.split(' ').filter(isRetriable)).toEqual([]);
  });

  anyTest('an error that is no answer of a database stays what it is', () => {
    for (const error of [new TypeError('a mistake'), new RangeError('another'), 'thrown', undefined])
      expect(databaseError(error, 'do')).toBe(error);
    const lost = new AggregateError([new Error('connect ECONNREFUSED ::1:5432')], '');
    expect(databaseError(Object.assign(lost, { code: 'ECONNREFUSED' }), 'do')).toMatchObject({
      retriable: true,
      message: expect.stringContaining('::1:5432'),
    });
  });
});
