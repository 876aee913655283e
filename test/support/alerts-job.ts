/** The alerts on a cluster: what is sent by kafkajs, what comes out read back by kafkajs, a receiver for the calls. */
import avsc from 'avsc';
import { type Consumer, Kafka, logLevel, type Producer } from 'kafkajs';
import type { Alert, Anomaly, Remediation } from '../../src/apps/alerts/alert.ts';
import { ALERTS, alertsFromEnvironment } from '../../src/apps/alerts/alerts.ts';
import { encode } from '../../src/apps/host/encode.ts';
import { type EmbeddedRegistry, startRegistry } from '../../src/embedded/index.ts';
import { avro, KafkaStreams, SchemaRegistry, type Serde } from '../../src/index.ts';
import { KafkaCluster } from '../../src/kafka/index.ts';
import { alertSchema } from '../../src/schemas/alert.ts';
import { anomalySchema } from '../../src/schemas/anomaly.ts';
import { remediationSchema } from '../../src/schemas/remediation.ts';
import { type Receiver, startReceiver } from './anomalies.ts';
import { type Program, startProgram, temporaryFolder } from './programs.ts';
import { newTopics } from './topics.ts';
import { waitFor } from './wait.ts';

const OUTPUTS = ['alerts', 'remediations', 'anomalies-dlq'];

const decoder = <T>(schema: object): ((value: Buffer) => T) => {
  const type = avsc.Type.forSchema(schema as avsc.Schema);
  return (value) => type.fromBuffer(value.subarray(5)) as T;
};
const decodeAlert = decoder<Alert>(alertSchema);
const decodeRemediation = decoder<Remediation>(remediationSchema);

export class AlertsJob {
  readonly brokers: string[];
  readonly partitions = 2;
  readonly alerts: { readonly key: string; readonly value: Alert }[] = [];
  readonly remediations: { readonly key: string; readonly value: Remediation }[] = [];
  readonly deadLetters: Buffer[] = [];
  /** Of the calls that come from now on; a new one for each test. */
  receiver!: Receiver;
  readonly #registry: EmbeddedRegistry;
  readonly #producer: Producer;
  readonly #consumer: Consumer;
  readonly #anomaly: Serde<Anomaly>;
  #closing: (() => Promise<unknown>)[] = [];

  private constructor(brokers: string[], registry: EmbeddedRegistry) {
    this.brokers = brokers;
    this.#registry = registry;
    const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
    this.#producer = kafka.producer();
    // Leaving waits for the fetch that is out.
    this.#consumer = kafka.consumer({ groupId: 'test-outputs', maxWaitTimeInMs: 100 });
    this.#anomaly = avro(new SchemaRegistry({ url: registry.url }), anomalySchema);
  }

  /** On a cluster that has none of the programs' topics yet. */
  static async open(brokers: string[]): Promise<AlertsJob> {
    const job = new AlertsJob(brokers, await startRegistry({ kafka: { brokers } }));
    const cluster = new KafkaCluster({ kafka: { brokers } });
    await cluster.connect();
    await newTopics(cluster, ['anomalies', ...OUTPUTS], job.partitions);
    await cluster.close();
    await job.#anomaly.prepareWrite?.('anomalies', 'value');
    await job.#producer.connect();
    await job.#readOutputs();
    return job;
  }

  async begin(): Promise<void> {
    this.receiver = await startReceiver();
  }

  /** Ends what a test started. */
  async end(): Promise<void> {
    for (const close of this.#closing.splice(0).reverse()) await close();
    await this.receiver.close();
  }

  async close(): Promise<void> {
    await this.#consumer.disconnect();
    await this.#producer.disconnect();
    await this.#registry.close();
  }

  async send(anomalies: readonly (Anomaly | Buffer)[]): Promise<void> {
    await this.#producer.send({
      topic: 'anomalies',
      messages: anomalies.map((one) => ({
        key: null,
        value: one instanceof Buffer ? one : encode(this.#anomaly, one, 'anomalies'),
      })),
    });
  }

  /** The topology in this process, RUNNING. */
  async run(applicationId: string): Promise<KafkaStreams> {
    const topology = alertsFromEnvironment(this.#calls(), new SchemaRegistry({ url: this.#registry.url }));
    const streams = new KafkaStreams(topology, {
      ...ALERTS,
      applicationId,
      kafka: { brokers: this.brokers },
      stateDir: temporaryFolder(),
      commitIntervalMs: 100,
      drainTimeoutMs: 50,
    });
    this.#closing.push(() => streams.close());
    await streams.start();
    await waitFor(() => streams.state === 'RUNNING', 30_000, 'RUNNING');
    return streams;
  }

  /** A program as a user starts it. */
  start(app: 'anomaly-alerts' | 'send-anomaly', env: Readonly<Record<string, string>>, args: string[] = []): Program {
    const program = startProgram(
      app,
      {
        KAFKA_BROKERS: this.brokers.join(','),
        SCHEMA_REGISTRY_URL: this.#registry.url,
        COMMIT_INTERVAL_MS: '100',
        ...this.#calls(),
        ...env,
      },
      args,
    );
    this.#closing.push(() => program.kill('SIGKILL'));
    return program;
  }

  /** The ids that the webhook was called for, in order, repetitions as well. */
  webhookIds(): string[] {
    return this.receiver.calls.filter(({ path }) => path === '/hook').map(({ body }) => body.details!.id);
  }

  /** The ids that remediations were asked for. */
  remediationIds(): string[] {
    return this.receiver.calls.filter(({ path }) => path === '/aiops').map(({ body }) => body.incident_id!);
  }

  #calls(): Record<string, string> {
    return { ALERT_WEBHOOK_URL: `${this.receiver.url}/hook`, AIOPS_URL: `${this.receiver.url}/aiops` };
  }

  async #readOutputs(): Promise<void> {
    await this.#consumer.connect();
    await this.#consumer.subscribe({ topics: OUTPUTS, fromBeginning: true });
    await this.#consumer.run({
      eachMessage: async ({ topic, message: { key, value } }) => {
        if (topic === 'alerts') this.alerts.push({ key: String(key), value: decodeAlert(value!) });
        else if (topic === 'remediations')
          this.remediations.push({ key: String(key), value: decodeRemediation(value!) });
        else this.deadLetters.push(value!);
      },
    });
  }
}
