/** Options: each fault is named before anything is connected; what is undefined counts as absent. */
import { expect, test } from 'vitest';
import { KafkaProducerService, type ProducerServiceOptions, SchemaRegistry } from '../../src/index.ts';
import { resolveOptions } from '../../src/producers/options.ts';

const good = { kafka: { brokers: ['a:1'] }, registry: { url: 'http://r' } };

test('defaults are Kafka’s, but for gzip', () => {
  const { registry, logger, ...rest } = resolveOptions({
    ...good,
    lingerMs: undefined,
    topics: undefined,
  } as unknown as ProducerServiceOptions);
  expect(registry).toBeInstanceOf(SchemaRegistry);
  expect(logger).toBeDefined();
  expect(rest).toEqual({
    kafka: good.kafka,
    topics: { metric: 'metrics', prediction: 'predictions', anomaly: 'anomalies' },
    compression: 'gzip',
    lingerMs: 5,
    deliveryTimeoutMs: 120_000,
    maxBlockMs: 60_000,
    maxBufferedBytes: 33_554_432,
    connectTimeoutMs: 10_000,
  });
});

test('all that is wrong is named', () => {
  const bad = {
    topics: { metrics: '', alerts: 'a' },
    compression: 'zip',
    lingerMs: 10,
    deliveryTimeoutMs: 10,
    maxBlockMs: Number.NaN,
    logger: {},
  };
  expect(() => new KafkaProducerService(bad as never)).toThrow(
    expect.objectContaining({
      code: 'MILLRACE_PRODUCERS_INVALID_OPTIONS',
      message: expect.stringMatching(
        /kafka\.brokers.*registry.*logger lacks.*topics\.metrics.*topics\.alerts.*compression.*maxBlockMs.*lingerMs 10/,
      ),
    }),
  );
  expect(() => new KafkaProducerService(undefined as never)).toThrow(/kafka\.brokers/);
  expect(() => new KafkaProducerService({ ...good, topics: {} })).toThrow(/topics names none/);
});
