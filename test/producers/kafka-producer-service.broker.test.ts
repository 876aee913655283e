/** What is sent is on the topics, as clients that are not ours read it; what is wrong is told with a code. */
import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { type EmbeddedRegistry, startRegistry } from '../../src/embedded/index.ts';
import {
  type AnomalyInput,
  type BatchDeliveryError,
  type DeliveredRecord,
  DeliveryError,
  KafkaProducerService,
  type MetricInput,
  type OutgoingRecord,
  type PredictionInput,
  type ProducerServiceOptions,
  SchemaRegistry,
} from '../../src/index.ts';
import { createTopics, KafkaCluster, listOffsets } from '../../src/kafka/index.ts';
import { freePort } from '../support/free-port.ts';
import { decode, readTopic } from '../support/kafkajs-reader.ts';
import { startTestRegistry } from '../support/registry.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { newTopics } from '../support/topics.ts';
import { waitFor } from '../support/wait.ts';

const brokers = inject('brokers');
const services: KafkaProducerService[] = [];
let admin: KafkaCluster;
let registry: EmbeddedRegistry;
let topics: { metrics: string; predictions: string; anomalies: string };

beforeAll(async () => {
  admin = new KafkaCluster({ kafka: { brokers } });
  await admin.connect();
  registry = await startRegistry({ kafka: { brokers }, topic: `_schemas-${randomUUID()}` });
});
afterAll(async () => {
  await registry.close();
  await admin.close();
});
beforeEach(async () => {
  const id = randomUUID();
  topics = { metrics: `metrics-${id}`, predictions: `predictions-${id}`, anomalies: `anomalies-${id}` };
  await newTopics(admin, Object.values(topics), 3);
});
afterEach(async () => {
  for (const service of services.splice(0)) await service.disconnect(0);
});

function newService(options: Partial<ProducerServiceOptions> = {}): KafkaProducerService {
  const service = new KafkaProducerService({ kafka: { brokers }, registry: { url: registry.url }, topics, ...options });
  services.push(service);
  return service;
}

async function connected(options: Partial<ProducerServiceOptions> = {}): Promise<KafkaProducerService> {
  const service = newService(options);
  await service.connect();
  return service;
}

const metric: MetricInput = { service: 'checkout', metricName: 'latency', value: 12.5, timestamp: 1_700_000_000_123 };
const prediction: PredictionInput = {
  id: 'p-1',
  predictionType: 'CAPACITY',
  service: 'checkout',
  probability: 0.9,
  confidence: 0.8,
  timestamp: 1_700_000_000_124,
  severity: 'HIGH',
  affectedComponents: ['db', 'cache'],
  recommendedActions: [],
  details: { disk: 'sda' },
};
const anomaly: AnomalyInput = {
  id: 'a-1',
  service: 'checkout',
  isAnomaly: true,
  anomalyScore: 0.97,
  affectedMetrics: ['latency'],
  severity: 'critical',
  timestamp: 1_700_000_000_125,
};

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.fail('it was delivered'),
    (error: unknown) => error,
  );
const end = async (topic: string): Promise<number> => {
  const ends = await listOffsets(
    admin,
    [0, 1, 2].map((partition) => ({ topic, partition })),
    'latest',
  );
  return [...ends.values()].reduce((sum, offset) => sum + offset, 0);
};

describe('what is sent', () => {
  test('each kind is on its topic, by its schema and under its key, where the promise says', async () => {
    const service = await connected();
    const written = [
      [topics.metrics, await service.sendMetric({ ...metric, labels: { host: 'a' }, node: 'n1', unit: 'ms' })],
      [topics.predictions, await service.sendPrediction({ ...prediction, predictedTime: 1_800_000_000_000 })],
      [topics.anomalies, await service.sendAnomaly({ ...anomaly, rootCause: 'gc', remediationSuggested: true })],
    ] as const;
    const read: unknown[] = [];
    for (const [topic, where] of written) {
      const [message] = await readTopic(brokers, topic, 1);
      const { partition, offset, key, timestamp, value } = message!;
      expect(where).toEqual({ topic, partition, offset });
      read.push([key, timestamp, await decode(registry.url, value)]);
    }
    const { metricName: metric_name, ...metricRest } = metric;
    expect(read).toMatchObject([
      ['checkout:latency', metric.timestamp, { ...metricRest, metric_name, labels: { host: 'a' }, node: 'n1' }],
      [
        'p-1',
        prediction.timestamp,
        {
          id: 'p-1',
          prediction_type: 'CAPACITY',
          service: 'checkout',
          probability: 0.9,
          confidence: 0.8,
          predicted_time: 1_800_000_000_000,
          timestamp: prediction.timestamp,
          severity: 'HIGH',
          affected_components: ['db', 'cache'],
          recommended_actions: [],
          details: { disk: 'sda' },
        },
      ],
      [
        'a-1',
        anomaly.timestamp,
        {
          id: 'a-1',
          service: 'checkout',
          timestamp: anomaly.timestamp,
          is_anomaly: true,
          anomaly_score: 0.97,
          affected_metrics: ['latency'],
          severity: 'critical',
          root_cause: 'gc',
          remediation_suggested: true,
        },
      ],
    ]);
    const subjects = (await (await fetch(`${registry.url}/subjects`)).json()) as string[];
    expect(subjects).toEqual(expect.arrayContaining(Object.values(topics).map((topic) => `${topic}-value`)));
  });

  test('what is left out has the schema’s default; a timestamp is now, in the record and on it', async () => {
    const service = await connected();
    const before = Date.now();
    const { timestamp: _, ...metricWithout } = metric;
    await service.sendMetric(metricWithout);
    await service.sendAnomaly(anomaly);
    const [measured] = await readTopic(brokers, topics.metrics, 1);
    expect(measured!.timestamp).toBeGreaterThanOrEqual(before);
    expect(await decode(registry.url, measured!.value)).toEqual({
      timestamp: measured!.timestamp,
      service: 'checkout',
      metric_name: 'latency',
      value: 12.5,
      labels: {},
      node: null,
      unit: null,
      environment: null,
    });
    const [found] = await readTopic(brokers, topics.anomalies, 1);
    expect(await decode(registry.url, found!.value)).toMatchObject({ root_cause: null, remediation_suggested: false });
  });

  test('a batch of any kinds comes in its order, and each place is told; an empty one is nothing', async () => {
    const service = await connected();
    const batch: OutgoingRecord[] = Array.from({ length: 300 }, (_, i) =>
      i % 3 === 0 ? { prediction: { ...prediction, id: 'p', probability: i } } : { metric: { ...metric, value: i } },
    );
    const where = await service.sendBatch(batch);
    expect(await service.sendBatch([])).toEqual([]);
    const messages = [
      ...(await readTopic(brokers, topics.predictions, 100)).map((message) => ({
        ...message,
        topic: topics.predictions,
      })),
      ...(await readTopic(brokers, topics.metrics, 200)).map((message) => ({ ...message, topic: topics.metrics })),
    ];
    const at = ({ topic, partition, offset }: DeliveredRecord): string => `${topic} ${partition} ${offset}`;
    const values = new Map<string, number>();
    for (const message of messages) {
      const { value, probability } = (await decode(registry.url, message.value)) as Record<string, number>;
      values.set(at(message), value ?? probability!);
    }
    expect(where.map((one) => values.get(at(one)))).toEqual(batch.map((_, i) => i));
    // Of one key: one partition, so that its order is seen.
    expect(new Set(where.map(({ topic, partition }) => `${topic} ${partition}`)).size).toBe(2);
  });

  test('may be changed once the call has returned', async () => {
    const service = await connected();
    const changed = { ...metric, labels: { host: 'a' } };
    const sent = service.sendMetric(changed);
    changed.labels.host = 'b';
    await sent;
    const [message] = await readTopic(brokers, topics.metrics, 1);
    expect(await decode(registry.url, message!.value)).toMatchObject({ labels: { host: 'a' } });
  });

  test('a registry’s client of one’s own, and topics that are left out: their schemas are not registered', async () => {
    const own = new SchemaRegistry({ url: registry.url });
    const service = await connected({ registry: own, topics: { metrics: topics.metrics } });
    await service.sendMetric(metric);
    expect(await failure(service.sendAnomaly(anomaly))).toMatchObject({ code: 'MILLRACE_PRODUCERS_NO_TOPIC' });
    const subjects = (await (await fetch(`${registry.url}/subjects`)).json()) as string[];
    expect(subjects).toContain(`${topics.metrics}-value`);
    expect(subjects).not.toContain(`${topics.anomalies}-value`);
  });
});

describe('a record that does not fit', () => {
  const cases: readonly [string, (service: KafkaProducerService) => Promise<unknown>, RegExp][] = [
    [
      'a field is missing',
      (s) => s.sendMetric({ value: 1, service: 's' } as never),
      /^The metric .* field metric_name is undefined/,
    ],
    [
      'a field has another type',
      (s) => s.sendMetric({ ...metric, value: 'secret' as never }),
      /field value is a string/,
    ],
    [
      'a label is no string',
      (s) => s.sendMetric({ ...metric, labels: { secret: 1 as never } }),
      /field labels\{\} is a number/,
    ],
    [
      'an element is no string',
      (s) => s.sendPrediction({ ...prediction, affectedComponents: [1 as never] }),
      /field affected_components\[\] is/,
    ],
    [
      'a symbol that there is not',
      (s) => s.sendPrediction({ ...prediction, severity: 'secret' as never }),
      /field severity is a string where a symbol/,
    ],
    ['an id is missing', (s) => s.sendAnomaly({ ...anomaly, id: undefined as never }), /field id is undefined/],
    ['a fraction for a time', (s) => s.sendMetric({ ...metric, timestamp: 1.5 }), /field timestamp/],
    ['a negative time', (s) => s.sendMetric({ ...metric, timestamp: -1 }), /negative timestamp/],
    [
      'a field under another name',
      (s) => s.sendMetric({ ...metric, metric_name: 'secret' } as never),
      /no field metric_name; there are timestamp, service, metricName/,
    ],
    ['no object', (s) => s.sendMetric(null as never), /is no object/],
    [
      'in a batch',
      (s) => s.sendBatch([{ metric }, { anomaly: { ...anomaly, severity: 3 as never } }]),
      /^records\[1\] of sendBatch, an anomaly, .* severity .* Nothing of the batch was sent/,
    ],
    [
      'of no kind, in a batch',
      (s) => s.sendBatch([{ metric }, { secret: 1 } as never]),
      /^records\[1\] of sendBatch must be/,
    ],
    ['of two kinds, in a batch', (s) => s.sendBatch([{ metric, anomaly } as never]), /^records\[0\]/],
  ];
  test.each(cases)('%s: refused before it is sent, with the place and without content', async (_, send, message) => {
    const service = await connected();
    const error = (await failure(send(service))) as Error;
    expect(error).toMatchObject({ code: 'MILLRACE_PRODUCERS_INVALID_RECORD', retriable: false });
    expect(error.message).toMatch(message);
    expect(inspect(error)).not.toContain("secret'");
    expect(JSON.stringify(error)).not.toContain('secret');
    expect(await service.flush(0)).toBe(0);
    expect(await end(topics.metrics)).toBe(0);
  });

  test('larger than the whole buffer: refused', async () => {
    const service = await connected({ maxBufferedBytes: 1000 });
    expect(await failure(service.sendMetric({ ...metric, unit: 'x'.repeat(1000) }))).toMatchObject({
      code: 'MILLRACE_PRODUCERS_RECORD_TOO_LARGE',
    });
  });

  test('too large for its topic: rejected by name, and what is sent with it is delivered', async () => {
    const small = `small-${randomUUID()}`;
    await createTopics(admin, [
      { topic: small, partitions: 1, replicationFactor: 1, configs: { 'max.message.bytes': '2000' } },
    ]);
    const service = await connected({ topics: { metrics: small }, compression: 'none' });
    const secret = 'secret'.repeat(1000);
    const large: MetricInput = { ...metric, unit: secret };
    const sent = [service.sendMetric(metric), service.sendMetric(large), service.sendMetric(metric)];
    const error = (await failure(sent[1]!)) as DeliveryError;
    expect(error).toBeInstanceOf(DeliveryError);
    expect(error).toMatchObject({
      code: 'MILLRACE_PRODUCERS_NOT_DELIVERED',
      kind: 'metric',
      topic: small,
      partition: 0,
      mayBeWritten: false,
      cause: { code: 'MILLRACE_KAFKA_RECORD_REFUSED' },
    });
    expect(error.record).toBe(large);
    expect(inspect(error) + JSON.stringify(error)).not.toContain('secret');
    const batch = service.sendBatch([{ metric }, { metric: large }, { metric }, { metric: large }]);
    const batchError = await failure(batch);
    expect(batchError).toMatchObject({
      code: 'MILLRACE_PRODUCERS_BATCH_NOT_DELIVERED',
      failures: [{ index: 1 }, { index: 3 }],
      records: [{ metric: large }, { metric: large }],
    });
    expect((batchError as Error).message).toMatch(
      /^2 of 4 records of sendBatch were not delivered \(1, 3\)\. records\[1\] of sendBatch, a metric, was/,
    );
    expect(inspect(batchError) + JSON.stringify(batchError)).not.toContain('secret');
    const offsets = [await sent[0], await sent[2], ...(batchError as { delivered: DeliveredRecord[] }).delivered].map(
      (where) => where?.offset,
    );
    expect(offsets).toEqual([0, 1, 2, undefined, 3, undefined]);
    expect(await service.sendMetric(metric)).toMatchObject({ offset: 4 });
  });
});

test.skipIf(inject('brokerKind') === 'embedded')(
  'a record whose timestamp the topic refuses is rejected alone, though it shares a batch with others',
  async () => {
    const strict = `strict-${randomUUID()}`;
    const configs = { 'message.timestamp.before.max.ms': '86400000' };
    await createTopics(admin, [{ topic: strict, partitions: 1, replicationFactor: 1, configs }]);
    const service = await connected({ topics: { metrics: strict } });
    const { timestamp: _, ...now } = metric;
    const batch = Array.from({ length: 10 }, (_, i) => ({ metric: i === 6 ? { ...now, timestamp: 1 } : now }));
    const error = await failure(service.sendBatch(batch));
    expect(error).toMatchObject({ failures: [{ index: 6, cause: { code: 'MILLRACE_KAFKA_RECORD_REFUSED' } }] });
    const { delivered } = error as BatchDeliveryError;
    expect(delivered.map((where) => where?.offset)).toEqual([0, 1, 2, 3, 4, 5, undefined, 6, 7, 8]);
    expect(await service.sendMetric(now)).toMatchObject({ offset: 9 });
  },
);

test('connections are cut again and again: each record is there once, in order', async () => {
  const proxy = await TcpProxy.start(brokers[0]!);
  const { socketFactory } = proxy;
  const service = await connected({ kafka: { brokers, socketFactory }, lingerMs: 0 });
  const sent: Promise<DeliveredRecord>[] = [];
  for (let i = 0; i < 200; i++) {
    sent.push(service.sendMetric({ ...metric, value: i }));
    await new Promise((resolve) => setImmediate(resolve));
    if (i % 40 === 20) for (const { client } of proxy.lines) client.resetAndDestroy();
  }
  const where = await Promise.all(sent);
  const values: number[] = [];
  for (const { value } of await readTopic(brokers, topics.metrics, 200))
    values.push(((await decode(registry.url, value)) as { value: number }).value);
  expect(values).toEqual(Array.from({ length: 200 }, (_, i) => i));
  expect(where.map(({ offset }) => offset)).toEqual(values);
  proxy.close();
});

describe('a topic that is not there', () => {
  test('is a warning at connect(), and an error after maxBlockMs; others are delivered', async () => {
    const warnings: object[] = [];
    const logger = {
      debug: () => {},
      info: () => {},
      warn: (fields: object) => void warnings.push(fields),
      error: () => {},
    };
    const absent = `absent-${randomUUID()}`;
    const service = await connected({ topics: { ...topics, anomalies: absent }, maxBlockMs: 50, logger });
    expect(warnings).toContainEqual({ topic: absent, error: 'UNKNOWN_TOPIC_OR_PARTITION' });
    const missing = failure(service.sendAnomaly(anomaly));
    await service.sendMetric(metric);
    expect(await missing).toMatchObject({
      code: 'MILLRACE_PRODUCERS_NOT_DELIVERED',
      retriable: true,
      topic: absent,
      mayBeWritten: false,
      cause: { code: 'MILLRACE_KAFKA_PROTOCOL', errorCode: 3 },
    });
  });

  test('and comes: what waited is delivered', async () => {
    const late = `late-${randomUUID()}`;
    const service = await connected({ topics: { metrics: late } });
    const sent = service.sendMetric(metric);
    await newTopics(admin, [late], 1);
    expect(await sent).toEqual({ topic: late, partition: 0, offset: 0 });
  });
});

describe('connect() and disconnect()', () => {
  test('what is sent before or after is refused; connecting again works', async () => {
    const service = newService();
    const notConnected = { code: 'MILLRACE_PRODUCERS_NOT_CONNECTED' };
    expect(await failure(service.sendMetric(metric))).toMatchObject(notConnected);
    expect(await failure(service.sendBatch([]))).toMatchObject(notConnected);
    expect(await service.flush()).toBe(0);
    await service.disconnect();
    await Promise.all([service.connect(), service.connect()]);
    await service.connect();
    const last = service.sendMetric(metric);
    const closing = service.disconnect();
    expect(await failure(service.sendMetric(metric))).toMatchObject(notConnected);
    await closing;
    expect(await last).toMatchObject({ topic: topics.metrics });
    expect(await failure(service.sendMetric(metric))).toMatchObject(notConnected);
    await service.connect();
    expect(await service.sendMetric(metric)).toMatchObject({ offset: 1 });
  });

  test('no broker at the address: an error after connectTimeoutMs, and the next call tries again', async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const service = newService({ kafka: { brokers: [address] }, connectTimeoutMs: 1 });
    for (let i = 0; i < 2; i++) {
      const error = (await failure(service.connect())) as Error;
      expect(error).toMatchObject({ code: 'MILLRACE_KAFKA_CONNECTION' });
      expect(error.message).toContain(address);
    }
  });

  test('a registry that refuses is an error; one that is away is waited for, until disconnect()', async () => {
    const test = await startTestRegistry();
    test.fail(403);
    const service = newService({ registry: { url: test.url } });
    expect(await failure(service.connect())).toMatchObject({ code: 'MILLRACE_SERDES_REGISTRY_FORBIDDEN' });
    test.fail(503);
    const waiting = service.connect();
    const ended = failure(waiting);
    const before = test.requests.length;
    await waitFor(() => test.requests.length > before);
    expect(await failure(service.sendMetric(metric))).toMatchObject({ code: 'MILLRACE_PRODUCERS_NOT_CONNECTED' });
    await service.disconnect();
    expect(await ended).toMatchObject({ code: 'MILLRACE_PRODUCERS_DISCONNECTED' });
    const again = service.connect();
    test.fail(undefined);
    await again;
    await service.sendMetric(metric);
    await test.close();
  });

  test('disconnect() at once after connect() ends it', async () => {
    const service = newService();
    const ended = failure(service.connect());
    await service.disconnect();
    expect(await ended).toMatchObject({ code: 'MILLRACE_PRODUCERS_DISCONNECTED' });
  });
});

test('a schema that its subject lacks, where registering is off, is an error at connect()', async () => {
  const service = newService({ registry: { url: registry.url, autoRegister: false } });
  expect(await failure(service.connect())).toMatchObject({ code: 'MILLRACE_SERDES_SCHEMA_NOT_REGISTERED' });
});
