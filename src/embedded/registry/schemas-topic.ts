/** The topic `_schemas`: where the registry's events are kept, one compacted partition, as the Confluent registry has it. */
import type { KafkaConfig } from 'kafkajs';
import { Backoff } from '../../backoff.ts';
import { createTopics, Fetcher, KafkaCluster, KafkaError, listOffset, Producer } from '../../kafka/index.ts';
import type { Logger } from '../../logger.ts';
import type { RegistryEvent } from './schema-store.ts';

const PARTITION = 0;
/** In some ten seconds. */
const MAX_TRIES = 8;

export class SchemasTopic {
  readonly #topic: string;
  readonly #kafka: KafkaConfig;
  readonly #logger: Logger;
  readonly #producer: Producer;

  constructor(topic: string, kafka: KafkaConfig, logger: Logger) {
    this.#topic = topic;
    this.#kafka = kafka;
    this.#logger = logger;
    this.#producer = new Producer(this.#cluster(), { lingerMs: 0 });
  }

  /** Creates the topic unless it is there, and reads it to its end. */
  async open(apply: (event: RegistryEvent) => void): Promise<void> {
    const admin = this.#cluster();
    try {
      await admin.connect();
      const configs = { 'cleanup.policy': 'compact' };
      await createTopics(admin, [{ topic: this.#topic, partitions: 1, replicationFactor: -1, configs }]);
      const [start, end] = await this.#ends(admin);
      if (start < end) await this.#read(start, end, apply);
    } finally {
      await admin.close();
    }
    await this.#producer.start();
    await this.#producer.prepare([this.#topic]);
  }

  /** A topic that was made just now has a leader before that leader knows. */
  async #ends(admin: KafkaCluster): Promise<readonly [start: number, end: number]> {
    const at = { topic: this.#topic, partition: PARTITION };
    const backoff = new Backoff();
    for (;;) {
      try {
        return [await listOffset(admin, at, 'earliest'), await listOffset(admin, at, 'latest')];
      } catch (error) {
        if (!(error instanceof KafkaError) || !error.retriable || backoff.attempt >= MAX_TRIES) throw error;
        await backoff.wait(undefined);
        await admin.refresh([this.#topic]);
      }
    }
  }

  /** Resolves when the events are acknowledged. */
  async append(events: readonly RegistryEvent[]): Promise<void> {
    for (const { key, value } of events) {
      const k = Buffer.from(JSON.stringify(key));
      const v = value === null ? undefined : Buffer.from(JSON.stringify(value));
      this.#producer.send(this.#topic, PARTITION, Date.now(), k, 0, k.length, v ?? k, 0, v?.length ?? -1, []);
    }
    await this.#producer.flush();
  }

  close(): Promise<void> {
    return this.#producer.close();
  }

  async #read(start: number, end: number, apply: (event: RegistryEvent) => void): Promise<void> {
    const fetcher = new Fetcher(this.#cluster());
    try {
      const buffer = fetcher.add({ topic: this.#topic, partition: PARTITION }, start);
      await fetcher.start();
      while (buffer.position < end) {
        const cursor = buffer.next();
        if (cursor === undefined) {
          fetcher.wake();
          await fetcher.waitForData(100);
          continue;
        }
        const [key, value] = [cursor.key(), cursor.value()];
        if (key === null) continue;
        // Other registries keep kinds of their own here; what is not known is left alone.
        apply({ key: JSON.parse(String(key)), value: value === null ? null : JSON.parse(String(value)) });
      }
    } finally {
      await fetcher.close();
    }
  }

  #cluster(): KafkaCluster {
    return new KafkaCluster({ kafka: { clientId: 'schema-registry', ...this.#kafka }, logger: this.#logger });
  }
}
