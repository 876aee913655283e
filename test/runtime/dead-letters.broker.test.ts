/** Dead letters of a running application: their topics, and a record that is as large as its topic takes. */
import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { expect, inject, test } from 'vitest';
import { json, StreamsBuilder, string, type Topology } from '../../src/index.ts';
import { messages, suiteCluster, topics } from '../support/asynchronous.ts';
import { closeLater, newStreams, produce, runStreams, watch } from '../support/streams.ts';
import { newTopics } from '../support/topics.ts';
import { waitFor } from '../support/wait.ts';

const brokers = inject('brokers');
const s = string();
const cluster = suiteCluster();

test('a dead letter topic of a node is written to, and one that does not exist is told at the start', async () => {
  const at = await topics(cluster);
  const dead = `dead-${randomUUID()}`;
  const topology = (): Topology => {
    const builder = new StreamsBuilder();
    builder
      .stream(at.input, { key: s, value: s })
      .mapValues(
        (value) => {
          if (value === 'bad') throw new Error('bad');
          return value;
        },
        { deadLetterTopic: dead },
      )
      .to(at.output, { key: s, value: s });
    return builder.build();
  };
  await expect(newStreams(brokers, topology(), { ...at }).start()).rejects.toMatchObject({
    code: 'MILLRACE_RUNTIME_TOPIC_MISSING',
    topic: dead,
  });
  await newTopics(cluster, [dead], 1);
  await runStreams(brokers, topology(), { ...at });
  const [left, seen] = [await watch(brokers, dead), await watch(brokers, at.output)];
  await produce(brokers, at.input, messages(['a', 'bad', 'b']));
  await waitFor(() => left.length === 1 && seen.length === 2);
  expect(left).toEqual([['bad', 'bad']]);
});

test('a dead letter that is too large with its headers goes without its bytes, and the rest goes on', async () => {
  const at = await topics(cluster);
  const dead = `dead-${randomUUID()}`;
  await newTopics(cluster, [dead], 1);
  const builder = new StreamsBuilder();
  const seen: unknown[] = [];
  builder
    .stream(at.input, { key: s, value: json(), deadLetterTopic: dead })
    .forEach((_key, value) => void seen.push(value));
  const streams = await runStreams(brokers, builder.build(), { ...at });
  const large = 'x'.repeat(1_048_588 - 100);
  await produce(brokers, at.input, [{ key: null, value: large, partition: 0 }]);
  await produce(brokers, at.input, [
    { key: null, value: '{"n":1}', partition: 0 },
    { key: null, value: '{', partition: 0 },
  ]);
  const letters: { value: number; headers: Record<string, string> }[] = [];
  const consumer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).consumer({ groupId: dead, maxWaitTimeInMs: 100 });
  closeLater(() => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topic: dead, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message: { value, headers = {} } }) =>
      void letters.push({
        value: value?.length ?? -1,
        headers: Object.fromEntries(Object.entries(headers).map(([name, content]) => [name, String(content)])),
      }),
  });
  await waitFor(() => letters.length >= 2 && seen.length === 1);
  const [omitted] = letters.filter(({ value }) => value === -1);
  expect(letters.map(({ value }) => value).sort()).toEqual([-1, 1]);
  expect(omitted!.headers).toMatchObject({
    '__millrace.errors.omitted': `key 0 bytes, value ${large.length} bytes`,
    '__streams.errors.topic': at.input,
    '__streams.errors.offset': '0',
  });
  expect([seen, streams.state]).toEqual([[{ n: 1 }], 'RUNNING']);
});
