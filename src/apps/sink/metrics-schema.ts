/**
 * The tables of the sink, made where they are missing: in one transaction, under a lock of the database, since several
 * members start at once. Tables that are there are left as they are: a user without the right to create any can write to them.
 */
import pg from 'pg';
import { isRetriable } from './database-errors.ts';
import { COLUMNS } from './metric-rows.ts';

export interface PreparedTable extends HypertableStep {
  /** True where the table metrics was not there before. */
  readonly isCreated: boolean;
}

export interface HypertableStep {
  /** True where `metrics` is a hypertable of TimescaleDB, false for a plain table. */
  readonly isHypertable: boolean;
  /** For the log: why it is none. */
  readonly reason?: string;
}

/** Of pg_advisory_xact_lock: 'mlrc'. */
const LOCK = 0x6d6c7263;

const METRICS = `CREATE TABLE metrics (
    time timestamptz NOT NULL, service_name text, metric_name text, value double precision, labels jsonb, node text
  )`;
// One series over a time, and, at next to no cost, a time over all series.
const METRICS_INDEXES = `CREATE INDEX metrics_series_time_idx ON metrics (service_name, metric_name, time DESC);
  CREATE INDEX metrics_time_brin_idx ON metrics USING brin (time)`;
const POSITIONS = `CREATE TABLE millrace_positions (
    application_id text, topic text, partition integer, position bigint NOT NULL,
    PRIMARY KEY (application_id, topic, partition)
  )`;

/** @returns whether `metrics` was missing */
export async function createTables(connection: pg.PoolClient): Promise<boolean> {
  await connection.query('BEGIN');
  await connection.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
  const { rows } = await connection.query<{ metrics: boolean; positions: boolean }>(
    `SELECT to_regclass('metrics') IS NOT NULL AS metrics, to_regclass('millrace_positions') IS NOT NULL AS positions`,
  );
  const { metrics, positions } = rows[0]!;
  if (!metrics) await connection.query(`${METRICS}; ${METRICS_INDEXES}`);
  if (!positions) await connection.query(POSITIONS);
  await connection.query('COMMIT');
  return !metrics;
}

/**
 * Makes `metrics` a hypertable where the extension timescaledb is installed or can be. Done before, it does nothing; where it
 * cannot be done the table stays plain and works the same.
 */
export async function useHypertable(connection: pg.PoolClient): Promise<HypertableStep> {
  try {
    if (!(await isAvailable(connection)))
      return { isHypertable: false, reason: 'the server does not have the extension timescaledb' };
    await connection.query('BEGIN');
    await connection.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
    await connection.query('CREATE EXTENSION IF NOT EXISTS timescaledb');
    if (!(await isHypertable(connection))) await createHypertable(connection);
    await connection.query('COMMIT');
    return { isHypertable: true };
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || isRetriable(error.code ?? '')) throw error;
    // One that the server ended, for want of a preloaded library, fails here and is closed.
    await connection.query('ROLLBACK').catch(() => undefined);
    return { isHypertable: false, reason: `${error.message} (SQLSTATE ${error.code})` };
  }
}

async function isAvailable(connection: pg.PoolClient): Promise<boolean> {
  const { rows } = await connection.query("SELECT FROM pg_available_extensions WHERE name = 'timescaledb'");
  return rows.length > 0;
}

async function isHypertable(connection: pg.PoolClient): Promise<boolean> {
  const { rows } = await connection.query(
    `SELECT FROM timescaledb_information.hypertables
     WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = 'metrics'::regclass`,
  );
  return rows.length > 0;
}

/** Rows that are there are moved into chunks, which takes as long as it takes. */
async function createHypertable(connection: pg.PoolClient): Promise<void> {
  const { rows } = await connection.query<{ schema: string }>(
    `SELECT quote_ident(nspname) AS schema FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
     WHERE extname = 'timescaledb'`,
  );
  await connection.query('SET LOCAL statement_timeout = 0');
  const patient = {
    text: `SELECT ${rows[0]!.schema}.create_hypertable('metrics', '${COLUMNS[0][0]}'::name, if_not_exists => true, migrate_data => true)`,
    query_timeout: 2 ** 31 - 1,
  };
  await connection.query(patient);
}
