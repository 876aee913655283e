/** Rows and positions, both or neither: outcomes, races, rows that the database refuses, and the end by a signal. */
import pg from 'pg';
import { afterAll, afterEach, test as anyTest, beforeAll, beforeEach, expect, vi } from 'vitest';
import type { RowRefusedError } from '../../../src/apps/sink/database-errors.ts';
import type { MetricRow } from '../../../src/apps/sink/metric-rows.ts';
import { MetricsTable, type WriteOptions, type WriteOutcome } from '../../../src/apps/sink/metrics-table.ts';
import { move, refuseNothing, row, rowsFrom, storedPositions, storedValues } from '../../support/postgres/metrics.ts';
import { createDatabase, hasPostgres, query } from '../../support/postgres/postgres.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { waitFor } from '../../support/wait.ts';

const test = anyTest.runIf(hasPostgres);
const applicationId = 'sink';

let url: string;
let table: MetricsTable;
beforeAll(async () => {
  if (!hasPostgres) return;
  url = await createDatabase();
  table = new MetricsTable({ url, connections: 8 });
  await table.prepare();
});
afterAll(() => table?.close());
beforeEach(async () => {
  if (hasPostgres) await query(url, 'TRUNCATE metrics, millrace_positions');
});
afterEach(() => vi.restoreAllMocks());

function write(options: Partial<WriteOptions> & Pick<WriteOptions, 'positions'>, to = table): Promise<WriteOutcome> {
  return to.write({ applicationId, rows: [], refused: refuseNothing, ...options });
}

/** Connections of the table that the server has a transaction open on. */
const OPEN_TRANSACTIONS = `SELECT FROM pg_stat_activity
  WHERE datname = current_database() AND application_name = 'millrace' AND xact_start IS NOT NULL`;

const isBlocked = async (): Promise<boolean> =>
  (await query(url, `${OPEN_TRANSACTIONS} AND wait_event_type = 'Lock'`)).length > 0;

/** A transaction of somebody else that holds the position of partition 0 at `next`. */
async function holdPosition(next: number): Promise<pg.Client> {
  const other = new pg.Client({ connectionString: url });
  await other.connect();
  await other.query('BEGIN');
  await other.query(
    `INSERT INTO millrace_positions VALUES ($1, 'metrics', 0, $2)
     ON CONFLICT (application_id, topic, partition) DO UPDATE SET position = $2`,
    [applicationId, next],
  );
  return other;
}

test('rows and positions are stored together, in one statement, and the positions loaded', async () => {
  expect(await table.load(applicationId, [{ topic: 'metrics', partition: 0 }])).toEqual([]);
  const statements = vi.spyOn(pg.Client.prototype, 'query');
  expect(await write({ rows: rowsFrom(0, 1000), positions: [move(null, 1000)] })).toBe('written');
  expect(await write({ rows: rowsFrom(1000, 10), positions: [move(1000, 1010)] })).toBe('written');
  expect(statements).toHaveBeenCalledTimes(2);
  expect(await storedValues(url)).toEqual(Array.from({ length: 1010 }, (_, i) => i));
  expect(
    await table.load(applicationId, [
      { topic: 'metrics', partition: 0 },
      { topic: 'metrics', partition: 1 },
    ]),
  ).toEqual([{ topic: 'metrics', partition: 0, offset: 1010 }]);
});

test('a write that went through before is known by its position, also the first', async () => {
  for (const expected of [null, 5]) {
    const again = { rows: rowsFrom(expected ?? 0, 5), positions: [move(expected, (expected ?? 0) + 5)] };
    expect(await write(again)).toBe('written');
    expect(await write(again)).toBe('already');
  }
  expect(await storedValues(url)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('from a position that somebody else has moved nothing is stored', async () => {
  await write({ rows: rowsFrom(0, 5), positions: [move(null, 5)] });
  expect(await write({ rows: rowsFrom(0, 7), positions: [move(null, 7)] })).toBe('fenced');
  expect(await write({ rows: rowsFrom(3, 7), positions: [move(3, 10)] })).toBe('fenced');
  expect(await write({ rows: rowsFrom(9, 1), positions: [move(9, 10)] })).toBe('fenced');
  // One that is not there at all, as after somebody has deleted it.
  expect(await write({ rows: rowsFrom(5, 1), positions: [move(5, 6, 1)] })).toBe('fenced');
  expect(await storedValues(url)).toEqual([0, 1, 2, 3, 4]);
  expect(await storedPositions(url)).toEqual({ 'sink/metrics-0': 5 });
});

test('a batch without rows moves the position: everything in it was dropped', async () => {
  expect(await write({ positions: [move(null, 8)] })).toBe('written');
  expect(await write({ positions: [move(8, 9)] })).toBe('written');
  expect(await write({ positions: [move(8, 9)] })).toBe('already');
  expect(await storedPositions(url)).toEqual({ 'sink/metrics-0': 9 });
});

test('of a batch of several partitions all positions are moved or none', async () => {
  const both = (a: number | null, b: number | null): WriteOptions['positions'] => [move(a, 10, 0), move(b, 20, 1)];
  expect(await write({ positions: [move(null, 4, 0)] })).toBe('written');
  for (const positions of [both(4, 3), both(null, null), both(3, null), both(3, 3)])
    expect(await write({ rows: rowsFrom(0, 3), positions })).toBe('fenced');
  expect(await storedPositions(url)).toEqual({ 'sink/metrics-0': 4 });
  expect(await storedValues(url)).toEqual([]);
  expect(await write({ rows: rowsFrom(0, 3), positions: both(4, null) })).toBe('written');
  expect(await write({ rows: rowsFrom(0, 3), positions: both(4, null) })).toBe('already');
  expect(await storedValues(url)).toEqual([0, 1, 2]);
  expect(await storedPositions(url)).toEqual({ 'sink/metrics-0': 10, 'sink/metrics-1': 20 });
});

test('a row that is refused in a batch of several partitions does not hide that positions are right', async () => {
  const refused: number[] = [];
  const positions = [move(null, 1, 0), move(null, 1, 1)];
  const rows = [row({ value: 1 }), row({ serviceName: random(10_000), value: 2 })];
  expect(await write({ rows, positions, refused: async (index) => void refused.push(index) })).toBe('written');
  expect(refused).toEqual([1]);
  expect(await storedValues(url)).toEqual([1]);
});

test('applications and topics have positions of their own', async () => {
  expect(await write({ positions: [move(null, 1)] })).toBe('written');
  expect(await write({ applicationId: 'other', positions: [move(null, 2)] })).toBe('written');
  expect(await write({ positions: [move(null, 3, 0, 'others')] })).toBe('written');
  expect(await table.load('other', [{ topic: 'metrics', partition: 0 }])).toEqual([
    { topic: 'metrics', partition: 0, offset: 2 },
  ]);
  expect(await storedPositions(url)).toEqual({ 'sink/metrics-0': 1, 'other/metrics-0': 2, 'sink/others-0': 3 });
});

test('of many writers at one position, one stores its rows', async () => {
  let position: number | null = null;
  for (let round = 0; round < 20; round++) {
    const next: number = (position ?? 0) + 10;
    // Even without a sight of each other's positions: each claims another length.
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        write({ rows: rowsFrom(next, 10), positions: [move(position, next + (i % 2 === 0 ? 0 : 1000 + i))] }),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === 'written')).toHaveLength(1);
    position = (await table.load(applicationId, [{ topic: 'metrics', partition: 0 }]))[0]!.offset;
    if (position === next) expect(outcomes.filter((outcome) => outcome === 'already')).toHaveLength(3);
    else expect(outcomes).not.toContain('already');
    expect(await query(url, 'SELECT count(*)::int AS n FROM metrics')).toEqual([{ n: (round + 1) * 10 }]);
  }
});

test('a position that another is moving is waited for: committed, it fences; rolled back, it does not', async () => {
  for (const [end, outcome, first] of [
    ['ROLLBACK', 'written', null],
    ['COMMIT', 'fenced', 3],
    ['ROLLBACK', 'written', 7],
  ] as const) {
    const other = await holdPosition(7);
    const writing = write({ rows: rowsFrom(0, 3), positions: [move(first, first === 7 ? 9 : 3)] });
    await waitFor(isBlocked, 10_000, 'the lock');
    await other.query(end);
    await other.end();
    expect(await writing).toBe(outcome);
  }
  expect(await storedValues(url)).toEqual([0, 0, 1, 1, 2, 2]);
});

const REFUSED: readonly (readonly [string, Partial<MetricRow>, RegExp])[] = [
  ['NUL in a service', { serviceName: 'a\0b' }, /service_name has the character NUL/],
  ['half a surrogate pair in a name', { metricName: 'a\ud800b' }, /metric_name has .* surrogate/],
  ['half a surrogate pair at the end of a node', { node: 'a\ud83d' }, /node has .* surrogate/],
  ['NUL in a label', { labels: { a: 'b\0' } }, /labels has the character NUL/],
  ['NUL in a label’s name', { labels: { '\0': 'b' } }, /labels has the character NUL/],
  ['half a surrogate pair in a label', { labels: { a: '\udfff' } }, /labels has .* surrogate/],
  ['labels in a circle', { labels: circle() }, /labels are no JSON/],
  ['a time beyond timestamptz', { time: 1e16 }, /time is no whole number .* timestamptz/],
  ['a time before timestamptz', { time: -1e15 }, /time is no whole number .* timestamptz/],
  ['a fraction as time', { time: 1.5 }, /time is no whole number/],
  ['no number as time', { time: Number.NaN }, /time is no whole number/],
  ['a string too long for the index', { serviceName: random(10_000) }, /too large, for an index.*SQLSTATE 54000/],
  ['a number out of a column’s range', { value: 1e300 }, /check constraint "not_huge".*SQLSTATE 23514/],
  ['what a trigger refuses', { node: 'refuse me' }, /a trigger raised.*SQLSTATE P0001/],
  ['the same row again, deferred to the commit', { node: 'twice' }, /unique constraint "once".*SQLSTATE 23505/],
];

function circle(): Record<string, unknown> {
  const labels: Record<string, unknown> = {};
  labels['self'] = labels;
  return labels;
}

/** That no compression makes short. */
function random(length: number): string {
  let seed = 1;
  return Array.from({ length }, () => ((seed = (seed * 48271) % 2147483647) % 36).toString(36)).join('');
}

test('each kind of row that the database refuses is handed over, and the others are stored', async () => {
  const own = await createDatabase();
  const strict = new MetricsTable({ url: own });
  await strict.prepare();
  await query(own, 'ALTER TABLE metrics ADD CONSTRAINT not_huge CHECK (value < 1e200)');
  await query(own, 'CREATE TABLE seen (node text CONSTRAINT once UNIQUE DEFERRABLE INITIALLY DEFERRED)');
  await query(
    own,
    `CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       IF NEW.node = 'refuse me' THEN RAISE EXCEPTION 'no: %', NEW.node; END IF;
       IF NEW.node = 'twice' THEN INSERT INTO seen VALUES (NEW.node); END IF;
       RETURN NEW;
     END $$`,
  );
  await query(own, 'CREATE TRIGGER guard BEFORE INSERT ON metrics FOR EACH ROW EXECUTE FUNCTION guard()');
  await query(own, "INSERT INTO seen VALUES ('twice')");
  let position: number | null = null;
  for (const [kind, bad, message] of REFUSED) {
    await query(own, 'TRUNCATE metrics');
    const rows = rowsFrom(0, 50);
    rows[17] = row(bad);
    const errors: [number, RowRefusedError][] = [];
    const next: number = (position ?? 0) + 50;
    const outcome = await write(
      { rows, positions: [move(position, next)], refused: async (...given) => void errors.push(given) },
      strict,
    );
    expect([kind, outcome, errors.map(([index]) => index)]).toEqual([kind, 'written', [17]]);
    const error = errors[0]![1];
    expect(error).toMatchObject({ code: 'MILLRACE_APPS_ROW_REFUSED', retriable: false });
    expect([kind, error.message]).toEqual([kind, expect.stringMatching(message)]);
    expect(JSON.stringify([error, error.message, error.cause])).not.toMatch(/refuse me|a\\u0000b|[0-9a-z]{100}/);
    expect(await storedValues(own)).toEqual([...Array(50).keys()].filter((i) => i !== 17));
    position = next;
  }
  expect(await storedPositions(own)).toEqual({ 'sink/metrics-0': position });
  await strict.close();
});

function insertsOf(calls: readonly (readonly unknown[])[]): number {
  return calls.filter(([statement]) => String(statement).startsWith('INSERT INTO metrics')).length;
}

test('three rows of a thousand that only the database can refuse are found in some forty statements', async () => {
  const rows = rowsFrom(0, 1000);
  for (const i of [0, 500, 999]) rows[i] = row({ serviceName: random(10_000) });
  const statements = vi.spyOn(pg.Client.prototype, 'query');
  const refused: number[] = [];
  const options = { rows, positions: [move(null, 1000)], refused: async (i: number) => void refused.push(i) };
  expect(await write(options)).toBe('written');
  expect(refused).toEqual([0, 500, 999]);
  expect(insertsOf(statements.mock.calls)).toBeLessThan(2 * 3 * Math.log2(1000));
  expect((await storedValues(url)).length).toBe(997);
});

test('rows that are all refused move the position; each is handed over, in order', async () => {
  const rows = rowsFrom(0, 40).map((r, i) =>
    i % 2 === 0 ? { ...r, time: 0.5 } : { ...r, serviceName: random(9_000) },
  );
  const refused: number[] = [];
  const options = { rows, positions: [move(null, 40)], refused: async (i: number) => void refused.push(i) };
  expect(await write(options)).toBe('written');
  expect(refused).toEqual([...Array(40).keys()]);
  expect(await storedPositions(url)).toEqual({ 'sink/metrics-0': 40 });
});

test('nothing is committed before what takes the refused rows has resolved', async () => {
  let resolve = (): void => {};
  const taken = new Promise<void>((r) => {
    resolve = r;
  });
  let isAsked = false;
  const writing = write({
    rows: [row({ value: 1 }), row({ time: 0.5 })],
    positions: [move(null, 2)],
    refused: () => {
      isAsked = true;
      return taken;
    },
  });
  await waitFor(() => isAsked);
  expect(await storedValues(url)).toEqual([]);
  expect(await storedPositions(url)).toEqual({});
  resolve();
  expect(await writing).toBe('written');
  expect(await storedValues(url)).toEqual([1]);
});

test('where the refused row cannot be handed over, nothing is stored, and the error is the caller’s own', async () => {
  // As a lost connection of the database looks.
  const mine = Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' });
  const options = { rows: [row({ value: 1 }), row({ time: 0.5 })], positions: [move(null, 2)] };
  await expect(write({ ...options, refused: () => Promise.reject(mine) })).rejects.toBe(mine);
  expect(await storedValues(url)).toEqual([]);
  expect(await write({ ...options, refused: async () => undefined })).toBe('written');
});

test('who is fenced hands no row over', async () => {
  await write({ positions: [move(null, 5)] });
  const rows = [row({ time: 0.5 }), row({ serviceName: random(9_000) })];
  expect(await write({ rows, positions: [move(3, 9)] })).toBe('fenced');
  expect(await query(url, OPEN_TRANSACTIONS)).toEqual([]);
});

test('rows that come to more than a statement should have are stored in several', async () => {
  const rows = Array.from({ length: 3 }, (_, value) => row({ value, node: 'n'.repeat(9_000_000) }));
  const statements = vi.spyOn(pg.Client.prototype, 'query');
  expect(await write({ rows, positions: [move(null, 5)] })).toBe('written');
  expect(insertsOf(statements.mock.calls)).toBe(3);
  expect(await storedValues(url)).toEqual([0, 1, 2]);
});

test('a signal ends a write that waits at once; nothing of it is stored, and the table works on', async () => {
  const other = await holdPosition(7);
  const abort = new AbortController();
  const one = new MetricsTable({ url, connections: 1 });
  const writing = write({ rows: rowsFrom(0, 3), positions: [move(null, 3)], signal: abort.signal }, one);
  await waitFor(isBlocked, 10_000, 'the lock');
  abort.abort(new Error('enough'));
  await expect(writing).rejects.toThrow('enough');
  await other.query('ROLLBACK');
  await other.end();
  // The statement that waited may have gone through after the signal: then it is known.
  expect(['written', 'already']).toContain(await write({ rows: rowsFrom(0, 3), positions: [move(null, 3)] }, one));
  expect(await storedValues(url)).toEqual([0, 1, 2]);
  await one.close();
});

test('a signal while refused rows are handed over leaves no transaction on the server', async () => {
  const abort = new AbortController();
  const options = { rows: [row({ value: 1 }), row({ time: 0.5 })], positions: [move(null, 2)] };
  let isAsked = false;
  const writing = write({
    ...options,
    signal: abort.signal,
    refused: () => {
      isAsked = true;
      return new Promise(() => undefined);
    },
  });
  await waitFor(() => isAsked);
  abort.abort(new Error('enough'));
  await expect(writing).rejects.toThrow('enough');
  await waitFor(async () => (await query(url, OPEN_TRANSACTIONS)).length === 0, 10_000, 'the end of the transaction');
  expect(await write({ ...options, refused: async () => undefined })).toBe('written');
  await expect(write({ ...options, signal: abort.signal })).rejects.toThrow('enough');
});

test('a signal ends the wait for a connection, and the connection that comes later is there for others', async () => {
  const other = await holdPosition(7);
  const one = new MetricsTable({ url, connections: 1 });
  const writing = write({ positions: [move(null, 3)] }, one);
  await waitFor(isBlocked, 10_000, 'the lock');
  const abort = new AbortController();
  const loading = one.load(applicationId, [], abort.signal);
  abort.abort(new Error('enough'));
  await expect(loading).rejects.toThrow('enough');
  await other.query('ROLLBACK');
  await other.end();
  expect(await writing).toBe('written');
  expect(await one.load(applicationId, [])).toEqual([]);
  await one.close();
});

test('a database that falls silent is given up, by the time-outs or by the signal', async () => {
  const proxy = await TcpProxy.start(new URL(url).host);
  const through = new URL(url);
  through.port = String(proxy.port);
  const unavailable = { code: 'MILLRACE_APPS_DATABASE_UNAVAILABLE', retriable: true };
  const hasty = new MetricsTable({ url: String(through), statementTimeoutMs: 100 });
  await hasty.load(applicationId, []);
  // The connection that stands.
  proxy.goDark();
  await expect(hasty.load(applicationId, [])).rejects.toMatchObject(unavailable);
  await hasty.load(applicationId, []);
  // New ones.
  proxy.isDark = true;
  const patient = new MetricsTable({ url: String(through), connectTimeoutMs: 600_000 });
  const abort = new AbortController();
  const loading = patient.load(applicationId, [], abort.signal);
  await waitFor(() => proxy.lines.some(({ isDark, client }) => isDark && !client.destroyed));
  abort.abort(new Error('enough'));
  await expect(loading).rejects.toThrow('enough');
  const short = new MetricsTable({ url: String(through), connectTimeoutMs: 50 });
  await expect(short.load(applicationId, [])).rejects.toMatchObject(unavailable);
  proxy.close();
  for (const far of [hasty, patient, short]) await far.close();
});

test('after close() nothing begins', async () => {
  const closed = new MetricsTable({ url });
  await closed.load(applicationId, []);
  await Promise.all([closed.close(), closed.close()]);
  await expect(closed.load(applicationId, [])).rejects.toMatchObject({ code: 'MILLRACE_APPS_DATABASE_UNAVAILABLE' });
});
