/** What suites of the runtime have in common: an embedded broker of their own, applications that are closed behind a test. */
import { type Consumer, Kafka, logLevel } from 'kafkajs';
import { afterEach } from 'vitest';
import { type EmbeddedKafka, type EmbeddedKafkaOptions, startKafka } from '../../src/embedded/index.ts';
import { KafkaStreams, type Logger, type StreamsOptions, type Topology } from '../../src/index.ts';
import { KafkaCluster } from '../../src/kafka/index.ts';
import { temporaryFolder } from './programs.ts';
import { waitFor } from './wait.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** Closed after the test, the last one first. */
export function closeLater(close: () => Promise<unknown>): void {
  closing.push(close);
}

/** A broker of this test's own, for faults and restarts. Sessions may be short. */
export async function ownKafka(options: EmbeddedKafkaOptions = {}): Promise<EmbeddedKafka> {
  const kafka = await startKafka({ groupMinSessionTimeoutMs: 100, ...options });
  closeLater(() => kafka.close());
  return kafka;
}

export function ownCluster(brokers: readonly string[]): KafkaCluster {
  const cluster = new KafkaCluster({ kafka: { brokers: [...brokers] } });
  closeLater(() => cluster.close());
  return cluster;
}

/** An application that is closed after the test; not started. */
export function newStreams(
  brokers: readonly string[],
  topology: Topology,
  options: Partial<StreamsOptions> & { readonly applicationId: string },
): KafkaStreams {
  const streams = new KafkaStreams(topology, {
    kafka: { brokers: [...brokers] },
    stateDir: temporaryFolder(),
    commitIntervalMs: 100,
    heartbeatIntervalMs: 100,
    ...options,
  });
  closeLater(() => streams.close());
  return streams;
}

/** Started, and RUNNING. */
export async function runStreams(...args: Parameters<typeof newStreams>): Promise<KafkaStreams> {
  const streams = newStreams(...args);
  await streams.start();
  await waitFor(() => streams.state === 'RUNNING', 30_000, 'RUNNING');
  return streams;
}

export interface TestMessage {
  readonly key?: string | null;
  readonly value: string | null;
  readonly partition?: number;
  readonly timestamp?: number;
}

/** Writes by kafkajs: a client that nobody here wrote. */
export async function produce(
  brokers: readonly string[],
  topic: string,
  messages: readonly TestMessage[],
): Promise<void> {
  const producer = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).producer();
  await producer.connect();
  await producer.send({
    topic,
    messages: messages.map(({ key = null, value, partition, timestamp }) => ({
      key,
      value,
      ...(partition === undefined ? {} : { partition }),
      ...(timestamp === undefined ? {} : { timestamp: String(timestamp) }),
    })),
  });
  await producer.disconnect();
}

/** What a topic holds, read by kafkajs as it grows. */
export async function watch(brokers: readonly string[], topic: string): Promise<[string, string][]> {
  const consumer: Consumer = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).consumer({
    groupId: `watch-${Math.random()}`,
    // Leaving waits for the fetch that is out.
    maxWaitTimeInMs: 100,
  });
  closeLater(() => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const seen: [string, string][] = [];
  await consumer.run({
    eachMessage: async ({ message }) => void seen.push([String(message.key), message.value?.toString('latin1') ?? '']),
  });
  return seen;
}

/** A logger that keeps what was said from warnings on. */
export function warnings(): Logger & { readonly lines: string[] } {
  const lines: string[] = [];
  const say = (_fields: object, message: string): void => void lines.push(message);
  return { lines, debug: () => {}, info: () => {}, warn: say, error: say };
}
