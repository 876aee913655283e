/** Random rows come back as they were; two writers that lose requests and answers at random store each record once. */
import fc from 'fast-check';
import { afterAll, test as anyTest, beforeAll, beforeEach, expect } from 'vitest';
import type { MetricRow } from '../../../src/apps/sink/metric-rows.ts';
import { MetricsTable } from '../../../src/apps/sink/metrics-table.ts';
import { MAX_TIME_MS, MIN_TIME_MS } from '../../../src/apps/sink/pg-array.ts';
import { move, refuseNothing, rowsFrom, storedPositions, storedValues } from '../../support/postgres/metrics.ts';
import { createDatabase, hasPostgres, query } from '../../support/postgres/postgres.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';

const test = anyTest.runIf(hasPostgres);
const applicationId = 'sink';

let url: string;
let table: MetricsTable;
beforeAll(async () => {
  if (!hasPostgres) return;
  url = await createDatabase();
  table = new MetricsTable({ url });
  await table.prepare();
});
afterAll(() => table?.close());
beforeEach(async () => {
  if (hasPostgres) await query(url, 'TRUNCATE metrics, millrace_positions');
});

/** Any text that a database can hold; with what quoting and escaping would stumble over. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }).map((s) => s.replaceAll('\0', ' ')),
  fc.constantFrom(
    '',
    'NULL',
    '{}',
    '\\',
    '"',
    "'",
    '\\N',
    '\\u0000',
    '\\\\ud800',
    '$1',
    "'; DROP TABLE metrics; --",
    '\u{1f600}',
    '\ufffd',
    '\uffff',
  ),
);

const time = fc.oneof(
  fc.integer({ min: MIN_TIME_MS, max: MAX_TIME_MS }),
  fc.integer({ min: Date.UTC(2000, 0, 1), max: Date.UTC(2040, 0, 1) }),
  fc.constantFrom(MIN_TIME_MS, MAX_TIME_MS, -1, 0, 1, 946_684_800_000, 946_684_799_999),
);

const anyRow: fc.Arbitrary<MetricRow> = fc.record({
  time,
  serviceName: fc.option(text),
  metricName: fc.option(text),
  value: fc.option(fc.double()),
  labels: fc.option(fc.dictionary(text, text, { maxKeys: 4 })),
  node: fc.option(text),
});

test('rows of any text, time and number are read back as they were', async () => {
  let position: number | null = null;
  await fc.assert(
    fc.asyncProperty(fc.array(anyRow, { maxLength: 40 }), async (rows) => {
      await query(url, 'TRUNCATE metrics');
      const next: number = (position ?? 0) + 1;
      await table.write({ applicationId, rows, positions: [move(position, next)], refused: refuseNothing });
      position = next;
      const stored = await query(
        url,
        `SELECT (extract(epoch FROM time) * 1000)::text AS ms, service_name, metric_name, float8send(value) AS value, labels,
         node FROM metrics ORDER BY ctid`,
      );
      expect(
        stored.map(({ ms, value, ...fields }) => ({
          ms: Number(ms),
          value: value === null ? null : value.readDoubleBE(),
          ...fields,
        })),
      ).toEqual(
        rows.map(({ time: ms, serviceName, metricName, ...fields }) => ({
          ms,
          service_name: serviceName,
          metric_name: metricName,
          ...fields,
        })),
      );
    }),
    { numRuns: 50 },
  );
});

test('each ms of a second, in any year, is that ms', async () => {
  const seconds = [MIN_TIME_MS, -1e12, 0, 1e12, 1.7e12, 1e13, 1e14, MAX_TIME_MS - 999];
  const times = seconds.flatMap((from) => Array.from({ length: 1000 }, (_, ms) => from + ms));
  const rows = times.map((ms) => ({ ...rowsFrom(0, 1)[0]!, time: ms }));
  await table.write({ applicationId, rows, positions: [move(null, 1)], refused: refuseNothing });
  const stored = await query(url, 'SELECT (extract(epoch FROM time) * 1000)::bigint AS ms FROM metrics ORDER BY ctid');
  expect(stored.map(({ ms }) => Number(ms))).toEqual(times);
});

/** What a step of a writer meets. */
type Fault = 'none' | 'request lost' | 'answer lost' | 'killed before the answer';

interface Step {
  readonly size: number;
  readonly fault: Fault;
}

const step: fc.Arbitrary<Step> = fc.record({
  size: fc.integer({ min: 0, max: 5 }),
  fault: fc.constantFrom<Fault>('none', 'none', 'request lost', 'answer lost', 'killed before the answer'),
});

/** A member: writes from where it thinks it is, tries again what failed, and loads where it was fenced or has started. */
class Writer {
  readonly #proxy: TcpProxy;
  readonly #table: MetricsTable;
  /** undefined: not loaded. */
  #position: number | null | undefined;
  #batch = 0;

  private constructor(proxy: TcpProxy, through: MetricsTable) {
    this.#proxy = proxy;
    this.#table = through;
  }

  static async start(): Promise<Writer> {
    const proxy = await TcpProxy.start(new URL(url).host);
    const through = new URL(url);
    through.port = String(proxy.port);
    return new Writer(proxy, new MetricsTable({ url: String(through), connections: 1 }));
  }

  async do({ size, fault }: Step): Promise<void> {
    await this.#load();
    // A batch that was tried is tried as it was.
    this.#batch ||= size;
    const from = this.#position ?? 0;
    if (fault === 'request lost') this.#proxy.cutAt = 'request';
    else if (fault !== 'none') this.#proxy.cutAt = 'answer';
    try {
      const outcome = await this.#table.write({
        applicationId,
        rows: rowsFrom(from, this.#batch),
        positions: [move(this.#position ?? null, from + this.#batch)],
        refused: refuseNothing,
      });
      this.#position = outcome === 'fenced' ? undefined : from + this.#batch;
      this.#batch = 0;
    } catch (error) {
      expect(error).toMatchObject({ code: 'MILLRACE_APPS_DATABASE_UNAVAILABLE', retriable: true });
      if (fault === 'killed before the answer') {
        this.#position = undefined;
        this.#batch = 0;
      }
    }
    this.#proxy.cutAt = undefined;
  }

  async #load(): Promise<void> {
    if (this.#position !== undefined) return;
    const [loaded] = await this.#table.load(applicationId, [{ topic: 'metrics', partition: 0 }]);
    this.#position = loaded?.offset ?? null;
  }

  async close(): Promise<void> {
    this.#proxy.close();
    await this.#table.close();
  }
}

test('two writers of one partition, with requests and answers lost at random: each record once, whatever', async () => {
  const writers = await Promise.all([Writer.start(), Writer.start()]);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(step, step, fc.boolean()), { minLength: 5, maxLength: 15 }), async (steps) => {
      for (const [one, other, isTogether] of steps) {
        const doing = writers[0]!.do(one);
        if (!isTogether) await doing;
        await Promise.all([doing, writers[1]!.do(other)]);
      }
      // What was lost of a request may still be under way; a write from the end waits for it.
      for (const writer of writers) await writer.do({ size: 1, fault: 'none' });
      const end = (await storedPositions(url))['sink/metrics-0'] ?? 0;
      expect(await storedValues(url)).toEqual([...Array(end).keys()]);
    }),
    { numRuns: 12 },
  );
  for (const writer of writers) await writer.close();
});
