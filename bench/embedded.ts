/** Produce and fetch on the embedded broker beside Apache Kafka: the same work, one client, each broker in its own process. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createTopics, KafkaCluster, Producer } from '../src/kafka/index.ts';
import type { CaseContext } from './cases.ts';
import { Measurement, type Result } from './measure.ts';

export interface EmbeddedProcess {
  readonly brokers: string[];
  /** ms from the start of `startKafka` to its end. */
  readonly startMs: number;
  readonly idleMb: number;
  close(): Promise<void>;
}

export async function startEmbeddedProcess(): Promise<EmbeddedProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'embedded-broker.js')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { value } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  const said = JSON.parse(value as string) as Omit<EmbeddedProcess, 'close'>;
  return {
    ...said,
    close: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve());
        child.kill('SIGTERM');
      }),
  };
}

/** Records of 100 bytes, acknowledged. */
export async function produceOnly({ brokers, topic, records, partitions }: CaseContext): Promise<Result> {
  const admin = new KafkaCluster({ kafka: { brokers } });
  await admin.connect();
  await createTopics(admin, [{ topic, partitions, replicationFactor: 1, configs: {} }]);
  await admin.close();
  const producer = new Producer(new KafkaCluster({ kafka: { brokers } }));
  await producer.start();
  await producer.prepare([topic]);
  const value = Buffer.alloc(100, 'x');
  const measurement = new Measurement();
  for (let i = 0; i < records; i++) {
    producer.send(topic, i % partitions, i, value, 0, 10, value, 0, 100, []);
    if (producer.isFull) await producer.drained();
  }
  await producer.flush();
  const result = measurement.end(records);
  await producer.close();
  return result;
}
