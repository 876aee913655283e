/** The sink's tables at a start: missing, there, of other columns; plain, or of TimescaleDB as far as it can be had here. */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, test as anyTest, expect } from 'vitest';
import { useHypertable } from '../../../src/apps/sink/metrics-schema.ts';
import { MetricsTable } from '../../../src/apps/sink/metrics-table.ts';
import { move, refuseNothing, row, storedValues } from '../../support/postgres/metrics.ts';
import { createDatabase, hasPostgres, query, reconnect } from '../../support/postgres/postgres.ts';
import { temporaryFolder } from '../../support/programs.ts';

const test = anyTest.runIf(hasPostgres);

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
let tables: MetricsTable[] = [];
afterEach(async () => {
  for (const table of tables) await table.close();
  tables = [];
});

function tableAt(url: string): MetricsTable {
  const table = new MetricsTable({ url });
  tables.push(table);
  return table;
}

const ABSENT = { isHypertable: false, reason: 'the server does not have the extension timescaledb' };

test('tables that are missing are made, once, however many members start at once', async () => {
  const url = await createDatabase();
  const prepared = await Promise.all(Array.from({ length: 6 }, () => tableAt(url).prepare()));
  expect(prepared.filter(({ isCreated }) => isCreated)).toEqual([{ isCreated: true, ...ABSENT }]);
  expect(await tableAt(url).prepare()).toEqual({ isCreated: false, ...ABSENT });
  expect(
    await query(
      url,
      `SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = 'metrics'
       ORDER BY ordinal_position`,
    ),
  ).toEqual(
    [
      ['time', 'timestamp with time zone', 'NO'],
      ['service_name', 'text', 'YES'],
      ['metric_name', 'text', 'YES'],
      ['value', 'double precision', 'YES'],
      ['labels', 'jsonb', 'YES'],
      ['node', 'text', 'YES'],
    ].map(([column_name, data_type, is_nullable]) => ({ column_name, data_type, is_nullable })),
  );
  expect(await query(url, "SELECT indexname FROM pg_indexes WHERE tablename = 'metrics' ORDER BY 1")).toEqual([
    { indexname: 'metrics_series_time_idx' },
    { indexname: 'metrics_time_brin_idx' },
  ]);
});

test('a table that is there stays as it is: of columns that the values fit, with more of them, without our indexes', async () => {
  const url = await createDatabase();
  await query(
    url,
    `CREATE TABLE metrics (id bigserial PRIMARY KEY, node varchar(20), labels json, value numeric, metric_name varchar(50),
     service_name text, "time" timestamp)`,
  );
  const table = tableAt(url);
  expect(await table.prepare()).toEqual({ isCreated: false, ...ABSENT });
  const refused: number[] = [];
  const rows = [row({ value: 1, node: 'n' }), row({ node: 'n'.repeat(21) }), row({ value: 3 })];
  await table.write({
    applicationId: 'sink',
    rows,
    positions: [move(null, 3)],
    refused: async (index, { message }) => {
      expect(message).toContain('too long for its column');
      refused.push(index);
    },
  });
  expect(refused).toEqual([1]);
  expect((await storedValues(url)).map(Number)).toEqual([1, 3]);
  expect(await query(url, "SELECT count(*)::int AS n FROM pg_indexes WHERE tablename = 'metrics'")).toEqual([{ n: 1 }]);
});

test('a table of other columns is an error that is not worth a retry and names the column', async () => {
  const url = await createDatabase();
  await query(url, 'CREATE TABLE metrics (time timestamptz, service text)');
  await expect(tableAt(url).prepare()).rejects.toMatchObject({
    code: 'MILLRACE_APPS_DATABASE_REFUSED',
    retriable: false,
    message: expect.stringMatching(/"service_name".*does not exist.*columns of the tables metrics/),
  });
});

test('a user who may not make tables writes to those that are there, and is told where one is missing', async () => {
  const url = await createDatabase();
  const name = new URL(url).pathname.slice(1);
  await query(url, `CREATE ROLE ${name} LOGIN PASSWORD 'x'`);
  const limited = new URL(url);
  limited.username = name;
  limited.password = 'x';
  await expect(tableAt(String(limited)).prepare()).rejects.toMatchObject({
    code: 'MILLRACE_APPS_DATABASE_REFUSED',
    message: expect.stringMatching(/permission denied.*rights/),
  });
  await tableAt(url).prepare();
  await expect(tableAt(String(limited)).prepare()).rejects.toMatchObject({ sqlState: '42501' });
  await query(url, `GRANT SELECT, INSERT, UPDATE ON metrics, millrace_positions TO ${name}`);
  const table = tableAt(String(limited));
  expect(await table.prepare()).toEqual({ isCreated: false, ...ABSENT });
  const options = { applicationId: 'sink', rows: [row()], positions: [move(null, 1)], refused: refuseNothing };
  expect(await table.write(options)).toBe('written');
});

/**
 * A database whose server has an extension named timescaledb: what the step asks of the real one, and notes of how it is called.
 *
 * @param script run by CREATE EXTENSION
 */
async function withTimescale(script: string): Promise<string> {
  const folder = temporaryFolder();
  folders.push(folder);
  const extension = join(folder, 'extension');
  mkdirSync(extension);
  writeFileSync(
    join(extension, 'timescaledb.control'),
    "default_version = '1'\nrelocatable = false\nschema = 'public'\n",
  );
  writeFileSync(join(extension, 'timescaledb--1.sql'), script);
  chmodSync(folder, 0o755);
  const url = await createDatabase();
  await query(url, `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET extension_control_path = '${folder}:$system'`);
  await reconnect(url);
  return url;
}

const LIKE_TIMESCALE = `
  CREATE SCHEMA timescaledb_information;
  CREATE TABLE timescaledb_information.hypertables (hypertable_schema name, hypertable_name name, calls text);
  GRANT USAGE ON SCHEMA timescaledb_information TO PUBLIC;
  GRANT SELECT ON timescaledb_information.hypertables TO PUBLIC;
  CREATE FUNCTION create_hypertable(relation regclass, time_column_name name, number_partitions int = NULL,
    if_not_exists boolean = false, migrate_data boolean = false) RETURNS void LANGUAGE sql AS $$
    INSERT INTO timescaledb_information.hypertables
    SELECT relnamespace::regnamespace::name, relname, format('%s %s %s', time_column_name, if_not_exists, migrate_data)
    FROM pg_class WHERE oid = relation
  $$;`;

test('where TimescaleDB is there the table is made a hypertable, once', async () => {
  const url = await withTimescale(LIKE_TIMESCALE);
  const prepared = await Promise.all(Array.from({ length: 4 }, () => tableAt(url).prepare()));
  expect(prepared.map(({ isHypertable }) => isHypertable)).toEqual([true, true, true, true]);
  expect(await tableAt(url).prepare()).toEqual({ isCreated: false, isHypertable: true });
  expect(await query(url, 'SELECT * FROM timescaledb_information.hypertables')).toEqual([
    { hypertable_schema: 'public', hypertable_name: 'metrics', calls: 'time t t' },
  ]);
});

test('an extension in another schema is found there', async () => {
  const url = await withTimescale(
    LIKE_TIMESCALE.replaceAll('FUNCTION create_hypertable', 'FUNCTION public.create_hypertable'),
  );
  await query(url, 'CREATE EXTENSION timescaledb');
  await query(url, 'CREATE SCHEMA mine');
  await query(url, `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET search_path = mine`);
  await reconnect(url);
  expect(await tableAt(url).prepare()).toEqual({ isCreated: true, isHypertable: true });
});

test('a hypertable that somebody else made is known for one, also by a user who could not make it', async () => {
  const url = await withTimescale(LIKE_TIMESCALE);
  await tableAt(url).prepare();
  const name = new URL(url).pathname.slice(1);
  await query(url, `CREATE ROLE ${name} LOGIN PASSWORD 'x'`);
  await query(url, `GRANT SELECT, INSERT, UPDATE ON metrics, millrace_positions TO ${name}`);
  const limited = new URL(url);
  limited.username = name;
  limited.password = 'x';
  expect(await tableAt(String(limited)).prepare()).toEqual({ isCreated: false, isHypertable: true });
});

test.for([
  [
    'cannot be installed',
    "DO $$ BEGIN RAISE EXCEPTION 'must be preloaded' USING ERRCODE = 'XX000'; END $$",
    /must be preloaded.*XX000/,
  ],
  ['has no such function', 'CREATE SCHEMA timescaledb_information', /hypertables.*42P01/],
  ['refuses the table', LIKE_TIMESCALE.replace('INSERT INTO', 'SELECT 1/0; INSERT INTO'), /division by zero.*22012/],
] as const)(
  'where the extension %s, the table is plain and works, and the reason is told',
  async ([, script, reason]) => {
    const url = await withTimescale(script);
    const table = tableAt(url);
    expect(await table.prepare()).toEqual({
      isCreated: true,
      isHypertable: false,
      reason: expect.stringMatching(reason),
    });
    const options = { applicationId: 'sink', rows: [row()], positions: [move(null, 1)], refused: refuseNothing };
    expect(await table.write(options)).toBe('written');
  },
);

test('an extension that is not preloaded ends the connection: the table is plain', async () => {
  const ended = Object.assign(new pg.DatabaseError('extension "timescaledb" must be preloaded', 0, 'error'), {
    severity: 'FATAL',
    code: 'XX000',
  });
  const statements: string[] = [];
  const query = async (statement: string): Promise<unknown> => {
    if (statements.some((earlier) => earlier.startsWith('CREATE')))
      throw new Error('Connection terminated unexpectedly');
    statements.push(statement);
    if (statement.startsWith('CREATE')) throw ended;
    return { rows: [{}] };
  };
  expect(await useHypertable({ query } as unknown as pg.PoolClient)).toEqual({
    isHypertable: false,
    reason: 'extension "timescaledb" must be preloaded (SQLSTATE XX000)',
  });
});
