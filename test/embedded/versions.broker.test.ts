/** Every version of every API that both brokers have: the answer is understood to its last byte. */
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { findApi, supportedApis } from '../../src/embedded/broker/apis/index.ts';
import { NO_PRODUCER, RecordBatchBuilder } from '../../src/kafka/index.ts';
import { RawClient } from '../support/raw-client.ts';

const address = inject('brokers')[0]!;
const id = randomUUID();
const topic = `versions-${id}`;
const group = `group-${id}`;
const batch = (): Buffer => {
  const builder = new RecordBatchBuilder();
  const key = Buffer.from('k');
  builder.append(1, key, 0, 1, key, 0, 1, []);
  return builder.build('none', NO_PRODUCER);
};
const NO_ID = '0'.repeat(32);

/** A harmless request of each API, with the fields of all versions. */
const requests: Readonly<Record<string, () => object>> = {
  Produce: () => ({
    transactionalId: null,
    acks: -1,
    timeoutMs: 1000,
    topics: [{ name: topic, partitions: [{ partition: 0, records: batch() }] }],
  }),
  Fetch: () => ({
    replicaId: -1,
    maxWaitMs: 10,
    minBytes: 1,
    maxBytes: 1_000_000,
    isolationLevel: 1,
    sessionId: 0,
    sessionEpoch: -1,
    topics: [
      {
        name: topic,
        partitions: [
          {
            partition: 0,
            currentLeaderEpoch: -1,
            fetchOffset: 0,
            lastFetchedEpoch: -1,
            logStartOffset: -1,
            maxBytes: 1_000_000,
          },
        ],
      },
    ],
    forgotten: [],
    rackId: '',
  }),
  ListOffsets: () => ({
    replicaId: -1,
    isolationLevel: 0,
    topics: [{ name: topic, partitions: [{ partition: 0, currentLeaderEpoch: -1, timestamp: -1 }] }],
  }),
  Metadata: () => ({
    topics: [{ topicId: NO_ID, name: topic }],
    allowAutoTopicCreation: false,
    includeClusterOperations: false,
    includeTopicOperations: false,
  }),
  OffsetCommit: () => ({
    groupId: group,
    generationId: -1,
    memberId: '',
    groupInstanceId: null,
    retentionTimeMs: -1,
    topics: [{ name: topic, partitions: [{ partition: 0, offset: 1, leaderEpoch: -1, metadata: 'm' }] }],
  }),
  OffsetFetch: () => ({ groupId: group, topics: [{ name: topic, partitions: [0] }], requireStable: false }),
  FindCoordinator: () => ({ key: group, keyType: 0, keys: [group] }),
  JoinGroup: () => ({
    groupId: `${group}-none`,
    sessionTimeoutMs: 1,
    rebalanceTimeoutMs: 1,
    memberId: 'nobody',
    groupInstanceId: null,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.from('m') }],
  }),
  Heartbeat: () => ({ groupId: group, generationId: 1, memberId: 'nobody', groupInstanceId: null }),
  LeaveGroup: () => ({
    groupId: group,
    memberId: 'nobody',
    members: [{ memberId: 'nobody', groupInstanceId: null, reason: null }],
  }),
  SyncGroup: () => ({
    groupId: group,
    generationId: 1,
    memberId: 'nobody',
    groupInstanceId: null,
    protocolType: 'consumer',
    protocolName: 'range',
    assignments: [],
  }),
  DescribeGroups: () => ({ groups: [group], includeOperations: false }),
  ListGroups: () => ({ states: [] }),
  ApiVersions: () => ({ clientName: 'raw', clientVersion: '1' }),
  CreateTopics: () => ({
    topics: [{ name: topic, partitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
    timeoutMs: 1000,
    validateOnly: false,
  }),
  DeleteTopics: () => ({
    topics: [{ name: `${topic}-none`, topicId: NO_ID }],
    names: [`${topic}-none`],
    timeoutMs: 1000,
  }),
  DeleteRecords: () => ({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 0 }] }], timeoutMs: 1000 }),
  InitProducerId: () => ({ transactionalId: null, timeoutMs: 1000, producerId: -1, producerEpoch: -1 }),
  OffsetForLeaderEpoch: () => ({
    replicaId: -1,
    topics: [{ name: topic, partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0 }] }],
  }),
  AddPartitionsToTxn: () => ({
    transactionalId: id,
    producerId: 1,
    producerEpoch: 0,
    topics: [{ name: topic, partitions: [0] }],
  }),
  AddOffsetsToTxn: () => ({ transactionalId: id, producerId: 1, producerEpoch: 0, groupId: group }),
  EndTxn: () => ({ transactionalId: id, producerId: 1, producerEpoch: 0, committed: true }),
  TxnOffsetCommit: () => ({
    transactionalId: id,
    groupId: group,
    producerId: 1,
    producerEpoch: 0,
    generationId: -1,
    memberId: '',
    groupInstanceId: null,
    topics: [{ name: topic, partitions: [{ partition: 0, offset: 1, leaderEpoch: -1, metadata: null }] }],
  }),
  DescribeConfigs: () => ({
    resources: [{ resourceType: 2, name: topic, configNames: ['retention.ms'] }],
    includeSynonyms: false,
    includeDocumentation: false,
  }),
  AlterConfigs: () => ({
    resources: [{ resourceType: 2, name: topic, configs: [{ name: 'retention.ms', value: '1000000' }] }],
    validateOnly: true,
  }),
  CreatePartitions: () => ({
    topics: [{ name: topic, count: 2, assignments: null }],
    timeoutMs: 1000,
    validateOnly: true,
  }),
  DeleteGroups: () => ({ groups: [`${group}-none`] }),
  IncrementalAlterConfigs: () => ({
    resources: [{ resourceType: 2, name: topic, configs: [{ name: 'retention.ms', operation: 0, value: '1000000' }] }],
    validateOnly: true,
  }),
  OffsetDelete: () => ({ groupId: `${group}-none`, topics: [] }),
  DescribeCluster: () => ({ includeOperations: false, endpointType: 1 }),
  // Without SASL these are refused on both: an answer all the same.
  SaslHandshake: () => ({ mechanism: 'PLAIN' }),
};

let client: RawClient;
let theirs: Map<number, { minVersion: number; maxVersion: number }>;
beforeAll(async () => {
  client = await RawClient.connect(address);
  const { apis } = await client.call('ApiVersions', 3, requests['ApiVersions']!());
  theirs = new Map(apis.map((api: { key: number; minVersion: number; maxVersion: number }) => [api.key, api]));
  await client.call('CreateTopics', 5, requests['CreateTopics']!());
});
afterAll(() => client.close());

describe.each(supportedApis().map(({ key }) => findApi(key)!))('$name', (api) => {
  test('is understood in every version', async () => {
    const request = requests[api.name];
    // SaslAuthenticate outside of a handshake closes the connection on Apache Kafka; broker-sasl.test.ts has it.
    if (request === undefined) return expect(api.name).toBe('SaslAuthenticate');
    const range = theirs.get(api.key)!;
    const from = Math.max(api.minVersion, range.minVersion);
    const to = Math.min(api.maxVersion, range.maxVersion);
    expect(from).toBeLessThanOrEqual(to);
    for (let version = from; version <= to; version++) {
      const response = await client.call(api.name, version, request()).catch((error: Error) => {
        throw new Error(`version ${version}: ${error.message}`);
      });
      expect(response).toBeTypeOf('object');
    }
  });
});

/** size | api key | version | correlation id 7 | null client id */
function head(apiKey: number, version: number): Buffer {
  const bytes = Buffer.alloc(14);
  bytes.writeInt32BE(10, 0);
  bytes.writeInt16BE(apiKey, 4);
  bytes.writeInt16BE(version, 6);
  bytes.writeInt32BE(7, 8);
  bytes.writeInt16BE(-1, 12);
  return bytes;
}

test('ApiVersions of a version that is not known is answered as version 0, with UNSUPPORTED_VERSION', async () => {
  // A later version's header has tagged fields: none.
  const later = Buffer.concat([head(18, 99), Buffer.from([0])]);
  later.writeInt32BE(11, 0);
  const answer = await exchange(later);
  expect(answer!.readInt32BE(4)).toBe(7);
  expect(answer!.readInt16BE(8)).toBe(35);
  expect(answer!.readInt32BE(10)).toBeGreaterThanOrEqual(1);
});

test.each([
  ['another API of a version that is not known', head(12, 99)],
  ['an API that does not exist', head(999, 0)],
  ['a frame of a size that no request has', Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 0])],
  ['a negative size', Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0])],
  ['a body that is cut off', Buffer.concat([head(3, 1), Buffer.alloc(0)])],
])('%s closes the connection, and no other', async (_what, bytes) => {
  expect(await exchange(bytes)).toBeUndefined();
  expect((await client.call('ApiVersions', 0, {})).errorCode).toBe(0);
});

/** The first answer to these bytes on a connection of their own; undefined where it is closed instead. */
function exchange(bytes: Buffer): Promise<Buffer | undefined> {
  const [host, port] = address.split(':');
  return new Promise((resolve) => {
    const socket = connect(Number(port), host!, () => socket.write(bytes));
    socket.once('data', (chunk) => {
      resolve(chunk);
      socket.destroy();
    });
    socket.once('error', () => resolve(undefined));
    socket.once('close', () => resolve(undefined));
  });
}
