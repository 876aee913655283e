/**
 * What needs a control that Apache Kafka does not have: faults, restarts in place, time moved on. On Apache Kafka these
 * are skipped, and vitest counts them.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { afterEach, test as anyTest, describe, expect, inject } from 'vitest';
import { type EmbeddedKafka, type EmbeddedKafkaOptions, startKafka } from '../../src/embedded/index.ts';
import { Fetcher, KafkaCluster, listOffset, Producer, RecordBatchBuilder } from '../../src/kafka/index.ts';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

let kafka: EmbeddedKafka;
const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(options: EmbeddedKafkaOptions = {}): Promise<EmbeddedKafka> {
  kafka = await startKafka(options);
  const started = kafka;
  closing.push(() => started.close());
  return kafka;
}

function cluster(): KafkaCluster {
  const made = new KafkaCluster({ kafka: { brokers: kafka.brokers } });
  closing.push(() => made.close());
  return made;
}

async function producer(): Promise<Producer> {
  const made = new Producer(cluster(), { lingerMs: 0 });
  closing.push(() => made.close());
  await made.start();
  await made.prepare(['t']);
  return made;
}

function send(to: Producer, value: string, key = 'k'): Promise<void> {
  const [k, v] = [Buffer.from(key), Buffer.from(value)];
  to.send('t', 0, Date.now(), k, 0, k.length, v, 0, v.length, []);
  return to.flush();
}

async function endOffset(): Promise<number> {
  return listOffset(cluster(), { topic: 't', partition: 0 }, 'latest');
}

/** Every record of the first partition. */
async function readAll(count: number): Promise<string[]> {
  const at = { topic: 't', partition: 0 };
  const fetcher = new Fetcher(cluster(), { maxWaitMs: 100 });
  const buffer = fetcher.add(at, await listOffset(cluster(), at, 'earliest'));
  await fetcher.start();
  const seen: string[] = [];
  await waitFor(async () => {
    for (let record = buffer.next(); record !== undefined; record = buffer.next())
      seen.push(`${record.key()}=${record.value()} @${record.offset}`);
    fetcher.wake();
    if (seen.length >= count && buffer.lag === 0) return true;
    await fetcher.waitForData(20);
    return false;
  });
  await fetcher.close();
  return seen;
}

async function position(offset?: number): Promise<number> {
  const client = await RawClient.connect(kafka.brokers[0]!);
  if (offset !== undefined) {
    const partitions = [{ partition: 0, offset, leaderEpoch: -1, metadata: '' }];
    const commit = {
      groupId: 'g',
      generationId: -1,
      memberId: '',
      groupInstanceId: null,
      topics: [{ name: 't', partitions }],
    };
    await client.call('OffsetCommit', 7, commit);
  }
  const request = { groupId: 'g', topics: [{ name: 't', partitions: [0] }] };
  const answer = await client.call('OffsetFetch', 5, request);
  client.close();
  return answer.topics[0].partitions[0].offset;
}

describe('faults', () => {
  test('a lost answer does not write a record twice', async () => {
    await start({ topics: ['t'] });
    const writer = await producer();
    await send(writer, '0');
    kafka.inject({ api: 'Produce', action: { kind: 'lose-response' } });
    await send(writer, '1');
    await send(writer, '2');
    expect(await readAll(3)).toEqual(['k=0 @0', 'k=1 @1', 'k=2 @2']);
  });

  test('errors that pass are ridden out in order; times and after count requests', async () => {
    await start({ topics: ['t'] });
    const writer = await producer();
    kafka.inject({ api: 'Produce', times: 2, after: 1, action: { kind: 'error', code: 7 } });
    for (let i = 0; i < 4; i++) await send(writer, String(i));
    expect(await readAll(4)).toEqual(['k=0 @0', 'k=1 @1', 'k=2 @2', 'k=3 @3']);
  });

  test('an answer can be late, or not come at all', async () => {
    await start({ topics: ['t'] });
    const client = await RawClient.connect(kafka.brokers[0]!);
    kafka.inject({ api: 'ApiVersions', action: { kind: 'delay', ms: 150 } });
    const started = Date.now();
    await client.call('ApiVersions', 0, {});
    expect(Date.now() - started).toBeGreaterThanOrEqual(140);
    const remove = kafka.inject({ api: 'ApiVersions', times: 1, action: { kind: 'half-open' } });
    const never = client.call('ApiVersions', 0, {}).then(
      () => 'answered',
      (error: Error) => error.message,
    );
    await (await RawClient.connect(kafka.brokers[0]!)).call('ApiVersions', 0, {});
    remove();
    kafka.disconnectClients();
    expect(await never).toBe('connection closed');
  });

  test('only the requests that are meant: by what is in them', async () => {
    await start({ topics: ['t', 'other'] });
    const mentions = (request: unknown): boolean => JSON.stringify(request).includes('"other"');
    kafka.inject({ api: 'Metadata', times: Infinity, when: mentions, action: { kind: 'error', code: 29 } });
    const client = await RawClient.connect(kafka.brokers[0]!);
    const ask = async (name: string) =>
      (await client.call('Metadata', 7, { topics: [{ name }], allowAutoTopicCreation: false })).topics[0].errorCode;
    expect([await ask('t'), await ask('other')]).toEqual([0, 29]);
    kafka.clearFaults();
    expect(await ask('other')).toBe(0);
    client.close();
  });

  test('throttling is obeyed: the next request of our driver waits', async () => {
    await start({ topics: ['t'] });
    const writer = await producer();
    kafka.inject({ api: 'Produce', action: { kind: 'throttle', ms: 400 } });
    await send(writer, '0');
    const started = Date.now();
    await send(writer, '1');
    expect(Date.now() - started).toBeGreaterThanOrEqual(300);
  });
});

describe('restarts', () => {
  test.each(['memory', 'files'])('what was acknowledged stays, in %s; on the same port', async (where) => {
    const dataDir = mkdtempSync(join(tmpdir(), 'millrace-embedded-'));
    await start({ topics: ['t'], ...(where === 'files' ? { dataDir } : {}) });
    const { port } = kafka;
    const writer = await producer();
    await send(writer, 'before');
    expect(await position(1)).toBe(1);
    await kafka.stop();
    await kafka.restart();
    expect(kafka.port).toBe(port);
    await send(writer, 'after');
    expect(await readAll(2)).toEqual(['k=before @0', 'k=after @1']);
    expect(await position()).toBe(1);
  });

  test('a producer stays known over a restart, when retention or compaction took its batches; a damaged note of it is no harm', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'millrace-embedded-'));
    const configs = { 'segment.bytes': '100', 'retention.bytes': '1' };
    await start({
      dataDir,
      topics: [
        { topic: 't', configs },
        { topic: 'c', configs: { 'cleanup.policy': 'compact' } },
      ],
    });
    let client = await RawClient.connect(kafka.brokers[0]!);
    const write = async (topic: string, producerId: number, baseSequence: number) => {
      const builder = new RecordBatchBuilder();
      const bytes = Buffer.from('x'.repeat(60));
      builder.append(Date.now(), bytes, 0, 1, bytes, 0, 60, []);
      const records = builder.build('none', { producerId, producerEpoch: 0, baseSequence, transactional: false });
      const topics = [{ name: topic, partitions: [{ partition: 0, records }] }];
      const request = { transactionalId: null, acks: -1, timeoutMs: 1000, topics };
      return (await client.call('Produce', 8, request)).topics[0].partitions[0].errorCode;
    };
    for (const topic of ['t', 'c']) {
      for (let sequence = 0; sequence < 3; sequence++) expect(await write(topic, 1, sequence)).toBe(0);
      for (let sequence = 0; sequence < 3; sequence++) expect(await write(topic, 2, sequence)).toBe(0);
    }
    kafka.advanceTime(1);
    kafka.compact('c');
    const again = async () => {
      await kafka.stop();
      await kafka.restart();
      client = await RawClient.connect(kafka.brokers[0]!);
    };
    await again();
    for (const topic of ['t', 'c'])
      expect([await write(topic, 1, 9), await write(topic, 1, 3), await write(topic, 2, 3)]).toEqual([45, 0, 0]);
    await again();
    for (const topic of ['t', 'c']) expect([await write(topic, 1, 9), await write(topic, 1, 4)]).toEqual([45, 0]);
    writeFileSync(join(dataDir, 'topics/t/0/producers.json'), '{"endOff');
    await again();
    expect(await write('t', 1, 5)).toBe(0);
  });

  test('a port in use names the port and the setting; a folder in use names its owner', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'millrace-embedded-'));
    await start({ dataDir });
    const taken = startKafka({ port: kafka.port, portSetting: 'KAFKA_PORT' });
    await expect(taken).rejects.toMatchObject({ code: 'MILLRACE_EMBEDDED_PORT_IN_USE' });
    await expect(startKafka({ port: kafka.port, portSetting: 'KAFKA_PORT' })).rejects.toThrow(
      new RegExp(`${kafka.port}.*KAFKA_PORT`),
    );
    await expect(startKafka({ dataDir })).rejects.toMatchObject({ code: 'MILLRACE_EMBEDDED_DATA_IN_USE' });
  });

  test('a folder left locked by a killed process is taken over, even under the same process id', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'millrace-embedded-'));
    writeFileSync(join(dataDir, 'broker.pid'), String(process.pid));
    await start({ dataDir });
    await expect(startKafka({ dataDir })).rejects.toMatchObject({ code: 'MILLRACE_EMBEDDED_DATA_IN_USE' });
  });
});

describe('time', () => {
  test('retention by time and by size', async () => {
    await start({ topics: [{ topic: 't', configs: { 'retention.ms': '60000' } }] });
    const writer = await producer();
    await send(writer, 'old');
    kafka.advanceTime(30_000);
    expect(await endOffset()).toBe(1);
    expect(await listOffset(cluster(), { topic: 't', partition: 0 }, 'earliest')).toBe(0);
    kafka.advanceTime(31_000);
    expect(await listOffset(cluster(), { topic: 't', partition: 0 }, 'earliest')).toBe(1);
    await start({ topics: [{ topic: 't', configs: { 'retention.bytes': '300', 'segment.bytes': '100' } }] });
    const other = await producer();
    for (let i = 0; i < 10; i++) await send(other, `value ${i}`);
    kafka.advanceTime(1);
    const start10 = await listOffset(cluster(), { topic: 't', partition: 0 }, 'earliest');
    expect(start10).toBeGreaterThan(3);
    expect(start10).toBeLessThan(9);
  });

  test('compaction keeps the latest of each key under its offset; tombstones go after a while', async () => {
    const configs = { 'cleanup.policy': 'compact', 'delete.retention.ms': '1000' };
    const dataDir = mkdtempSync(join(tmpdir(), 'millrace-embedded-'));
    await start({ dataDir, topics: [{ topic: 't', configs }] });
    const writer = await producer();
    for (const [key, value] of [
      ['a', '1'],
      ['b', '1'],
      ['a', '2'],
      ['c', '1'],
      ['b', '2'],
    ] as const)
      await send(writer, value, key);
    const k = Buffer.from('c');
    writer.send('t', 0, Date.now(), k, 0, 1, k, 0, -1, []);
    await writer.flush();
    kafka.compact('t');
    expect(await readAll(3)).toEqual(['a=2 @2', 'b=2 @4', 'c=null @5']);
    kafka.advanceTime(5_000);
    kafka.compact('t');
    await send(writer, '3', 'a');
    kafka.advanceTime(5_000);
    kafka.compact('t');
    await kafka.stop();
    await kafka.restart();
    expect(await endOffset()).toBe(7);
    expect(await readAll(2)).toEqual(['b=2 @4', 'a=3 @6']);
  });

  test('a transaction that takes too long is aborted, and its producer fenced', async () => {
    await start({ topics: ['t'] });
    const client = await RawClient.connect(kafka.brokers[0]!);
    const init = { transactionalId: 'x', timeoutMs: 10_000, producerId: -1, producerEpoch: -1 };
    const { producerId, producerEpoch } = await client.call('InitProducerId', 4, init);
    const base = { transactionalId: 'x', producerId, producerEpoch };
    await client.call('AddPartitionsToTxn', 3, { ...base, topics: [{ name: 't', partitions: [0] }] });
    kafka.advanceTime(9_000);
    expect((await client.call('AddOffsetsToTxn', 3, { ...base, groupId: 'g' })).errorCode).toBe(0);
    kafka.advanceTime(2_000);
    expect((await client.call('EndTxn', 3, { ...base, committed: true })).errorCode).toBe(90);
    client.close();
  });
});

test('SASL PLAIN: the right password passes, a wrong one and none are refused', async () => {
  await start({ topics: ['t'], users: { alice: 'secret' } });
  const login = (password: string) =>
    new Kafka({
      brokers: kafka.brokers,
      logLevel: logLevel.NOTHING,
      sasl: { mechanism: 'plain', username: 'alice', password },
      retry: { retries: 0 },
    }).admin();
  const admin = login('secret');
  await admin.connect();
  expect(await admin.listTopics()).toEqual(['t']);
  await admin.disconnect();
  await expect(login('wrong').connect()).rejects.toThrow(/Invalid username or password/);
  const stranger = await RawClient.connect(kafka.brokers[0]!);
  await expect(stranger.call('Metadata', 7, { topics: null, allowAutoTopicCreation: false })).rejects.toThrow('closed');
});

test('topics are created on first use only where that is asked for', async () => {
  await start({ autoCreateTopics: true, defaultPartitions: 4 });
  const client = await RawClient.connect(kafka.brokers[0]!);
  const ask = async (name: string, allowAutoTopicCreation: boolean) =>
    (await client.call('Metadata', 7, { topics: [{ name }], allowAutoTopicCreation })).topics[0];
  expect((await ask('new', false)).errorCode).toBe(3);
  expect((await ask('new', true)).partitions).toHaveLength(4);
  // As Apache Kafka with auto.create.topics.enable has it: what cannot be a name is told so, what collides is unknown.
  expect((await ask('a.b', true)).errorCode).toBe(0);
  expect([(await ask('a_b', true)).errorCode, (await ask('a b', true)).errorCode]).toEqual([3, 17]);
  expect(() => kafka.createTopics('a_b')).toThrow("Topic 'a_b' collides with existing topic: a.b");
  client.close();
});
