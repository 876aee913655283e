/** What brokers and the network do to a service: nothing is lost without a word, nothing is there twice, order is kept. */
import { afterEach, test as anyTest, beforeEach, describe, expect, inject } from 'vitest';
import { type EmbeddedKafka, type Fault, startKafka } from '../../src/embedded/index.ts';
import {
  type DeliveryError,
  KafkaProducerService,
  type MetricInput,
  type ProducerServiceOptions,
} from '../../src/index.ts';
import { decode, readTopic } from '../support/kafkajs-reader.ts';
import { startTestRegistry, type TestRegistry } from '../support/registry.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

let kafka: EmbeddedKafka;
let registry: TestRegistry;
let service: KafkaProducerService;
let release: () => void;

beforeEach(async () => {
  if (inject('brokerKind') === 'apache') return;
  kafka = await startKafka({ topics: [{ topic: 'metrics', partitions: 3 }] });
  registry = await startTestRegistry();
  release = () => {};
});
afterEach(async () => {
  release();
  await service?.disconnect(0);
  await registry?.close();
  await kafka?.close();
});

async function connect(options: Partial<ProducerServiceOptions> = {}): Promise<void> {
  service = new KafkaProducerService({
    kafka: { brokers: kafka.brokers },
    registry: { url: registry.url },
    topics: { metrics: 'metrics' },
    ...options,
  });
  await service.connect();
}

const metric = (value: number): MetricInput => ({ service: 's', metricName: `m${value % 7}`, value });
const sendAll = (count: number) => Promise.all(Array.from({ length: count }, (_, i) => service.sendMetric(metric(i))));
const failure = (promise: Promise<unknown>): Promise<DeliveryError> =>
  promise.then(
    () => expect.fail('it was delivered'),
    (error: DeliveryError) => error,
  );

/** Produce requests wait from now on, until `release()`; resolves how many there are. */
function hold(): () => number {
  let count = 0;
  const gate = new Promise<void>((resolve) => {
    release = () => resolve();
  });
  kafka.inject({
    api: 'Produce',
    times: Number.POSITIVE_INFINITY,
    action: {
      kind: 'run',
      run: () => {
        count++;
        return gate;
      },
    },
  });
  return () => count;
}

interface SeenBatch {
  readonly acks: number;
  readonly records: Buffer;
}

/** The batches that come, as they come. */
function watchBatches(): SeenBatch[] {
  const batches: SeenBatch[] = [];
  kafka.inject({
    api: 'Produce',
    when: (request) => {
      const { acks, topics } = request as { acks: number; topics: { partitions: { records: Buffer }[] }[] };
      for (const { partitions } of topics)
        for (const { records } of partitions) batches.push({ acks, records: Buffer.from(records) });
      return false;
    },
    action: { kind: 'disconnect' },
  });
  return batches;
}

/** By partition: the values in order. */
async function values(count: number): Promise<number[][]> {
  const read: number[][] = [[], [], []];
  for (const { partition, value } of await readTopic(kafka.brokers, 'metrics', count))
    read[partition]!.push(((await decode(registry.url, value)) as { value: number }).value);
  return read;
}

test('sends at the same time go in a batch a partition: gzip, by an id and sequences, acknowledged by all', async () => {
  await connect();
  const batches = watchBatches();
  await sendAll(1000);
  expect(batches.length).toBeLessThanOrEqual(3);
  const GZIP = 1;
  for (const { acks, records } of batches) {
    expect([acks, records.readInt16BE(21) & 7]).toEqual([-1, GZIP]);
    expect([records.readBigInt64BE(43) >= 0n, records.readInt32BE(53)]).toEqual([true, 0]);
  }
});

test('connections that break, before and after batches are written: each record once, in order', async () => {
  await connect({ lingerMs: 0 });
  const faults: Fault['action'][] = [{ kind: 'lose-response' }, { kind: 'disconnect' }, { kind: 'error', code: 6 }];
  for (let i = 0; i < 6; i++) kafka.inject({ api: 'Produce', after: 3 * i, action: faults[i % 3]! });
  const sent: Promise<unknown>[] = [];
  for (let i = 0; i < 150; i++) {
    sent.push(service.sendMetric(metric(i)));
    if (i % 5 === 4) await new Promise((resolve) => setImmediate(resolve));
    if (i % 50 === 25) kafka.disconnectClients();
  }
  await Promise.all(sent);
  const read = await values(150);
  expect(read.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 150 }, (_, i) => i));
  for (const ofPartition of read) expect(ofPartition).toEqual([...ofPartition].sort((a, b) => a - b));
});

describe('flush()', () => {
  test('tells how many of what was sent before are still on their way', async () => {
    await connect();
    const held = hold();
    const sent = sendAll(5);
    await waitFor(() => held() > 0);
    expect(await service.flush(20)).toBe(5);
    release();
    expect(await service.flush()).toBe(0);
    await sent;
    expect(await service.flush(0)).toBe(0);
  });

  test('waits for what was sent before, and does not let it linger', async () => {
    await connect({ lingerMs: 60_000 });
    const sent = service.sendMetric(metric(1));
    const flushing = service.flush();
    const later = service.sendMetric(metric(1));
    expect(await flushing).toBe(0);
    await sent;
    await service.disconnect();
    await later;
  });

  test('does not count what was rejected', async () => {
    await connect();
    kafka.inject({ api: 'Produce', action: { kind: 'error', code: 29 } });
    const error = failure(service.sendMetric(metric(0)));
    expect(await service.flush()).toBe(0);
    expect(await error).toMatchObject({ code: 'MILLRACE_PRODUCERS_NOT_DELIVERED' });
  });
});

describe('a broker that is away', () => {
  test('for a while is ridden out', async () => {
    await connect();
    await kafka.stop();
    const sent = sendAll(20);
    expect(await service.flush(20)).toBe(20);
    await kafka.restart();
    await sent;
    expect((await values(20)).flat()).toHaveLength(20);
  });

  test('for longer than deliveryTimeoutMs: an error, and when it is back the service goes on', async () => {
    await connect({ deliveryTimeoutMs: 200 });
    // Time is short enough that this one may not make it at once either.
    const delivered = async (): Promise<number> => {
      let offset: number | undefined;
      await waitFor(async () => {
        offset = await service.sendMetric(metric(0)).then(
          (where) => where.offset,
          () => undefined,
        );
        return offset !== undefined;
      });
      return offset!;
    };
    const before = await delivered();
    await kafka.stop();
    const error = await failure(service.sendMetric(metric(0)));
    expect(error).toMatchObject({
      code: 'MILLRACE_PRODUCERS_NOT_DELIVERED',
      retriable: true,
      topic: 'metrics',
      cause: { code: 'MILLRACE_KAFKA_DELIVERY_TIMEOUT' },
    });
    expect(error.partition).toBeTypeOf('number');
    await kafka.restart();
    expect(await delivered()).toBeGreaterThan(before);
  });

  test('without a word, with what it was sent: it may be written', async () => {
    await connect({ deliveryTimeoutMs: 200 });
    kafka.inject({ api: 'Produce', times: Number.POSITIVE_INFINITY, action: { kind: 'half-open' } });
    const error = await failure(service.sendMetric(metric(0)));
    expect(error).toMatchObject({ code: 'MILLRACE_PRODUCERS_NOT_DELIVERED', mayBeWritten: true });
    expect(error.message).toContain('It may be written all the same.');
  });
});

describe('what is refused', () => {
  test('the right to write to the topic: an error, and others may come', async () => {
    await connect();
    kafka.inject({ api: 'Produce', action: { kind: 'error', code: 29 } });
    expect(await failure(service.sendMetric(metric(0)))).toMatchObject({
      code: 'MILLRACE_PRODUCERS_NOT_DELIVERED',
      retriable: false,
      mayBeWritten: false,
      cause: { code: 'MILLRACE_KAFKA_RECORD_REFUSED' },
    });
    expect(await service.sendMetric(metric(0))).toMatchObject({ offset: 0 });
    expect(await service.sendMetric(metric(0))).toMatchObject({ offset: 1 });
  });

  test('the right to write idempotently: an error at connect()', async () => {
    kafka.inject({ api: 'InitProducerId', times: Number.POSITIVE_INFINITY, action: { kind: 'error', code: 31 } });
    await expect(connect()).rejects.toMatchObject({ code: 'MILLRACE_KAFKA_PROTOCOL', errorCode: 31 });
  });
});

test('disconnect() gives what is on its way its time, then rejects it by name', async () => {
  await connect();
  const held = hold();
  const single = failure(service.sendMetric(metric(0)));
  const batch = failure(service.sendBatch([{ metric: metric(1) }]));
  await waitFor(() => held() > 0);
  await service.disconnect(20);
  const disconnected = { code: 'MILLRACE_PRODUCERS_DISCONNECTED', kind: 'metric', topic: 'metrics' };
  expect(await single).toMatchObject({ ...disconnected, mayBeWritten: true });
  expect(await batch).toMatchObject({ failures: [{ ...disconnected, index: 0 }] });
});

describe('while the buffer is full', () => {
  const options = { maxBufferedBytes: 1_000, lingerMs: 0, compression: 'none' } as const;

  test('records wait outside, and go in their order as there is room', async () => {
    await connect(options);
    hold();
    const sent: Promise<unknown>[] = [];
    for (let i = 0; i < 200; i++) sent.push(service.sendMetric({ ...metric(7), value: i }));
    const batch = service.sendBatch([{ metric: { ...metric(7), value: 200 } }]);
    expect(await service.flush(20)).toBe(201);
    release();
    expect(await service.flush()).toBe(0);
    await Promise.all([...sent, batch]);
    expect((await values(201)).filter((ofPartition) => ofPartition.length > 0)).toEqual([
      Array.from({ length: 201 }, (_, i) => i),
    ]);
  });

  test('for longer than maxBlockMs: those outside are rejected, those inside delivered', async () => {
    await connect({ ...options, maxBlockMs: 30 });
    hold();
    const sent = Array.from({ length: 100 }, (_, i) => service.sendMetric(metric(i)));
    const outcomes = Promise.allSettled(sent);
    const full = await failure(sent[99]!);
    expect(full).toMatchObject({ code: 'MILLRACE_PRODUCERS_BUFFER_FULL', retriable: true, mayBeWritten: false });
    const left = await service.flush(0);
    expect([left > 5, left < 50]).toEqual([true, true]);
    release();
    const delivered = (await outcomes).filter(({ status }) => status === 'fulfilled').length;
    expect(delivered).toBe(left);
    expect((await values(left)).flat().sort((a, b) => a - b)).toEqual(Array.from({ length: left }, (_, i) => i));
  });

  test('disconnect() rejects what waits outside as well', async () => {
    await connect(options);
    hold();
    const sent = Array.from({ length: 100 }, (_, i) => failure(service.sendMetric(metric(i))));
    await service.disconnect(0);
    const codes = (await Promise.all(sent)).map(({ code }) => code);
    expect(new Set(codes)).toEqual(new Set(['MILLRACE_PRODUCERS_DISCONNECTED']));
  });
});
