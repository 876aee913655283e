/** An embedded cluster for one test, with a connection to each of its nodes. */
import { type EmbeddedKafka, type EmbeddedKafkaOptions, startKafka } from '../../../src/embedded/index.ts';
import { PartitionClient } from '../partition-client.ts';
import { RawClient } from '../raw-client.ts';

export class TestCluster {
  readonly kafka: EmbeddedKafka;
  readonly #clients: RawClient[] = [];

  private constructor(kafka: EmbeddedKafka) {
    this.kafka = kafka;
  }

  /** Three nodes, and a topic `t` of three partitions, unless told otherwise. */
  static async start(options: EmbeddedKafkaOptions = {}): Promise<TestCluster> {
    return new TestCluster(await startKafka({ nodes: 3, topics: [{ topic: 't', partitions: 3 }], ...options }));
  }

  async raw(node: number): Promise<RawClient> {
    const client = await RawClient.connect(this.kafka.addressOf(node));
    this.#clients.push(client);
    return client;
  }

  /** A connection of its own to a node, for requests about one partition. */
  async at(node: number, topic = 't', partition = 0): Promise<PartitionClient> {
    return new PartitionClient(await this.raw(node), topic, partition);
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.kafka.close();
  }
}
