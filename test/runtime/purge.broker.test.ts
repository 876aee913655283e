/** Purging repartition topics goes on beside the rest. */
import { randomUUID } from 'node:crypto';
import { test as anyTest, expect, inject } from 'vitest';
import { StreamsBuilder, string } from '../../src/index.ts';
import { fetchCommitted } from '../../src/kafka/index.ts';
import { ownCluster, ownKafka, produce, runStreams } from '../support/streams.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

test('a DeleteRecords that is not answered holds up no commit', async () => {
  const kafka = await ownKafka({ topics: ['in'] });
  const asked: unknown[] = [];
  kafka.inject({
    api: 'DeleteRecords',
    times: Infinity,
    when: (request) => asked.push(request) > 0,
    action: { kind: 'delay', ms: 600_000 },
  });
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: string(), value: string() })
    .groupBy((_key, value) => value, { key: string(), value: string() })
    .count({ name: 'counts' });
  const applicationId = `app-${randomUUID()}`;
  await runStreams(kafka.brokers, builder.build(), {
    applicationId,
    kafka: { brokers: kafka.brokers, requestTimeout: 600_000 },
    repartitionPurgeIntervalMs: 1,
  });
  await produce(kafka.brokers, 'in', [{ key: 'a', value: '1' }]);
  await waitFor(() => asked.length > 0);
  await produce(kafka.brokers, 'in', [{ key: 'a', value: '2' }]);
  const cluster = ownCluster(kafka.brokers);
  await cluster.connect();
  const at = { topic: 'in', partition: 0 };
  const committed = async () => [...(await fetchCommitted(cluster, applicationId, [at])).values()][0]?.offset;
  await waitFor(async () => (await committed()) === 2, 20_000, 'the second position');
  expect(await committed()).toBe(2);
});
