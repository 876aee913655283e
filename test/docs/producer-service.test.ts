/** The README's example of a service that writes to the platform's topics does what it says. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EmbeddedKafka, type EmbeddedRegistry, startKafka, startRegistry } from '../../src/embedded/index.ts';
import { DeliveryError, KafkaProducerService } from '../../src/index.ts';

let kafka: EmbeddedKafka;
let registry: EmbeddedRegistry;
beforeAll(async () => {
  kafka = await startKafka({ topics: ['metrics', 'predictions', 'anomalies'] });
  registry = await startRegistry({ kafka: { brokers: kafka.brokers } });
});
afterAll(async () => {
  await registry?.close();
  await kafka?.close();
});

test('the example writes each kind, and is told of what does not fit', async () => {
  const { brokers } = kafka;
  const { url } = registry;
  const warnings: string[] = [];
  const console = { warn: (...what: unknown[]): void => void warnings.push(String(what)) };
  // README begin
  const producer = new KafkaProducerService({ kafka: { brokers }, registry: { url } });
  await producer.connect();

  // Resolves when all in-sync replicas have it; what is sent at the same time goes in one batch.
  const { topic, partition, offset } = await producer.sendMetric({
    service: 'checkout',
    metricName: 'latency',
    value: 12.5,
    unit: 'ms',
    labels: { host: 'web-1' },
  });

  // Any kinds together: all are validated first, and where one does not fit, nothing is sent.
  await producer.sendBatch([
    { metric: { service: 'checkout', metricName: 'errors', value: 3 } },
    {
      anomaly: {
        id: 'a-17',
        service: 'checkout',
        isAnomaly: true,
        anomalyScore: 0.97,
        affectedMetrics: ['latency'],
        severity: 'critical',
      },
    },
  ]);

  // A record that is not delivered says which it is, and the service goes on with the others.
  producer.sendMetric({ service: 'checkout', metricName: 'latency', value: 13 }).catch((error: unknown) => {
    const isSafe = error instanceof DeliveryError && error.retriable && !error.mayBeWritten;
    console.warn(isSafe ? 'can be sent again' : 'is refused, or may be there already', error);
  });

  const left = await producer.flush(5_000);
  if (left > 0) console.warn(`${left} records are still on their way`);
  await producer.disconnect();
  // README end
  expect([topic, partition, offset, left, warnings]).toEqual(['metrics', 0, 0, 0, []]);
  expect(kafka.describePartition('metrics', 0).endOffset).toBe(3);
  expect(kafka.describePartition('anomalies', 0).endOffset).toBe(1);
});

test('the code above is the README’s', () => {
  const strip = (text: string): string => text.replace(/\s+/g, ' ').trim();
  const own = /\/\/ README begin\n([\s\S]*?)\/\/ README end/.exec(readFileSync(import.meta.filename, 'utf8'))![1]!;
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
  expect(strip(readme)).toContain(strip(own));
});
