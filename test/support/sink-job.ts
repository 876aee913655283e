/** The sink on a cluster and a real PostgreSQL, as a user has it: programs as processes, each record counted in the table. */
import { type Admin, Kafka, type KafkaConfig, logLevel, type Producer } from 'kafkajs';
import { expect } from 'vitest';
import { encode } from '../../src/apps/host/encode.ts';
import { type AvroType, avro, SchemaRegistry, type Serde } from '../../src/index.ts';
import { KafkaCluster } from '../../src/kafka/index.ts';
import { metricSchema } from '../../src/schemas/metric.ts';
import { createDatabase, query } from './postgres/postgres.ts';
import { type Program, startProgram, temporaryFolder } from './programs.ts';
import { startTestRegistry, type TestRegistry } from './registry.ts';
import { TcpProxy } from './tcp-proxy.ts';
import { newTopics } from './topics.ts';
import { waitFor } from './wait.ts';

export const PARTITIONS = 3;
export const GROUP = 'metrics-timescaledb-sink';
const BASE = Date.UTC(2026, 0, 1);

export type Metric = AvroType<typeof metricSchema>;

/** One whose value is its number; its time, service and labels follow from that. */
export function metricOf(value: number): Metric {
  const labels = { zone: `z${value % 3}` };
  return { timestamp: BASE + value, service: `s${value % 7}`, metric_name: 'm', value, ...NONE, labels };
}
const NONE = { node: null, unit: null, environment: null };

export class SinkJob {
  readonly kafka: Kafka;
  readonly #brokers: readonly string[];
  readonly #registry: TestRegistry;
  readonly #producer: Producer;
  readonly #metric: Serde<Metric>;
  #databases: { readonly url: string; readonly proxy: TcpProxy }[] = [];
  #programs: Program[] = [];
  #sent = 0;

  private constructor(brokers: readonly string[], registry: TestRegistry) {
    this.#brokers = brokers;
    this.#registry = registry;
    const config: KafkaConfig = { brokers: [...brokers], logLevel: logLevel.NOTHING };
    this.kafka = new Kafka(config);
    this.#producer = this.kafka.producer();
    this.#metric = avro(new SchemaRegistry({ url: registry.url }), metricSchema);
  }

  static async open(brokers: readonly string[]): Promise<SinkJob> {
    const job = new SinkJob(brokers, await startTestRegistry());
    await job.#metric.prepareWrite!('metrics', 'value');
    await job.#producer.connect();
    return job;
  }

  /** New topics, and a database with nothing in it. @param url of one, in the place of an own on the server that all share */
  async begin(url?: string): Promise<void> {
    this.#sent = 0;
    await this.admin(async (admin) => {
      const topics = (await admin.listTopics()).filter((topic) => TOPICS.includes(topic));
      if (topics.length > 0) await admin.deleteTopics({ topics });
      await waitFor(async () => (await admin.listTopics()).every((topic) => !TOPICS.includes(topic)));
      await admin.deleteGroups([GROUP]).catch(() => undefined);
    });
    const cluster = new KafkaCluster({ kafka: { brokers: [...this.#brokers] } });
    await cluster.connect();
    await newTopics(cluster, TOPICS, PARTITIONS);
    await cluster.close();
    const database = url ?? (await createDatabase());
    this.#databases.push({ url: database, proxy: await TcpProxy.start(new URL(database).host) });
  }

  /** Ends what a test started. */
  async end(): Promise<void> {
    for (const program of this.#programs.splice(0)) {
      program.process.kill('SIGCONT');
      await program.kill('SIGKILL');
    }
    for (const { proxy } of this.#databases.splice(0)) proxy.close();
  }

  async close(): Promise<void> {
    await this.end();
    await this.#producer.disconnect();
    await this.#registry.close();
  }

  /** The database itself. */
  get url(): string {
    return this.#databases.at(-1)!.url;
  }

  /** What stands between the programs and the database. */
  get proxy(): TcpProxy {
    return this.#databases.at(-1)!.proxy;
  }

  /** Records sent since `begin`. */
  get sent(): number {
    return this.#sent;
  }

  start(env: Readonly<Record<string, string>> = {}, proxy = this.proxy): Program {
    const address = new URL(this.url);
    address.port = String(proxy.port);
    const program = startProgram('metrics-sink', {
      DATABASE_URL: String(address),
      KAFKA_BROKERS: this.#brokers.join(','),
      SCHEMA_REGISTRY_URL: this.#registry.url,
      STATE_DIR: temporaryFolder(),
      BATCH_MAX_RECORDS: '50',
      BATCH_MAX_WAIT_MS: '50',
      COMMIT_INTERVAL_MS: '200',
      LOG_LEVEL: 'debug',
      ...env,
    });
    this.#programs.push(program);
    return program;
  }

  /** A member whose database connections are its own to break. */
  async proxyOfItsOwn(): Promise<TcpProxy> {
    const proxy = await TcpProxy.start(new URL(this.url).host);
    this.#databases.unshift({ url: this.url, proxy });
    return proxy;
  }

  /** The next metrics, Avro and JSON in turns, over all partitions. */
  async send(count: number): Promise<void> {
    const values = Array.from({ length: count }, (_, i) => this.#sent + i);
    this.#sent += count;
    await this.sendValues(values.map((value) => this.#bytesOf(metricOf(value), value)));
  }

  /** @param partition of all; default: over all partitions */
  async sendValues(values: readonly Buffer[], partition?: number): Promise<void> {
    const messages = values.map((value, i) => ({ key: 'k', value, partition: partition ?? i % PARTITIONS }));
    await this.#producer.send({ topic: 'metrics', messages });
  }

  avro(metric: Metric): Buffer {
    return encode(this.#metric, metric, 'metrics');
  }

  async storedCount(): Promise<number> {
    const [row] = await query<{ n: string }>(this.url, 'SELECT count(*) AS n FROM metrics');
    return Number(row!.n);
  }

  /** Waits until everything sent is in the table. */
  async waitForStored(expected = this.#sent): Promise<void> {
    await waitFor(async () => (await this.storedCount()) >= expected, 60_000, `${expected} rows`).catch((error) => {
      // What the programs said is what helps.
      throw new Error(`${error.message}\n${this.#programs.map((one) => one.output().slice(-4_000)).join('\n---\n')}`);
    });
  }

  /** Everything sent is in the table, as it was sent, once; group and database remember the same, the ends of the topic. */
  async expectEachOnce(): Promise<void> {
    const rows = await query(
      this.url,
      'SELECT (extract(epoch FROM time) * 1000)::float8 AS timestamp, service_name AS service, metric_name, value, labels FROM metrics ORDER BY value',
    );
    const { length } = rows;
    expect(rows.map(({ value }) => value)).toEqual(Array.from({ length: this.#sent }, (_, i) => i));
    for (const row of [rows[0], rows[1], rows[length >> 1], rows[length - 1]])
      expect(metricOf(row!['value'] as number)).toMatchObject(row!);
    const ends = await this.ends();
    expect(await this.remembered()).toEqual(ends);
    expect(await this.committed()).toEqual(ends);
  }

  /** By partition, what the database remembers. */
  async remembered(): Promise<number[]> {
    const statement = `SELECT position FROM millrace_positions WHERE application_id = $1 ORDER BY partition`;
    return (await query(this.url, statement, [GROUP])).map((row) => Number(row['position']));
  }

  committed(): Promise<number[]> {
    return this.admin(async (admin) => {
      const [topic] = await admin.fetchOffsets({ groupId: GROUP, topics: ['metrics'] });
      return [...topic!.partitions].sort((a, b) => a.partition - b.partition).map(({ offset }) => Number(offset));
    });
  }

  ends(): Promise<number[]> {
    return this.admin(async (admin) => {
      const ends = await admin.fetchTopicOffsets('metrics');
      return ends.sort((a, b) => a.partition - b.partition).map(({ high }) => Number(high));
    });
  }

  async admin<T>(use: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = this.kafka.admin();
    await admin.connect();
    try {
      return await use(admin);
    } finally {
      await admin.disconnect();
    }
  }

  #bytesOf(metric: Metric, i: number): Buffer {
    return i % 2 === 0 ? this.avro(metric) : Buffer.from(JSON.stringify(metric));
  }
}

const TOPICS = ['metrics', 'metrics-dlq'];

/** Resolves when the program has joined and its tasks run. */
export function running(program: Program): Promise<void> {
  return said(program, /"RUNNING"/);
}

export function said(program: Program, words: RegExp): Promise<void> {
  return waitFor(() => words.test(program.output()), 30_000, String(words)).catch((error: Error) => {
    throw new Error(`${error.message}\n${program.output().slice(-4_000)}`);
  });
}

export interface Assigned {
  readonly tasks: readonly string[];
  readonly generation: number;
}

/** What the program was assigned, in each generation that it was a member of. */
export function generations(program: Program): Assigned[] {
  return (program.output().match(/^.*"tasks assigned".*$/gm) ?? []).map((line) => JSON.parse(line) as Assigned);
}

/** The number of tasks that the program was assigned last. */
export function tasksOf(program: Program): number {
  return generations(program).at(-1)?.tasks.length ?? 0;
}
