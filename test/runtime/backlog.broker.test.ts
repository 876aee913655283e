/** A backlog of half an hour in ten unequal partitions, caught up by one thread: no record is dropped as late. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { KafkaStreams, long, minutes, StreamsBuilder, string, TimeWindows, timeWindowed } from '../../src/index.ts';
import { KafkaCluster, Producer } from '../../src/kafka/index.ts';
import { random } from '../support/metrics.ts';
import { temporaryFolder } from '../support/programs.ts';
import { newTopics } from '../support/topics.ts';
import { waitFor } from '../support/wait.ts';

const brokers = inject('brokers');
const PARTITIONS = 10;
const RECORDS = 300_000;
let admin: KafkaCluster;
beforeAll(async () => {
  admin = new KafkaCluster({ kafka: { brokers } });
  await admin.connect();
});
afterAll(() => admin.close());

test.each(['by-key', 'by-value'])('grouped %s', async (grouping) => {
  const id = randomUUID();
  const [input, output] = [`in-${id}`, `out-${id}`];
  await newTopics(admin, [input, output], PARTITIONS);
  const producer = new Producer(new KafkaCluster({ kafka: { brokers } }), { batchBytes: 32 * 1024 });
  await producer.start();
  await producer.prepare([input]);
  const next = random(4);
  const base = Date.now() - minutes(40);
  for (let i = 0; i < RECORDS; i++) {
    // The first partition has some fifty times as many records as the last.
    const partition = Math.floor(next() ** 3 * PARTITIONS);
    const key = Buffer.from(`k${Math.floor(next() * 200)}`);
    producer.send(
      input,
      partition,
      base + Math.floor((i / RECORDS) * minutes(30)),
      key,
      0,
      key.length,
      key,
      0,
      key.length,
      [],
    );
    if (producer.isFull) await producer.drained();
  }
  await producer.flush();
  await producer.close();

  const builder = new StreamsBuilder();
  const stream = builder.stream(input, { key: string(), value: string() });
  const grouped =
    grouping === 'by-key'
      ? stream.groupByKey()
      : stream.groupBy((_key, value) => value, { key: string(), value: string() });
  grouped
    .windowedBy(TimeWindows.of(minutes(1), { grace: 0 }))
    .count({ name: 'counts' })
    .toStream()
    .to(output, { key: timeWindowed(string(), minutes(1)), value: long() });
  const streams = new KafkaStreams(builder.build(), {
    applicationId: `backlog-${id}`,
    kafka: { brokers },
    stateDir: temporaryFolder(),
    commitIntervalMs: 500,
  });
  await streams.start();
  await waitFor(
    () => streams.metrics().processTotal >= (grouping === 'by-key' ? RECORDS : 2 * RECORDS),
    90_000,
    'the backlog',
  );
  await streams.close();
  expect(streams.metrics().droppedByReason).toEqual({});
});
