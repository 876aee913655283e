/** What a broker does, not only what it says: the same on Apache Kafka and on the embedded one. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { type BatchIdentity, NO_PRODUCER, RecordBatch, RecordBatchBuilder } from '../../src/kafka/index.ts';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait.ts';

const address = inject('brokers')[0]!;
let client: RawClient;
let topic: string;

beforeAll(async () => {
  client = await RawClient.connect(address);
});
afterAll(() => client.close());
beforeEach(async () => {
  topic = `t-${randomUUID()}`;
});

async function create(configs: Record<string, string> = {}, partitions = 1): Promise<void> {
  const answer = await client.call('CreateTopics', 5, {
    topics: [
      {
        name: topic,
        partitions,
        replicationFactor: 1,
        assignments: [],
        configs: Object.entries(configs).map(([name, value]) => ({ name, value })),
      },
    ],
    timeoutMs: 10_000,
    validateOnly: false,
  });
  expect(answer.topics[0].errorCode, answer.topics[0].errorMessage).toBe(0);
  await waitFor(async () => {
    const { topics } = await client.call('Metadata', 7, {
      topics: [{ name: topic }],
      allowAutoTopicCreation: false,
    });
    return topics[0].errorCode === 0 && topics[0].partitions.every((p: { leader: number }) => p.leader >= 0);
  });
  // The leader may not have heard of it yet.
  await waitFor(async () => (await fetch(0, { maxWaitMs: 0 })).errorCode === 0);
}

/** A coordinator that is loading, or busy with the markers of the end before, is asked again. */
async function settled<T extends { readonly errorCode: number }>(ask: () => Promise<T>): Promise<T> {
  let answer = await ask();
  await waitFor(async () => {
    if (![14, 15, 16, 51].includes(answer.errorCode)) return true;
    answer = await ask();
    return false;
  });
  return answer;
}

function batch(
  records: readonly { readonly key?: string | null; readonly value?: string | null; readonly timestamp?: number }[],
  identity: BatchIdentity = NO_PRODUCER,
): Buffer {
  const builder = new RecordBatchBuilder();
  for (const { key = 'k', value = 'v', timestamp = Date.now() } of records) {
    const [k, v] = [Buffer.from(key ?? ''), Buffer.from(value ?? '')];
    builder.append(timestamp, k, 0, key === null ? -1 : k.length, v, 0, value === null ? -1 : v.length, []);
  }
  return builder.build('none', identity);
}

async function produce(records: Buffer, transactionalId: string | null = null, acks = -1) {
  const answer = await client.call('Produce', 8, {
    transactionalId,
    acks,
    timeoutMs: 10_000,
    topics: [{ name: topic, partitions: [{ partition: 0, records }] }],
  });
  return answer.topics[0].partitions[0];
}

interface FetchOptions {
  readonly committed?: boolean;
  readonly maxBytes?: number;
  readonly minBytes?: number;
  readonly maxWaitMs?: number;
}

async function fetch(
  offset: number,
  { committed = false, maxBytes = 1e6, minBytes = 1, maxWaitMs = 100 }: FetchOptions = {},
) {
  const answer = await client.call('Fetch', 11, {
    replicaId: -1,
    maxWaitMs,
    minBytes,
    maxBytes: 50e6,
    isolationLevel: committed ? 1 : 0,
    sessionId: 0,
    sessionEpoch: -1,
    topics: [
      {
        name: topic,
        partitions: [{ partition: 0, currentLeaderEpoch: -1, fetchOffset: offset, logStartOffset: -1, maxBytes }],
      },
    ],
    forgotten: [],
    rackId: '',
  });
  const { records, ...rest } = answer.topics[0].partitions[0];
  return { ...rest, batches: batchesOf(records[0]) };
}

function batchesOf(records: Buffer): RecordBatch[] {
  const batches: RecordBatch[] = [];
  for (let at = 0; records.length - at >= 12; ) {
    const size = 12 + records.readInt32BE(at + 8);
    if (size > records.length - at) break;
    batches.push(new RecordBatch(records, at, { topic, partition: 0 }));
    at += size;
  }
  return batches;
}

function valuesOf(batches: readonly RecordBatch[]): string[] {
  return batches.flatMap((one) => {
    const values: string[] = [];
    if (one.isControl) return values;
    const cursor = one.records();
    while (cursor.next()) values.push(String(cursor.value()));
    return values;
  });
}

async function listOffset(timestamp: number, isolationLevel = 0): Promise<{ offset: number; timestamp: number }> {
  const answer = await client.call('ListOffsets', 7, {
    replicaId: -1,
    isolationLevel,
    topics: [{ name: topic, partitions: [{ partition: 0, currentLeaderEpoch: -1, timestamp }] }],
  });
  const { errorCode, offset, timestamp: found } = answer.topics[0].partitions[0];
  expect(errorCode).toBe(0);
  return { offset, timestamp: found };
}

/** Makes the broker create what it keeps groups (0) or transactions (1) in. */
const coordinator = (key: string, keyType: number) =>
  settled(() => client.call('FindCoordinator', 2, { key, keyType }));

describe('produce', () => {
  test('offsets go on; an unknown topic, a damaged batch and a wrong acks are refused', async () => {
    await create();
    expect(await produce(batch([{}, {}]))).toMatchObject({ errorCode: 0, baseOffset: 0 });
    expect(await produce(batch([{}]))).toMatchObject({ errorCode: 0, baseOffset: 2 });
    const damaged = batch([{}]);
    damaged[damaged.length - 1]! ^= 1;
    expect(await produce(damaged)).toMatchObject({ errorCode: 2 });
    expect(await produce(batch([{}]), null, 5)).toMatchObject({ errorCode: 21 });
    topic = `none-${randomUUID()}`;
    expect(await produce(batch([{}]))).toMatchObject({ errorCode: 3 });
  });

  test('max.message.bytes, and keys in compacted topics', async () => {
    await create({ 'max.message.bytes': '200' });
    expect(await produce(batch([{ value: 'v'.repeat(300) }]))).toMatchObject({ errorCode: 10 });
    topic = `c-${randomUUID()}`;
    await create({ 'cleanup.policy': 'compact' });
    expect(await produce(batch([{ key: null }]))).toMatchObject({ errorCode: 87 });
    expect(await produce(batch([{}]))).toMatchObject({ errorCode: 0, baseOffset: 0 });
  });

  test('LogAppendTime stamps the batch', async () => {
    await create({ 'message.timestamp.type': 'LogAppendTime' });
    const { logAppendTimeMs } = await produce(batch([{ timestamp: 5 }]));
    expect(Math.abs(logAppendTimeMs - Date.now())).toBeLessThan(60_000);
    const { batches } = await fetch(0);
    expect([batches[0]!.isLogAppendTime, batches[0]!.maxTimestamp]).toEqual([true, logAppendTimeMs]);
  });

  test('idempotent: a repetition gives the first offset, gaps and old epochs are refused', async () => {
    await create();
    const request = { transactionalId: null, timeoutMs: 1000 };
    const { producerId } = await settled(() => client.call('InitProducerId', 1, request));
    const send = (baseSequence: number, count = 1, producerEpoch = 0) =>
      produce(
        batch(
          Array.from({ length: count }, () => ({})),
          { producerId, producerEpoch, baseSequence },
        ),
      );
    expect(await send(0, 2)).toMatchObject({ errorCode: 0, baseOffset: 0 });
    expect(await send(2)).toMatchObject({ errorCode: 0, baseOffset: 2 });
    expect(await send(0, 2)).toMatchObject({ errorCode: 0, baseOffset: 0 });
    expect(await send(7)).toMatchObject({ errorCode: 45 });
    for (let sequence = 3; sequence < 9; sequence++) expect(await send(sequence)).toMatchObject({ errorCode: 0 });
    expect(await send(0, 2)).toMatchObject({ errorCode: 45 });
    expect(await send(0, 1, 1)).toMatchObject({ errorCode: 0, baseOffset: 9 });
    expect(await send(9)).toMatchObject({ errorCode: 47 });
    expect(await send(5, 1, 2)).toMatchObject({ errorCode: 45 });
  });

  test('a producer stays known when its records are deleted: its sequence goes on, gaps and old epochs are refused', async () => {
    await create();
    const { producerId } = await settled(() =>
      client.call('InitProducerId', 1, { transactionalId: null, timeoutMs: 1000 }),
    );
    const send = (baseSequence: number, producerEpoch = 0) =>
      produce(batch([{}], { producerId, producerEpoch, baseSequence }));
    for (let sequence = 0; sequence < 3; sequence++) await send(sequence);
    expect(await deleteRecords(-1)).toMatchObject({ errorCode: 0, lowWatermark: 3 });
    expect(await send(7)).toMatchObject({ errorCode: 45 });
    expect(await send(3)).toMatchObject({ errorCode: 0, baseOffset: 3 });
    // A repetition of what is deleted is still known as one.
    expect(await send(1)).toMatchObject({ errorCode: 0, baseOffset: 1 });
    await deleteRecords(-1);
    expect(await send(0, 1)).toMatchObject({ errorCode: 0, baseOffset: 4 });
    await deleteRecords(-1);
    expect(await send(4)).toMatchObject({ errorCode: 47 });
  });
});

async function deleteRecords(offset: number) {
  const request = { topics: [{ name: topic, partitions: [{ partition: 0, offset }] }], timeoutMs: 5000 };
  return (await client.call('DeleteRecords', 1, request)).topics[0].partitions[0];
}

describe('fetch', () => {
  test('waits for minBytes or maxWaitMs; a first batch larger than maxBytes comes whole', async () => {
    await create();
    const empty = Date.now();
    expect((await fetch(0, { maxWaitMs: 300 })).batches).toEqual([]);
    expect(Date.now() - empty).toBeGreaterThanOrEqual(290);
    const other = await RawClient.connect(address);
    const waiting = fetch(0, { maxWaitMs: 20_000 });
    const mine = client;
    client = other;
    await produce(batch([{ value: 'a'.repeat(5000) }]));
    client = mine;
    other.close();
    expect(valuesOf((await waiting).batches)[0]).toHaveLength(5000);
    expect((await fetch(0, { maxBytes: 10 })).batches).toHaveLength(1);
  });

  test('a position in a batch gives the batch; outside of the log is out of range', async () => {
    await create();
    await produce(batch([{ value: '0' }, { value: '1' }, { value: '2' }]));
    expect((await fetch(1)).batches.map((b: RecordBatch) => b.baseOffset)).toEqual([0]);
    expect(await fetch(3)).toMatchObject({ errorCode: 0, highWatermark: 3 });
    expect(await fetch(4)).toMatchObject({ errorCode: 1 });
    expect(await fetch(-1)).toMatchObject({ errorCode: 1 });
  });

  test('DeleteRecords moves the start', async () => {
    await create();
    for (let i = 0; i < 5; i++) await produce(batch([{}]));
    expect(await deleteRecords(3)).toMatchObject({ errorCode: 0, lowWatermark: 3 });
    expect(await fetch(2)).toMatchObject({ errorCode: 1 });
    expect((await listOffset(-2)).offset).toBe(3);
    expect(await deleteRecords(99)).toMatchObject({ errorCode: 1 });
    expect(await deleteRecords(-1)).toMatchObject({ errorCode: 0, lowWatermark: 5 });
  });
});

test('ListOffsets: ends, by timestamp, the highest timestamp', async () => {
  await create();
  await produce(batch([{ timestamp: 100 }, { timestamp: 300 }, { timestamp: 200 }]));
  await produce(batch([{ timestamp: 250 }]));
  expect((await listOffset(-2)).offset).toBe(0);
  expect((await listOffset(-1)).offset).toBe(4);
  expect(await listOffset(150)).toEqual({ offset: 1, timestamp: 300 });
  expect(await listOffset(301)).toEqual({ offset: -1, timestamp: -1 });
  expect(await listOffset(-3)).toEqual({ offset: 1, timestamp: 300 });
});

describe('transactions', () => {
  let id: string;
  let producerId: number;
  let producerEpoch: number;
  beforeEach(async () => {
    await create();
    id = randomUUID();
    sequence = 0;
    await coordinator(id, 1);
    ({ producerId, producerEpoch } = await init());
  });

  const init = (version = 4, fields: object = { producerId: -1, producerEpoch: -1 }) =>
    settled(() => client.call('InitProducerId', version, { transactionalId: id, timeoutMs: 60_000, ...fields }));

  async function addPartition(): Promise<number> {
    const request = { transactionalId: id, producerId, producerEpoch, topics: [{ name: topic, partitions: [0] }] };
    const ask = async () => (await client.call('AddPartitionsToTxn', 3, request)).topics[0].partitions[0];
    return (await settled(ask)).errorCode;
  }

  async function end(committed: boolean, version = 3): Promise<number> {
    const request = { transactionalId: id, producerId, producerEpoch, committed };
    return (await settled(() => client.call('EndTxn', version, request))).errorCode;
  }

  let sequence = 0;
  const write = (value: string) =>
    produce(batch([{ value }], { producerId, producerEpoch, baseSequence: sequence++, transactional: true }), id);

  test('committed readers stop at what is open, and are told what was aborted', async () => {
    await produce(batch([{ value: 'before' }]));
    expect(await addPartition()).toBe(0);
    expect(await write('a')).toMatchObject({ errorCode: 0, baseOffset: 1 });
    await produce(batch([{ value: 'after' }]));
    const open = await fetch(0, { committed: true });
    expect([valuesOf(open.batches), open.lastStableOffset, open.highWatermark]).toEqual([['before'], 1, 3]);
    expect((await listOffset(-1, 1)).offset).toBe(1);
    expect(await end(false)).toBe(0);
    await waitFor(async () => (await fetch(0, { committed: true })).batches.length === 4);
    const aborted = await fetch(0, { committed: true });
    expect(aborted.aborted).toEqual([{ producerId, firstOffset: 1 }]);
    expect(aborted.batches.map((b: RecordBatch) => [b.baseOffset, b.isTransactional, b.isControl])).toEqual([
      [0, false, false],
      [1, true, false],
      [2, false, false],
      [3, true, true],
    ]);
    expect(await addPartition()).toBe(0);
    expect(await write('b')).toMatchObject({ errorCode: 0, baseOffset: 4 });
    expect(await end(true)).toBe(0);
    expect(await end(true)).toBe(0);
    expect(await end(false)).toBe(48);
    await waitFor(async () => (await fetch(4, { committed: true })).lastStableOffset === 6);
    const committed = await fetch(4, { committed: true });
    expect([valuesOf(committed.batches), committed.aborted]).toEqual([['b'], []]);
  });

  test('a partition that was added and not written to gets a marker as well', async () => {
    expect(await addPartition()).toBe(0);
    expect(await end(true)).toBe(0);
    await waitFor(async () => (await fetch(0)).highWatermark === 1);
    const { batches, aborted } = await fetch(0, { committed: true });
    expect([batches.length, batches[0]!.isControl, aborted]).toEqual([1, true, []]);
  });

  test('records of a partition that the transaction does not know are refused', async () => {
    expect((await write('x')).errorCode).toBe(48);
  });

  test('a second producer of the same id fences the first and aborts what it left open', async () => {
    expect(await addPartition()).toBe(0);
    await write('left open');
    const next = await init();
    expect([next.errorCode, next.producerId]).toEqual([0, producerId]);
    expect(next.producerEpoch).toBeGreaterThan(producerEpoch);
    await waitFor(async () => (await fetch(0, { committed: true })).lastStableOffset === 2);
    expect((await fetch(0, { committed: true })).aborted).toEqual([{ producerId, firstOffset: 0 }]);
    expect([await addPartition(), await end(true), await end(true, 1)]).toEqual([90, 90, 47]);
    expect((await init(4, { producerId, producerEpoch })).errorCode).toBe(90);
    expect((await init(3, { producerId, producerEpoch })).errorCode).toBe(47);
  });

  test('the older of two producers is fenced in what it writes too, whether the newer has a transaction open or not', async () => {
    expect(await addPartition()).toBe(0);
    const older = { producerId, producerEpoch };
    const writeAsOlder = async (version: number) => {
      const records = batch([{}], { ...older, baseSequence: 0, transactional: true });
      const topics = [{ name: topic, partitions: [{ partition: 0, records }] }];
      const request = { transactionalId: id, acks: -1, timeoutMs: 10_000, topics };
      return (await client.call('Produce', version, request)).topics[0].partitions[0].errorCode;
    };
    ({ producerId, producerEpoch } = await init());
    expect([await writeAsOlder(3), await writeAsOlder(8), await writeAsOlder(9)]).toEqual([47, 47, 47]);
    await waitFor(async () => (await addPartition()) === 0);
    expect(await writeAsOlder(9)).toBe(47);
    sequence = 0;
    expect(await write('newer')).toMatchObject({ errorCode: 0 });
    expect(await writeAsOlder(9)).toBe(47);
    const groupId = `g-${id}`;
    await coordinator(groupId, 0);
    const addOffsets = async (version: number) =>
      (await settled(() => client.call('AddOffsetsToTxn', version, { transactionalId: id, ...older, groupId })))
        .errorCode;
    expect([await addOffsets(1), await addOffsets(3)]).toEqual([47, 90]);
    expect(await end(true)).toBe(0);
    // Its marker is there.
    await waitFor(async () => {
      const { lastStableOffset, highWatermark } = await fetch(0, { committed: true });
      return lastStableOffset === highWatermark;
    });
    expect(await writeAsOlder(9)).toBe(47);
  });

  test('a producer that asks for its next epoch twice, not having heard the answer, is not fenced', async () => {
    expect(await addPartition()).toBe(0);
    expect(await end(false)).toBe(0);
    const first = await init(4, { producerId, producerEpoch });
    expect(first).toMatchObject({ errorCode: 0, producerId, producerEpoch: producerEpoch + 1 });
    expect(await init(4, { producerId, producerEpoch })).toEqual(first);
    expect((await init(4, { producerId, producerEpoch: producerEpoch + 1 })).producerEpoch).toBe(producerEpoch + 2);
    expect((await init(4, { producerId, producerEpoch })).errorCode).toBe(90);
    // Another producer comes: nobody asks in the name of the one before.
    expect((await init()).producerEpoch).toBe(producerEpoch + 3);
    expect((await init(4, { producerId, producerEpoch: producerEpoch + 2 })).errorCode).toBe(90);
  });

  test('an epoch begins at sequence 0, where only a marker tells of the epoch before as well', async () => {
    expect(await addPartition()).toBe(0);
    sequence = 3;
    expect(await write('first of an unknown producer')).toMatchObject({ errorCode: 0 });
    // Its marker has the epoch between the two producers'.
    ({ producerId, producerEpoch } = await init());
    await waitFor(async () => (await addPartition()) === 0);
    sequence = 4;
    expect(await write('gap')).toMatchObject({ errorCode: 45 });
    const plain = (baseSequence: number) =>
      produce(batch([{}], { producerId, producerEpoch: producerEpoch - 1, baseSequence }));
    expect([(await plain(4)).errorCode, (await plain(0)).errorCode]).toEqual([45, 0]);
    sequence = 0;
    expect(await write('first')).toMatchObject({ errorCode: 0 });
  });

  test('an open transaction whose records are deleted is open still; committed readers stop behind them', async () => {
    await produce(batch([{}, {}]));
    expect(await addPartition()).toBe(0);
    await write('a');
    await write('b');
    const ends = async (offset: number) => {
      const { logStartOffset, lastStableOffset, highWatermark } = await fetch(offset, { committed: true });
      return [logStartOffset, lastStableOffset, highWatermark];
    };
    expect(await ends(0)).toEqual([0, 2, 4]);
    await deleteRecords(3);
    expect(await ends(3)).toEqual([3, 3, 4]);
    await deleteRecords(-1);
    expect(await ends(4)).toEqual([4, 4, 4]);
    expect(await write('c')).toMatchObject({ errorCode: 0, baseOffset: 4 });
    expect(await ends(4)).toEqual([4, 4, 5]);
    expect(await end(false)).toBe(0);
    await waitFor(async () => (await ends(4))[1] === 6);
    expect((await fetch(4, { committed: true })).aborted).toEqual([{ producerId, firstOffset: 2 }]);
    await waitFor(async () => (await addPartition()) === 0);
    sequence = 9;
    expect(await write('gap')).toMatchObject({ errorCode: 45 });
    sequence = 3;
    expect(await write('d')).toMatchObject({ errorCode: 0, baseOffset: 6 });
  });

  test('transactional records need a transactional id, and the one of their producer', async () => {
    expect(await addPartition()).toBe(0);
    const records = batch([{}], { producerId, producerEpoch, baseSequence: 0, transactional: true });
    expect(await produce(records)).toMatchObject({ errorCode: 53 });
    expect(await produce(records, `other-${id}`)).toMatchObject({ errorCode: 49 });
  });

  test('positions count when the transaction commits; until then they are not stable', async () => {
    const groupId = `g-${id}`;
    const base = { transactionalId: id, producerId, producerEpoch, groupId };
    await coordinator(groupId, 0);
    expect((await settled(() => client.call('AddOffsetsToTxn', 3, base))).errorCode).toBe(0);
    const commit = {
      ...base,
      generationId: -1,
      memberId: '',
      groupInstanceId: null,
      topics: [{ name: topic, partitions: [{ partition: 0, offset: 7, leaderEpoch: -1, metadata: 'm' }] }],
    };
    const sent = await settled(async () => (await client.call('TxnOffsetCommit', 3, commit)).topics[0].partitions[0]);
    expect(sent.errorCode).toBe(0);
    const committed = async (requireStable: boolean) => {
      const request = { groupId, topics: [{ name: topic, partitions: [0] }], requireStable };
      return (await client.call('OffsetFetch', 7, request)).topics[0].partitions[0];
    };
    expect(await committed(true)).toMatchObject({ errorCode: 88 });
    expect(await committed(false)).toMatchObject({ errorCode: 0, offset: -1 });
    expect(await end(true)).toBe(0);
    await waitFor(async () => (await committed(true)).errorCode === 0);
    expect(await committed(true)).toMatchObject({ offset: 7, metadata: 'm' });
  });

  test('a time-out above what is allowed, and another producer id, are refused', async () => {
    const request = { transactionalId: id, timeoutMs: 9e8, producerId: -1, producerEpoch: -1 };
    expect((await client.call('InitProducerId', 4, request)).errorCode).toBe(50);
    const stranger = { transactionalId: id, producerId: producerId + 1, producerEpoch, committed: true };
    expect((await settled(() => client.call('EndTxn', 3, stranger))).errorCode).toBe(49);
  });
});
