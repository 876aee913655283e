/** A changelog of many keys for the restore case: the store of a count by key, written as the application itself would. */
import { double, type SchemaRegistry, StreamsBuilder, string, type Topology } from '../src/index.ts';
import { createTopics, KafkaCluster, Producer } from '../src/kafka/index.ts';

export const STORE = 'counts';

export function changelogTopology(_registry: SchemaRegistry, topic: string): Topology {
  const builder = new StreamsBuilder();
  builder.stream(topic, { key: string(), value: double() }).groupByKey().count({ name: STORE });
  return builder.build();
}

export async function createChangelog(
  brokers: string[],
  applicationId: string,
  inputTopic: string,
  partitions: number,
  keys: number,
): Promise<void> {
  const topic = `${applicationId}-${STORE}-changelog`;
  const cluster = new KafkaCluster({ kafka: { brokers } });
  await cluster.connect();
  await createTopics(cluster, [
    { topic: inputTopic, partitions, replicationFactor: 1, configs: {} },
    { topic, partitions, replicationFactor: 1, configs: { 'cleanup.policy': 'compact' } },
  ]);
  await cluster.close();
  const producer = new Producer(new KafkaCluster({ kafka: { brokers } }));
  await producer.start();
  await producer.prepare([topic]);
  const value = Buffer.alloc(8);
  for (let i = 0; i < keys; i++) {
    const key = Buffer.from(`service-${i % 1000}:metric-${i}`);
    value.writeBigInt64BE(BigInt(i));
    producer.send(topic, -1, Date.now(), key, 0, key.length, value, 0, value.length, []);
    if (producer.isFull) await producer.drained();
  }
  await producer.flush();
  await producer.close();
}
