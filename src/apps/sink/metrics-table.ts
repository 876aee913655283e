/**
 * The table that metrics are stored in, on PostgreSQL or TimescaleDB, each record once: the position of each partition is a row
 * of `millrace_positions`, compared and set by the statement that stores the rows. Whoever writes from a position that
 * somebody else has moved on, as a member that lost its tasks does, stores nothing.
 */
import pg from 'pg';
import type { BatchPosition } from '../../index.ts';
import { DatabaseConnections, type DatabaseOptions } from './database-connections.ts';
import { isAboutRows, type RowRefusedError, rowRefused } from './database-errors.ts';
import { COLUMNS, type MetricRow, MetricRows } from './metric-rows.ts';
import { createTables, type PreparedTable, useHypertable } from './metrics-schema.ts';

export interface TablePosition {
  readonly topic: string;
  readonly partition: number;
  /** Of the first record that is not stored yet. */
  readonly offset: number;
}

export interface WriteOptions {
  readonly applicationId: string;
  readonly rows: readonly MetricRow[];
  /** All are moved, or none and nothing is stored. */
  readonly positions: readonly BatchPosition[];
  /**
   * Called for each row that the table cannot hold, in order; the others are stored, and committed once all calls have
   * resolved. Where it throws, nothing is, and the write throws the same. It can be called again for the same row when the write is tried again.
   */
  readonly refused: (index: number, error: RowRefusedError) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * `written`; `already`: an earlier try of the same write went through, though its answer was lost; `fenced`: somebody else
 * has moved a position, nothing is stored, and `load` tells where it stands.
 */
export type WriteOutcome = 'written' | 'already' | 'fenced';

/**
 * Every call throws DatabaseError: MILLRACE_APPS_DATABASE_UNAVAILABLE (`retriable`: down, starting, out of connections, slow,
 * read-only, disk full) or MILLRACE_APPS_DATABASE_REFUSED (login, rights, a table of other columns); or the signal's reason.
 */
export class MetricsTable {
  readonly #connections: DatabaseConnections;

  constructor(options: DatabaseOptions) {
    this.#connections = new DatabaseConnections(options);
  }

  /** host:port/database. */
  get address(): string {
    return this.#connections.address;
  }

  /**
   * Creates the tables that are missing, makes `metrics` a hypertable where TimescaleDB is there, and checks that rows can be
   * written. Any number of members may do so at once.
   */
  async prepare(signal?: AbortSignal): Promise<PreparedTable> {
    const isCreated = await this.#connections.use('prepare the table metrics', createTables, signal);
    // On a connection of its own: an extension that is not preloaded ends it.
    const hypertable = await this.#connections.use('make metrics a hypertable', useHypertable, signal);
    await this.write({ applicationId: '', rows: [], positions: [], refused: async () => undefined, signal });
    return { isCreated, ...hypertable };
  }

  /** The positions of those partitions that have one. */
  async load(
    applicationId: string,
    partitions: readonly { readonly topic: string; readonly partition: number }[],
    signal?: AbortSignal,
  ): Promise<TablePosition[]> {
    return this.#connections.use(
      'load positions',
      (connection) => loadPositions(connection, applicationId, partitions),
      signal,
    );
  }

  /** Stores rows and moves positions, both or neither; in one round trip where every row can be stored. */
  async write({ applicationId, rows, positions, refused, signal }: WriteOptions): Promise<WriteOutcome> {
    let thrown: { readonly byCaller: unknown } | undefined;
    const batch: Batch = {
      applicationId,
      positions,
      rows: new MetricRows(rows),
      async refused(index, error) {
        try {
          await refused(index, error);
        } catch (byCaller) {
          thrown = { byCaller };
          throw byCaller;
        }
      },
    };
    const isPlain = batch.rows.refused.size === 0 && batch.rows.runs.length <= 1;
    const store = async (connection: pg.PoolClient): Promise<WriteOutcome> =>
      (isPlain ? await storeAtOnce(connection, batch) : undefined) ?? (await storeInParts(connection, batch));
    try {
      return await this.#connections.use('store a batch', store, signal);
    } catch (error) {
      // A connection that a dead letter's producer lost is not the database's.
      throw thrown === undefined ? error : thrown.byCaller;
    }
  }

  /** Resolves when what is under way has ended; nothing new begins. */
  close(): Promise<void> {
    return this.#connections.close();
  }
}

interface Batch {
  readonly applicationId: string;
  readonly positions: readonly BatchPosition[];
  readonly rows: MetricRows;
  readonly refused: WriteOptions['refused'];
}

const GIVEN = `given AS (
    SELECT * FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[]) AS g(topic, partition, expected, next)
  ), moved AS (
    UPDATE millrace_positions p SET position = g.next FROM given g
    WHERE p.application_id = $1 AND p.topic = g.topic AND p.partition = g.partition AND p.position = g.expected
    RETURNING 1
  ), begun AS (
    INSERT INTO millrace_positions (application_id, topic, partition, position)
    SELECT $1::text, topic, partition, next FROM given WHERE expected IS NULL
    ON CONFLICT DO NOTHING RETURNING 1
  ), held AS (
    SELECT (SELECT count(*) FROM moved) + (SELECT count(*) FROM begun) AS n
  )`;

/**
 * A position that is being moved by another is waited for, by UPDATE and ON CONFLICT alike, and compared as the other left it,
 * whatever this statement's snapshot has; `count(*)` is there before the first row is stored. Where some positions are as
 * expected and others not, the division ends the statement, and what it has moved is as before.
 */
const HELD = 'SELECT n / CASE WHEN n IN (0, cardinality($2::text[])) THEN 1 ELSE 0 END AS moved FROM held';
const DIVISION_BY_ZERO = '22012';

const NAMES = COLUMNS.map(([name]) => name).join(', ');
const arrays = (first: number): string => COLUMNS.map(([, type], i) => `$${first + i}::${type}[]`).join(', ');

const WRITE = `WITH ${GIVEN}, stored AS (
    INSERT INTO metrics (${NAMES}) SELECT * FROM unnest(${arrays(6)}) WHERE (SELECT n FROM held) = cardinality($2::text[])
  ) ${HELD}`;
const MOVE = `WITH ${GIVEN} ${HELD}`;
const STORE = `INSERT INTO metrics (${NAMES}) SELECT * FROM unnest(${arrays(1)})`;

/** @returns undefined where one of the rows is refused, and nothing stored */
async function storeAtOnce(connection: pg.PoolClient, batch: Batch): Promise<WriteOutcome | undefined> {
  const { applicationId, positions, rows } = batch;
  const parameters = [...positionParameters(applicationId, positions), ...rows.parameters(rows.runs[0] ?? [])];
  try {
    const { rows: answer } = await connection.query<{ moved: string }>(WRITE, parameters);
    return Number(answer[0]!.moved) === positions.length ? 'written' : outcomeOf(connection, batch);
  } catch (error) {
    if (!isAboutRows(error)) throw error;
    return undefined;
  }
}

/** In a transaction, with the rows that are refused left out. */
async function storeInParts(connection: pg.PoolClient, batch: Batch): Promise<WriteOutcome> {
  const { applicationId, positions, rows, refused } = batch;
  // What is deferred to the commit could not be told of a row.
  await connection.query('BEGIN; SET CONSTRAINTS ALL IMMEDIATE');
  if (!(await holdPositions(connection, applicationId, positions))) {
    await connection.query('ROLLBACK');
    return outcomeOf(connection, batch);
  }
  const errors = new Map(rows.refused);
  for (const run of rows.runs) await storeOrHalve(connection, rows, run, errors);
  for (const [index, error] of [...errors].sort(([a], [b]) => a - b)) await refused(index, error);
  await connection.query('COMMIT');
  return 'written';
}

async function holdPositions(
  connection: pg.PoolClient,
  applicationId: string,
  positions: readonly BatchPosition[],
): Promise<boolean> {
  try {
    const { rows } = await connection.query<{ moved: string }>(MOVE, positionParameters(applicationId, positions));
    return Number(rows[0]!.moved) === positions.length;
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === DIVISION_BY_ZERO) return false;
    throw error;
  }
}

/** Halves what is refused until single rows are left: k bad ones of n take some 2 k log n statements. */
async function storeOrHalve(
  connection: pg.PoolClient,
  rows: MetricRows,
  indexes: readonly number[],
  errors: Map<number, RowRefusedError>,
): Promise<void> {
  await connection.query('SAVEPOINT part');
  try {
    await connection.query(STORE, rows.parameters(indexes));
    await connection.query('RELEASE part');
    return;
  } catch (error) {
    if (!isAboutRows(error)) throw error;
    await connection.query('ROLLBACK TO part; RELEASE part');
    if (indexes.length === 1) {
      errors.set(indexes[0]!, rowRefused(error));
      return;
    }
  }
  const half = indexes.length >>> 1;
  await storeOrHalve(connection, rows, indexes.slice(0, half), errors);
  await storeOrHalve(connection, rows, indexes.slice(half), errors);
}

/** Why no position was moved. */
async function outcomeOf(connection: pg.PoolClient, { applicationId, positions }: Batch): Promise<WriteOutcome> {
  const offsets = new Map<string, number>();
  for (const { topic, partition, offset } of await loadPositions(connection, applicationId, positions))
    offsets.set(`${partition} ${topic}`, offset);
  const isThere = positions.every(({ topic, partition, next }) => offsets.get(`${partition} ${topic}`) === next);
  return isThere ? 'already' : 'fenced';
}

async function loadPositions(
  connection: pg.PoolClient,
  applicationId: string,
  partitions: readonly { readonly topic: string; readonly partition: number }[],
): Promise<TablePosition[]> {
  const { rows } = await connection.query<{ topic: string; partition: number; position: string }>(
    `SELECT topic, partition, position FROM millrace_positions
     JOIN unnest($2::text[], $3::int[]) AS given(topic, partition) USING (topic, partition)
     WHERE application_id = $1`,
    [applicationId, partitions.map(({ topic }) => topic), partitions.map(({ partition }) => partition)],
  );
  return rows.map(({ topic, partition, position }) => ({ topic, partition, offset: Number(position) }));
}

function positionParameters(applicationId: string, positions: readonly BatchPosition[]): unknown[] {
  return [
    applicationId,
    positions.map(({ topic }) => topic),
    positions.map(({ partition }) => partition),
    positions.map(({ expected }) => expected),
    positions.map(({ next }) => next),
  ];
}
