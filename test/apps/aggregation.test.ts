/** The main job on the embedded broker, as processes; and its topology, in memory, on what others write. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { aggregationTopology } from '../../src/apps/aggregation/aggregation-topology.ts';
import { type EmbeddedKafka, startKafka } from '../../src/embedded/index.ts';
import { minutes, SchemaRegistry } from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';
import { AggregationJob } from '../support/aggregation-job.ts';
import { aggregationSuite } from '../support/aggregation-suite.ts';
import {
  type Aggregated,
  decodeAggregated,
  encodeMetric,
  expectAggregates,
  type Metric,
  random,
  registerSchemas,
} from '../support/metrics.ts';
import { startTestRegistry, type TestRegistry } from '../support/registry.ts';

const SESSION_MS = 1_500;

let kafka: EmbeddedKafka;
let job: AggregationJob;
beforeAll(async () => {
  kafka = await startKafka({ groupMinSessionTimeoutMs: 1_000 });
  job = await AggregationJob.open({ kafka: { brokers: kafka.brokers } });
});
afterAll(async () => {
  await job?.close();
  await kafka?.close();
});
beforeEach((context) => job.reset(`metrics-aggregation-${context.task.id}`));
afterEach(() => job.killPrograms());

aggregationSuite(() => job, SESSION_MS);

describe('what services write that know no registry', () => {
  const BASE = 1_700_000_040_000;
  let registry: TestRegistry;
  let schemaId: number;
  let driver: TopologyTestDriver;
  beforeEach(async () => {
    registry = await startTestRegistry();
    schemaId = await registerSchemas(registry.url);
    const topology = aggregationTopology({
      registry: new SchemaRegistry({ url: registry.url }),
      graceMs: minutes(10),
    });
    driver = await TopologyTestDriver.create(topology, {
      deserializationExceptionHandler: 'continue',
      deadLetterTopic: 'metrics-dlq',
    });
  });
  afterEach(async () => {
    await driver.close();
    await registry.close();
  });

  const send = (value: Buffer | object, timestamp = BASE): Promise<void> =>
    driver.pipe({
      topic: 'metrics',
      key: null,
      value: Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value)),
      timestamp,
      headers: [],
    });
  const written = (topic: string) => driver.produced.filter((record) => record.topic === topic);
  const outputs = (): Aggregated[] => written('metrics-aggregated').map(({ value }) => decodeAggregated(value!));
  const deadLetters = (): (string | undefined)[] =>
    written('metrics-dlq').map(({ headers }) =>
      headers.find(({ key }) => key === '__streams.errors.message')?.value?.toString(),
    );
  const metric = (more: object = {}) => ({
    timestamp: BASE,
    service: 's',
    metric_name: 'm',
    value: 1,
    labels: { host: 'a' },
    ...more,
  });

  test('Avro and JSON on one topic are aggregated together', async () => {
    const next = random(5);
    const metrics = Array.from(
      { length: 400 },
      (_, i): Metric => ({
        timestamp: BASE + i * 500,
        service: `service-${Math.floor(next() * 3)}`,
        metric_name: 'm',
        value: next() * 1000 - 200,
      }),
    );
    for (const one of metrics)
      await send(next() < 0.5 ? encodeMetric(schemaId, one) : { ...one, labels: {}, node: null });
    expectAggregates(outputs(), metrics);
    // As they came: JSON is not read to be written anew.
    const repartitioned = written('test-metric-aggregates-repartition').map(({ value }) => value![0]);
    expect(new Set(repartitioned)).toEqual(new Set([0, '{'.charCodeAt(0)]));
    expect(deadLetters()).toEqual([]);
  });

  test('event time is the field timestamp, the record’s where it is missing or not positive', async () => {
    const { timestamp: _, ...timeless } = metric();
    await send(metric({ timestamp: BASE + 60_000 }), 5);
    await send(timeless, BASE);
    await send(metric({ timestamp: 0 }), BASE);
    await send(metric({ timestamp: -5 }), BASE);
    await send(encodeMetric(schemaId, { ...metric(), timestamp: 0 }), BASE);
    await send(timeless, BASE + 60_000);
    const counts = new Map(outputs().map((output) => [output.window_start, output.count]));
    expect([...counts]).toEqual([
      [BASE + 60_000, 2],
      [BASE, 4],
    ]);
  });

  test('a field of another type is a bad record, told by its path; the others are aggregated', async () => {
    await send(metric());
    await send(metric({ timestamp: '2023-11-14T22:13:20Z' }));
    await send(metric({ timestamp: BASE + 0.5 }));
    await send(metric({ value: '1' }));
    await send(metric({ service: null }));
    await send(metric({ labels: { host: 1 } }));
    await send(Buffer.from('not JSON'));
    await send(metric());
    expect(deadLetters().map((message) => message?.replace(/^Cannot read as \S+: /, ''))).toEqual([
      'the field timestamp is a string where an integer within ±2^53 is needed.',
      'the field timestamp is a number where an integer within ±2^53 is needed.',
      'the field value is a string where a number in the range of a double is needed.',
      'the field service is null where a string is needed.',
      'the field labels{} is a number where a string is needed.',
      'neither in the Confluent wire format (magic byte 0 and a schema id) nor JSON.',
    ]);
    expect(outputs().at(-1)).toMatchObject({ count: 2 });
  });
});
