/** Leader epochs as clients see them (KIP-320), where there has been one leader: on Apache Kafka and on the embedded broker. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { PartitionClient } from '../support/partition-client.ts';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait.ts';

let raw: RawClient;
let client: PartitionClient;
let topic: string;
let epoch: number;
beforeAll(async () => {
  raw = await RawClient.connect(inject('brokers')[0]!);
});
afterAll(() => raw.close());
beforeEach(async () => {
  topic = `t-${randomUUID()}`;
  await raw.call('CreateTopics', 5, {
    topics: [{ name: topic, partitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
    timeoutMs: 10_000,
    validateOnly: false,
  });
  client = new PartitionClient(raw, topic);
  await waitFor(async () => (await client.metadata())?.leader >= 0 && (await client.listOffset(-1)).errorCode === 0);
  epoch = (await client.metadata()).leaderEpoch;
});

test('an epoch that the leader has not heard of is refused; its own, and none, are not', async () => {
  await client.produce(['a']);
  for (const [given, errorCode] of [
    [-1, 0],
    [epoch, 0],
    [epoch + 1, 75],
  ] as const) {
    for (const version of [9, 12])
      expect(await client.fetch(0, { version, epoch: given })).toMatchObject({ errorCode });
    for (const version of [4, 7])
      expect(await client.listOffset(-1, { version, epoch: given })).toMatchObject({ errorCode });
    for (const version of [2, 4])
      expect(await client.endOfEpoch(epoch, { version, epoch: given })).toMatchObject({ errorCode });
  }
});

test('ListOffsets says whose offsets they are: the leader’s for the end, the record’s for a record, nobody’s for nothing', async () => {
  expect(await client.listOffset(-1)).toMatchObject({ offset: 0, leaderEpoch: epoch });
  expect(await client.listOffset(-2)).toMatchObject({ offset: 0, leaderEpoch: epoch });
  expect(await client.listOffset(0)).toMatchObject({ offset: -1, leaderEpoch: -1 });
  expect(await client.listOffset(-3)).toMatchObject({ offset: -1, leaderEpoch: -1 });
  await client.produce(['a', 'b']);
  expect(await client.listOffset(-1)).toMatchObject({ offset: 2, leaderEpoch: epoch });
  expect(await client.listOffset(0)).toMatchObject({ offset: 0, leaderEpoch: epoch });
  expect(await client.listOffset(-1, { version: 3 })).toMatchObject({ offset: 2, leaderEpoch: -1 });
});

test('batches carry the epoch they were written under; it ends where the log does', async () => {
  await client.produce(['a', 'b']);
  await client.produce(['c']);
  expect((await client.fetch(0)).epochs).toEqual([epoch, epoch]);
  expect(await client.endOfEpoch(epoch)).toMatchObject({ errorCode: 0, leaderEpoch: epoch, endOffset: 3 });
  for (const unknown of [-1, epoch + 1])
    expect(await client.endOfEpoch(unknown)).toMatchObject({ errorCode: 0, leaderEpoch: -1, endOffset: -1 });
});

test('a reader whose last record cannot be in the log is told where the log ends for it', async () => {
  await client.produce(['a', 'b']);
  expect(await client.fetch(1, { lastFetchedEpoch: epoch })).toMatchObject({ errorCode: 0, divergingEpoch: null });
  expect(await client.fetch(2, { lastFetchedEpoch: epoch })).toMatchObject({ errorCode: 0, divergingEpoch: null });
  expect(await client.fetch(5, { lastFetchedEpoch: epoch })).toMatchObject({
    errorCode: 0,
    divergingEpoch: { epoch, endOffset: 2 },
    values: [],
  });
  expect(await client.fetch(5)).toMatchObject({ errorCode: 1, divergingEpoch: null });
  expect(await client.fetch(1, { lastFetchedEpoch: epoch + 1 })).toMatchObject({ errorCode: 1, divergingEpoch: null });
  await client.deleteRecords(1);
  expect(await client.fetch(0, { lastFetchedEpoch: epoch })).toMatchObject({ errorCode: 1 });
});

test('a committed position keeps its leader epoch', async () => {
  const groupId = `g-${topic}`;
  await waitFor(async () => (await raw.call('FindCoordinator', 2, { key: groupId, keyType: 0 })).errorCode === 0);
  const commit = async () => {
    const partitions = [{ partition: 0, offset: 1, leaderEpoch: epoch, metadata: '' }];
    const answer = await raw.call('OffsetCommit', 8, {
      groupId,
      generationId: -1,
      memberId: '',
      groupInstanceId: null,
      topics: [{ name: topic, partitions }],
    });
    return answer.topics[0].partitions[0].errorCode;
  };
  await waitFor(async () => (await commit()) === 0);
  const fetch = { groupId, topics: [{ name: topic, partitions: [0] }], requireStable: true };
  const { topics } = await raw.call('OffsetFetch', 7, fetch);
  expect(topics[0].partitions[0]).toMatchObject({ offset: 1, leaderEpoch: epoch });
});
