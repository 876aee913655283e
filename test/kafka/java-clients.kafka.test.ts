/** Bytes made by Apache Kafka's own producer are read here, and ours by its consumer, with every codec. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type CompressionType, createTopics, Fetcher, KafkaCluster, Producer } from '../../src/kafka/index.ts';
import { kafkaLibs } from '../support/kafka/broker.ts';
import { waitFor } from '../support/wait.ts';

const brokers = inject('brokers');
const CODECS: readonly CompressionType[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
const LINES = Array.from({ length: 500 }, (_, i) => `key-${i % 7}:value ${i} ${'x'.repeat(i % 50)}`);

let admin: KafkaCluster;
beforeAll(async () => {
  admin = new KafkaCluster({ kafka: { brokers } });
  await admin.connect();
});
afterAll(() => admin.close());

/** Runs one of Apache Kafka's tools; resolves with what it printed. */
async function java(main: string, args: readonly string[], input = ''): Promise<string> {
  const child = spawn('java', [
    '-XX:TieredStopAtLevel=1',
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=error',
    '-cp',
    `${await kafkaLibs()}/*`,
    main,
    ...args,
  ]);
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += String(chunk);
  });
  child.stdin.end(input);
  const code = await new Promise((resolve) => child.once('exit', resolve));
  expect(code).toBe(0);
  return output;
}

async function newTopic(): Promise<string> {
  const topic = `java-${randomUUID()}`;
  await createTopics(admin, [{ topic, partitions: 1, replicationFactor: 1, configs: {} }]);
  return topic;
}

test.each(CODECS)('Apache Kafka’s producer with %s, our fetcher', async (codec) => {
  const topic = await newTopic();
  await java(
    'kafka.tools.ConsoleProducer',
    [
      '--bootstrap-server',
      brokers.join(','),
      '--topic',
      topic,
      '--compression-codec',
      codec,
      '--property',
      'parse.key=true',
      '--property',
      'key.separator=:',
    ],
    LINES.join('\n'),
  );
  const fetcher = new Fetcher(new KafkaCluster({ kafka: { brokers } }));
  const buffer = fetcher.add({ topic, partition: 0 }, 0);
  await fetcher.start();
  const seen: string[] = [];
  await waitFor(async () => {
    for (let cursor = buffer.next(); cursor !== undefined; cursor = buffer.next())
      seen.push(`${cursor.key()}:${cursor.value()}`);
    fetcher.wake();
    return seen.length >= LINES.length;
  });
  await fetcher.close();
  expect(seen).toEqual(LINES);
});

test.each(CODECS)('our producer with %s, Apache Kafka’s consumer', async (codec) => {
  const topic = await newTopic();
  const producer = new Producer(new KafkaCluster({ kafka: { brokers } }), { compression: codec });
  await producer.start();
  await producer.prepare([topic]);
  for (const line of LINES) {
    const [key, value] = line.split(':').map((text) => Buffer.from(text)) as [Buffer, Buffer];
    producer.send(topic, 0, 1, key, 0, key.length, value, 0, value.length, []);
  }
  await producer.flush();
  await producer.close();
  const output = await java('kafka.tools.ConsoleConsumer', [
    '--bootstrap-server',
    brokers.join(','),
    '--topic',
    topic,
    '--from-beginning',
    '--max-messages',
    String(LINES.length),
    '--property',
    'print.key=true',
    '--property',
    'key.separator=:',
  ]);
  expect(output.trim().split('\n')).toEqual(LINES);
});
