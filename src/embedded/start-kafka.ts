/** The door to the embedded broker: start, stop, and what tests do to it in between. */
import { EmbeddedBroker, type EmbeddedBrokerOptions } from './broker/embedded-broker.ts';
import type { Fault } from './broker/faults.ts';
import { EmbeddedError } from './errors.ts';

export interface TopicOptions {
  readonly topic: string;
  /** Default 1. */
  readonly partitions?: number;
  readonly configs?: Readonly<Record<string, string>>;
}

export interface EmbeddedKafkaOptions extends EmbeddedBrokerOptions {
  /** Topics to create unless they are there. */
  readonly topics?: readonly (string | TopicOptions)[];
}

export interface EmbeddedKafka {
  /** `host:port`, for any client's list of brokers. */
  readonly brokers: string[];
  readonly host: string;
  readonly port: number;
  /** Creates topics; those that exist stay as they are. @throws EmbeddedError MILLRACE_EMBEDDED_TOPIC_REFUSED */
  createTopics(...topics: readonly (string | TopicOptions)[]): void;
  /** Puts a fault in the way of requests; returns how to take it away. */
  inject(fault: Fault): () => void;
  clearFaults(): void;
  /** Cuts every connection. */
  disconnectClients(): void;
  /** Moves the broker's time on, for retention, tombstones and transaction time-outs. */
  advanceTime(ms: number): void;
  /** Compacts a topic now, its active segment as well. */
  compact(topic: string): void;
  /** Stops listening; everything acknowledged stays, in memory too. */
  stop(): Promise<void>;
  /** Listens again, on the same port. */
  restart(): Promise<void>;
  /** Stops for good. What is in memory is gone. */
  close(): Promise<void>;
}

/**
 * Starts a Kafka broker in this process, for development and tests, not for production. It listens on loopback unless
 * told otherwise.
 *
 * @throws EmbeddedError MILLRACE_EMBEDDED_PORT_IN_USE, MILLRACE_EMBEDDED_DATA_IN_USE, MILLRACE_EMBEDDED_STORAGE
 * @example
 * const kafka = await startKafka({ topics: ['orders', { topic: 'payments', partitions: 3 }] });
 * // … any Kafka client, with kafka.brokers …
 * await kafka.close();
 */
export async function startKafka(options: EmbeddedKafkaOptions = {}): Promise<EmbeddedKafka> {
  const broker = new EmbeddedBroker(options);
  await broker.start();
  const kafka: EmbeddedKafka = {
    get brokers() {
      return [`${broker.advertisedHost}:${broker.port}`];
    },
    get host() {
      return broker.advertisedHost;
    },
    get port() {
      return broker.port;
    },
    createTopics: (...topics) => createTopics(broker, topics),
    inject: (fault) => broker.faults.add(fault),
    clearFaults: () => broker.faults.clear(),
    disconnectClients: () => broker.disconnectClients(),
    advanceTime: (ms) => broker.advanceTime(ms),
    compact: (topic) => broker.compact(topic),
    stop: () => broker.stop(),
    restart: () => broker.start(),
    close: () => broker.stop(),
  };
  kafka.createTopics(...(options.topics ?? []));
  return kafka;
}

function createTopics(broker: EmbeddedBroker, topics: readonly (string | TopicOptions)[]): void {
  for (const wanted of topics) {
    const { topic, partitions = 1, configs = {} } = typeof wanted === 'string' ? { topic: wanted } : wanted;
    if (broker.topics.get(topic) !== undefined) continue;
    const entries = new Map<string, string | null>(Object.entries(configs));
    const fault = broker.topics.createFault(topic, partitions, entries);
    if (fault !== undefined) throw new EmbeddedError('MILLRACE_EMBEDDED_TOPIC_REFUSED', fault.message);
    broker.topics.create(topic, partitions, entries);
  }
}
