/** The main job on a cluster, as a user has it: programs as processes, input by kafkajs, outputs read back by kafkajs. */
import { type Admin, Kafka, type KafkaConfig, logLevel, type Producer } from 'kafkajs';
import { expect } from 'vitest';
import { KafkaCluster } from '../../src/kafka/index.ts';
import { type Aggregated, decodeAggregated, encodeMetric, type Metric, random, registerSchemas } from './metrics.ts';
import { type Program, startProgram, temporaryFolder } from './programs.ts';
import { startTestRegistry, type TestRegistry } from './registry.ts';
import { newTopics } from './topics.ts';
import { waitFor } from './wait.ts';

export const PARTITIONS = 4;
const BASE = Math.floor(Date.now() / 60_000) * 60_000 - 3_600_000;
const TOPICS = ['metrics', 'metrics-aggregated', 'metrics-dlq'];

export interface AggregationJobOptions {
  readonly kafka: KafkaConfig;
  /** What the programs need besides KAFKA_BROKERS to reach the cluster. */
  readonly env?: Readonly<Record<string, string>>;
  readonly replicationFactor?: number;
}

/** Out of order within four minutes of event time, over eight minutes: less than the grace. */
export function series(count: number, seed: number): Metric[] {
  const next = random(seed);
  return Array.from({ length: count }, (_, i) => ({
    timestamp: BASE + Math.floor(((i / count) * 4 + next() * 4) * 60_000),
    service: `service-${Math.floor(next() * 5)}`,
    metric_name: `metric-${Math.floor(next() * 4)}`,
    value: next() * 1000 - 200,
  }));
}

export class AggregationJob {
  readonly kafka: Kafka;
  readonly #options: AggregationJobOptions;
  readonly #registry: TestRegistry;
  readonly #schemaId: number;
  readonly #producer: Producer;
  #programs: Program[] = [];
  #group = '';

  private constructor(options: AggregationJobOptions, registry: TestRegistry, schemaId: number) {
    this.#options = options;
    this.#registry = registry;
    this.#schemaId = schemaId;
    this.kafka = new Kafka({ ...options.kafka, logLevel: logLevel.NOTHING });
    this.#producer = this.kafka.producer({ retry: { retries: 30 } });
  }

  static async open(options: AggregationJobOptions): Promise<AggregationJob> {
    const registry = await startTestRegistry();
    const job = new AggregationJob(options, registry, await registerSchemas(registry.url));
    await job.#producer.connect();
    return job;
  }

  /** New topics, and a group of this name from now on. */
  async reset(group: string): Promise<void> {
    this.#group = group;
    await this.#admin(async (admin) => {
      const existing = (await admin.listTopics()).filter((topic) => TOPICS.includes(topic));
      if (existing.length > 0) await admin.deleteTopics({ topics: existing });
      await waitFor(async () => (await admin.listTopics()).every((topic) => !TOPICS.includes(topic)));
    });
    const cluster = new KafkaCluster({ kafka: { ...this.#options.kafka, logLevel: logLevel.NOTHING } });
    await cluster.connect();
    await newTopics(cluster, TOPICS, PARTITIONS, this.#options.replicationFactor);
    await cluster.close();
  }

  startProgram(env: Readonly<Record<string, string>> = {}): Program {
    const program = startProgram('aggregation', {
      KAFKA_BROKERS: String(this.#options.kafka.brokers),
      SCHEMA_REGISTRY_URL: this.#registry.url,
      APPLICATION_ID: this.#group,
      STATE_DIR: temporaryFolder(),
      COMMIT_INTERVAL_MS: '300',
      ...this.#options.env,
      ...env,
    });
    this.#programs.push(program);
    return program;
  }

  async killPrograms(): Promise<void> {
    for (const program of this.#programs) await program.kill('SIGKILL');
    this.#programs = [];
  }

  async send(metrics: readonly Metric[]): Promise<void> {
    for (let i = 0; i < metrics.length; i += 2000) {
      await this.#producer.send({
        topic: 'metrics',
        messages: metrics.slice(i, i + 2000).map((metric, j) => ({
          // Any partition: the job groups by the value's fields.
          partition: (i + j) % PARTITIONS,
          key: `${metric.service}:${metric.metric_name}`,
          value: encodeMetric(this.#schemaId, metric),
        })),
      });
    }
  }

  /** Waits until everything in `metrics` and in the repartition topic is committed. */
  async waitForLagZero(): Promise<void> {
    await this.#admin((admin) =>
      waitFor(
        async () => {
          for (const topic of ['metrics', `${this.#group}-metric-aggregates-repartition`]) {
            if (!(await this.#isDone(admin, topic))) return false;
          }
          return true;
        },
        90_000,
        'lag 0',
      ).catch((error: Error) => {
        // What the programs said is what helps.
        throw new Error(
          `${error.message}\n${this.#programs.map((program) => program.output().slice(-2000)).join('\n')}`,
        );
      }),
    );
  }

  /** How many records `metrics` has: as many as were sent, unless a retry of the sender's doubled some. */
  async inputCount(): Promise<number> {
    const ends = await this.#admin((admin) => admin.fetchTopicOffsets('metrics'));
    return ends.reduce((sum, { high }) => sum + Number(high), 0);
  }

  /** Everything in `metrics-aggregated`, in the order of each partition. */
  async readOutputs(): Promise<Aggregated[]> {
    const ends = await this.#admin((admin) => admin.fetchTopicOffsets('metrics-aggregated'));
    const total = ends.reduce((sum, { high }) => sum + Number(high), 0);
    const consumer = this.kafka.consumer({ groupId: `reader-${Math.random()}` });
    await consumer.connect();
    await consumer.subscribe({ topic: 'metrics-aggregated', fromBeginning: true });
    const outputs: Aggregated[] = [];
    await consumer.run({
      eachMessage: async ({ message }) => {
        const output = decodeAggregated(message.value!);
        expect(message.key!.toString()).toBe(output.key);
        outputs.push(output);
      },
    });
    await waitFor(() => outputs.length >= total, 60_000, `${total} outputs`);
    await consumer.disconnect();
    return outputs;
  }

  async close(): Promise<void> {
    await this.killPrograms();
    await this.#producer.disconnect().catch(() => undefined);
    await this.#registry.close();
  }

  async #isDone(admin: Admin, topic: string): Promise<boolean> {
    // The repartition topic is not there until the first member has joined, nor a leader while its broker is away.
    const committed = await admin.fetchOffsets({ groupId: this.#group, topics: [topic] }).catch(() => []);
    const ends = await admin.fetchTopicOffsets(topic).catch(() => []);
    if (committed.length === 0 || ends.length === 0) return false;
    return ends.every(({ partition, high }) => {
      const offset = Number(committed[0]!.partitions.find((p) => p.partition === partition)?.offset ?? -1);
      return offset >= Number(high) || Number(high) === 0;
    });
  }

  async #admin<T>(use: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = this.kafka.admin();
    await admin.connect();
    try {
      return await use(admin);
    } finally {
      await admin.disconnect();
    }
  }
}

/** No count is lower than the input has it, and what was seen lies within; duplicates may add. */
export function expectAtLeast(outputs: readonly Aggregated[], windows: ReadonlyMap<string, readonly number[]>): void {
  const last = new Map(outputs.map((output) => [`${output.key}@${output.window_start}`, output]));
  expect(new Set(last.keys())).toEqual(new Set(windows.keys()));
  for (const [id, values] of windows) {
    expect(last.get(id)!.count, id).toBeGreaterThanOrEqual(values.length);
    expect(last.get(id)!.min).toBe(Math.min(...values));
    expect(last.get(id)!.max).toBe(Math.max(...values));
  }
}
