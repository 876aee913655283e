/**
 * The sink into a real PostgreSQL with everything acknowledged on disk: the lag that it holds at a steady rate, and all of it
 * at once beside a plain COPY of the same rows into the same table, by the server from a file of its own: no client at all.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { startLocalPostgres } from '../src/apps/local/local-postgres.ts';
import { MetricsTable } from '../src/apps/sink/metrics-table.ts';
import { sinkTopology } from '../src/apps/sink/sink-topology.ts';
import { SchemaRegistry } from '../src/index.ts';
import { createTopics, KafkaCluster } from '../src/kafka/index.ts';
import { type Case, type CaseContext, runStreams } from './cases.ts';
import { createLoad } from './load.ts';
import type { Result } from './measure.ts';

const TOPIC = 'metrics';
const RATE_PER_S = 50_000;
const SECONDS = 30;
const RECORDS = RATE_PER_S * SECONDS;
const LOOK_MS = 500;

/** From the first join of the group to the commit of the last batch, as the program has it. */
export function sink(databaseUrl: string): Case {
  return async ({ brokers, registryUrl, records }) => {
    const table = new MetricsTable({ url: databaseUrl });
    const registry = new SchemaRegistry({ url: registryUrl });
    const topology = sinkTopology({ registry, table, maxRecords: 1_000, maxWaitMs: 5_000 });
    return runStreams(topology, brokers, records, records);
  };
}

export interface SinkBench extends Omit<CaseContext, 'topic' | 'records'> {
  readonly turns: number;
  measure(more: object): Promise<Result>;
  print(name: string, result: Result): void;
}

export async function benchSink(bench: SinkBench): Promise<void> {
  const { brokers, partitions } = bench;
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-bench-postgres-'));
  const postgres = await startLocalPostgres({ dataDir });
  if (postgres === undefined) {
    process.stdout.write('\nsink: there is no PostgreSQL here\n');
    return;
  }
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  const table = new MetricsTable({ url: postgres.url });
  await table.prepare();
  await table.close();
  const admin = new KafkaCluster({ kafka: { brokers } });
  await admin.connect();
  const topics = [TOPIC, 'metrics-dlq'].map((topic) => ({ topic, partitions, replicationFactor: 1, configs: {} }));
  await createTopics(admin, topics);
  await admin.close();
  const run = async (): Promise<Result> => {
    await client.query('TRUNCATE metrics, millrace_positions');
    const result = await bench.measure({ topic: TOPIC, records: RECORDS, databaseUrl: postgres.url });
    await expectRows(client);
    return result;
  };
  await atRate(bench, client, run);
  await besideCopy(bench, client, run);
  await client.end();
  await postgres.close();
  rmSync(dataDir, { recursive: true, force: true });
}

async function atRate(
  { brokers, registryUrl, partitions, print }: SinkBench,
  client: pg.Client,
  run: () => Promise<Result>,
): Promise<void> {
  process.stdout.write(`\nsink: ${RECORDS} records at ${RATE_PER_S} a second, ${partitions} partitions\n`);
  const running = run();
  const lag = new Lag(client);
  await createLoad(brokers, registryUrl, {
    topic: TOPIC,
    records: RECORDS,
    keys: 1000,
    partitions,
    spanMs: 1_800_000,
    compression: 'none',
    ratePerS: RATE_PER_S,
    onSent: (records) => {
      lag.sent = records;
    },
  });
  const note = await lag.end();
  print('sink at that rate', { ...(await running), note });
}

/** Of what `atRate` has left in the topic and in the table. */
async function besideCopy({ turns, print }: SinkBench, client: pg.Client, run: () => Promise<Result>): Promise<void> {
  process.stdout.write(`\nsink: ${RECORDS} records that are there, and COPY of the same rows\n`);
  const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory');
  const file = `${rows[0]!.data_directory}/bench.copy`;
  await client.query(`COPY metrics TO '${file}'`);
  for (let turn = 1; turn <= turns; turn++) {
    const copied = await copy(client, file);
    const stored = await run();
    print(`COPY, turn ${turn}`, copied);
    print(`sink, turn ${turn}`, stored);
    process.stdout.write(`sink: ${(copied.seconds / stored.seconds).toFixed(2)} × COPY\n`);
  }
}

async function copy(client: pg.Client, file: string): Promise<Result> {
  await client.query('TRUNCATE metrics, millrace_positions');
  const started = performance.now();
  await client.query(`COPY metrics FROM '${file}'`);
  const seconds = (performance.now() - started) / 1000;
  await expectRows(client);
  return { records: RECORDS, seconds, cpuSeconds: 0, peakMb: 0 };
}

/** The records that were sent and are not stored, looked at while the load comes. */
class Lag {
  sent = 0;
  #isOver = false;
  readonly #lags: number[] = [];
  readonly #watching: Promise<void>;

  constructor(client: pg.Client) {
    this.#watching = this.#watch(client);
  }

  async end(): Promise<string> {
    this.#isOver = true;
    await this.#watching;
    // The first seconds are the program's start.
    const settled = this.#lags.slice(this.#lags.length >> 1).sort((a, b) => a - b);
    return `lag in the second half: median ${settled[settled.length >> 1]}, at most ${settled.at(-1)} records`;
  }

  async #watch(client: pg.Client): Promise<void> {
    while (!this.#isOver) {
      const { rows } = await client.query<{ n: string }>('SELECT sum(position) AS n FROM millrace_positions');
      this.#lags.push(Math.max(0, this.sent - Number(rows[0]!.n)));
      await delay(LOOK_MS);
    }
  }
}

async function expectRows(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ n: string }>('SELECT count(*) AS n FROM metrics');
  if (Number(rows[0]!.n) !== RECORDS) throw new Error(`The table has ${rows[0]!.n} rows of ${RECORDS}.`);
}
