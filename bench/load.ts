/** What the benchmark reads: topics of Avro metrics, loaded once per run by our own producer. */
import { setTimeout as delay } from 'node:timers/promises';
import { ByteWriter } from '../src/bytes.ts';
import { avro, SchemaRegistry } from '../src/index.ts';
import { type CompressionType, createTopics, KafkaCluster, Producer } from '../src/kafka/index.ts';
import { metricSchema } from '../src/schemas/metric.ts';

export interface Load {
  readonly topic: string;
  readonly records: number;
  readonly keys: number;
  readonly partitions: number;
  /** Event time from the first record to the last, ms. */
  readonly spanMs: number;
  readonly compression: CompressionType;
  /** Records a second. Default: as fast as it goes. */
  readonly ratePerS?: number;
  /** Hears how many were sent. */
  readonly onSent?: (records: number) => void;
}

/** Event time of the first record: a whole minute in the past. */
export const BASE_MS = Math.floor(Date.now() / 3_600_000) * 3_600_000 - 7_200_000;

export async function createLoad(brokers: string[], registryUrl: string, load: Load): Promise<void> {
  const admin = new KafkaCluster({ kafka: { brokers } });
  await admin.connect();
  await createTopics(admin, [{ topic: load.topic, partitions: load.partitions, replicationFactor: 1, configs: {} }]);
  await admin.close();
  const metric = avro(new SchemaRegistry({ url: registryUrl }), metricSchema);
  await metric.prepareWrite!(load.topic, 'value');
  const producer = new Producer(new KafkaCluster({ kafka: { brokers } }), {
    compression: load.compression,
    batchBytes: 64 * 1024,
  });
  await producer.start();
  await producer.prepare([load.topic]);
  const out = new ByteWriter(1024);
  const stepMs = load.spanMs / load.records;
  const startedMs = performance.now();
  for (let i = 0; i < load.records; i++) {
    const id = i % load.keys;
    const service = `service-${id % 20}`;
    const name = `metric-${Math.floor(id / 20)}`;
    const timestamp = BASE_MS + Math.floor(i * stepMs);
    out.reset();
    out.utf8(`${service}:${name}`);
    const keyLength = out.position;
    metric.write(
      {
        timestamp,
        service,
        metric_name: name,
        value: (i * 7919) % 1000,
        labels: {},
        node: null,
        unit: 'ms',
        environment: null,
      },
      out,
      load.topic,
      'value',
    );
    producer.send(
      load.topic,
      -1,
      timestamp,
      out.buffer,
      0,
      keyLength,
      out.buffer,
      keyLength,
      out.position - keyLength,
      [],
    );
    if (producer.isFull) await producer.drained();
    const aheadMs = load.ratePerS === undefined ? 0 : (i / load.ratePerS) * 1000 - (performance.now() - startedMs);
    if (aheadMs > PACE_MS) {
      load.onSent?.(i + 1);
      await delay(aheadMs);
    }
  }
  await producer.flush();
  await producer.close();
}

/** ms of records that are sent at once, at a given rate. */
const PACE_MS = 10;
