/** Clients that nobody here wrote, on the embedded broker: Apache's own of two versions, kcat, confluent-kafka, kafka-python. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type EmbeddedKafka, startKafka } from '../../src/embedded/index.ts';
import { KafkaCluster } from '../../src/kafka/index.ts';
import { DEFAULT_KAFKA_VERSION, NEWEST_KAFKA_VERSION } from '../support/kafka/broker.ts';
import { command, javaProgram, kafkaTool } from '../support/kafka/tools.ts';
import { newTopics } from '../support/topics.ts';

let kafka: EmbeddedKafka;
let brokers: string;
beforeAll(async () => {
  kafka = await startKafka({ topics: [{ topic: 'events', partitions: 3 }] });
  brokers = kafka.brokers.join(',');
});
afterAll(() => kafka.close());

/** Where tools live in each version. */
const tools = {
  [DEFAULT_KAFKA_VERSION]: {
    topics: 'kafka.admin.TopicCommand',
    producer: 'kafka.tools.ConsoleProducer',
    consumer: 'kafka.tools.ConsoleConsumer',
    groups: 'kafka.admin.ConsumerGroupCommand',
    readerProperty: '--property',
  },
  [NEWEST_KAFKA_VERSION]: {
    topics: 'org.apache.kafka.tools.TopicCommand',
    producer: 'org.apache.kafka.tools.ConsoleProducer',
    consumer: 'org.apache.kafka.tools.consumer.ConsoleConsumer',
    groups: 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
    readerProperty: '--reader-property',
  },
} as const;

describe.each([DEFAULT_KAFKA_VERSION, NEWEST_KAFKA_VERSION] as const)('Apache Kafka’s tools %s', (version) => {
  const { topics, producer, consumer, groups, readerProperty } = tools[version];
  const tool = (main: string, args: readonly string[], input?: string): Promise<string> =>
    kafkaTool(version, main, ['--bootstrap-server', brokers, ...args], input);
  const topic = `java-${version}`;
  const group = `group-${version}`;

  test('a topic is created, described, and grows', async () => {
    expect(await tool(topics, ['--create', '--topic', topic, '--partitions', '2'])).toContain(`Created topic ${topic}`);
    await tool(topics, ['--alter', '--topic', topic, '--partitions', '3']);
    expect(await tool(topics, ['--describe', '--topic', topic])).toMatch(/PartitionCount: 3\s+ReplicationFactor: 1/);
  });

  test('what its producer writes, its consumer reads as a member of a group', async () => {
    const properties = [readerProperty, 'parse.key=true', readerProperty, 'key.separator=:'];
    const lines = Array.from({ length: 50 }, (_, i) => `k${i % 5}:value ${i}\n`).join('');
    await tool(producer, ['--topic', topic, ...properties], lines);
    const read = [
      '--topic',
      topic,
      '--from-beginning',
      '--group',
      group,
      '--max-messages',
      '50',
      '--timeout-ms',
      '20000',
    ];
    const values = (await tool(consumer, read))
      .trim()
      .split('\n')
      .filter((line) => line.startsWith('value'));
    expect(values.sort()).toEqual(Array.from({ length: 50 }, (_, i) => `value ${i}`).sort());
    expect(await tool(groups, ['--describe', '--group', group])).toMatch(new RegExp(`${group}\\s+${topic}\\s+\\d`));
    expect(await tool(groups, ['--delete', '--group', group])).toContain('successful');
    expect(await tool(topics, ['--delete', '--topic', topic])).not.toContain('rror');
  });

  test('its producer, idempotent and with compression, at full speed', async () => {
    const output = await kafkaTool(version, 'org.apache.kafka.tools.ProducerPerformance', [
      '--topic',
      'events',
      '--num-records',
      '20000',
      '--record-size',
      '100',
      '--throughput',
      '-1',
      '--producer-props',
      `bootstrap.servers=${brokers}`,
      'compression.type=zstd',
    ]);
    expect(output).toContain('20000 records sent');
  });
});

test.each([DEFAULT_KAFKA_VERSION, NEWEST_KAFKA_VERSION] as const)(
  'the Java clients %s write each record once and read all while leaders and their coordinator move between three nodes',
  async (version) => {
    const cluster = await startKafka({ nodes: 3, topics: [{ topic: 'moving', partitions: 3 }] });
    const { topics, consumer } = tools[version];
    const addresses = cluster.brokers.join(',');
    const tool = (main: string, args: readonly string[]): Promise<string> =>
      kafkaTool(version, main, ['--bootstrap-server', addresses, ...args]);
    expect(await tool(topics, ['--describe', '--topic', 'moving'])).toMatch(/Leader: 3\s+Replicas: 1,2,3\s+Isr: 1,2,3/);
    let step = 0;
    const moving = setInterval(() => {
      cluster.moveLeader('moving', step % 3, (((step / 3) | 0) % 3) + 1);
      if (step % 5 === 0) cluster.moveCoordinator({ groupId: 'g' }, (step % 3) + 1);
      step++;
    }, 50);
    try {
      const args = ['--topic', 'moving', '--num-records', '20000', '--record-size', '100', '--throughput', '8000'];
      const properties = [`bootstrap.servers=${addresses}`, 'retry.backoff.ms=20'];
      const performance = 'org.apache.kafka.tools.ProducerPerformance';
      await kafkaTool(version, performance, [...args, '--producer-props', ...properties]);
      const read = ['--topic', 'moving', '--from-beginning', '--group', 'g', '--max-messages', '20000'];
      const output = await tool(consumer, [...read, '--timeout-ms', '30000']);
      expect(
        output
          .trim()
          .split('\n')
          .filter((line) => line.length === 100),
      ).toHaveLength(20_000);
      const ends = [0, 1, 2].map((partition) => cluster.describePartition('moving', partition));
      expect(ends.reduce((sum, { endOffset }) => sum + endOffset, 0)).toBe(20_000);
      expect(Math.min(...ends.map(({ leaderEpoch }) => leaderEpoch))).toBeGreaterThan(5);
    } finally {
      clearInterval(moving);
      await cluster.close();
    }
  },
);

test.each([DEFAULT_KAFKA_VERSION, NEWEST_KAFKA_VERSION])(
  'the Java client %s, being the older of two producers, is fenced as on Apache Kafka',
  async (version) => {
    const topic = `fenced-${randomUUID()}`;
    kafka.createTopics(topic);
    const apache = new KafkaCluster({ kafka: { brokers: inject('brokers') } });
    await newTopics(apache, [topic], 1);
    await apache.close();
    const run = (address: string) => javaProgram(version, join(import.meta.dirname, 'Fenced.java'), [address, topic]);
    const told = await run(brokers);
    expect(told).toBe(await run(inject('brokers').join(',')));
    expect(told).toMatch(/^commit: ProducerFencedException$/m);
    expect(told).toMatch(/^send, then abort: ProducerFencedException$/m);
  },
);

const has = (program: string): boolean => {
  try {
    execFileSync('which', [program]);
    return true;
  } catch {
    return false;
  }
};

test.skipIf(!has('kcat'))('kcat lists, writes, and reads as a member of a group', async () => {
  kafka.createTopics({ topic: 'kcat', partitions: 2 });
  expect(await command('kcat', ['-b', brokers, '-L'])).toMatch(/topic "kcat" with 2 partitions/);
  await command('kcat', ['-b', brokers, '-P', '-t', 'kcat', '-K:'], 'a:1\nb:2\nc:3\n');
  const read = ['-b', brokers, '-G', 'kcat-group', '-X', 'auto.offset.reset=earliest', '-e', '-f', '%k=%s\n', 'kcat'];
  expect((await command('kcat', read)).trim().split('\n').sort()).toEqual(['a=1', 'b=2', 'c=3']);
});

const python = join(process.cwd(), '.cache/python/bin/python');
test.skipIf(!existsSync(python))(
  'confluent-kafka and kafka-python: transactions, positions in them, static members',
  async () => {
    const output = await command(python, [join(import.meta.dirname, 'clients.py'), brokers]);
    expect(output.trim().split('\n')).toEqual([
      'committed 0-0 0-1 0-2 2-0 2-1 2-2',
      'positions True',
      'state STABLE',
      'kafka-python 11',
    ]);
  },
);
