/** A harmless request of each API, with the fields of all versions. */

const NO_ID = '0'.repeat(32);

export interface SampleNames {
  readonly topic: string;
  readonly group: string;
  /** A transactional id. */
  readonly id: string;
  readonly batch: Buffer;
}

/** By the API's name; SaslAuthenticate, which needs a handshake before it, is left out. */
export function sampleRequests({ topic, group, id, batch }: SampleNames): Readonly<Record<string, object>> {
  return {
    Produce: {
      transactionalId: null,
      acks: -1,
      timeoutMs: 1000,
      topics: [{ name: topic, partitions: [{ partition: 0, records: batch }] }],
    },
    Fetch: {
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
    },
    ListOffsets: {
      replicaId: -1,
      isolationLevel: 0,
      topics: [{ name: topic, partitions: [{ partition: 0, currentLeaderEpoch: -1, timestamp: -1 }] }],
    },
    Metadata: {
      topics: [{ topicId: NO_ID, name: topic }],
      allowAutoTopicCreation: false,
      includeClusterOperations: false,
      includeTopicOperations: false,
    },
    OffsetCommit: {
      groupId: group,
      generationId: -1,
      memberId: '',
      groupInstanceId: null,
      retentionTimeMs: -1,
      topics: [{ name: topic, partitions: [{ partition: 0, offset: 1, leaderEpoch: -1, metadata: 'm' }] }],
    },
    OffsetFetch: { groupId: group, topics: [{ name: topic, partitions: [0] }], requireStable: false },
    FindCoordinator: { key: group, keyType: 0, keys: [group] },
    JoinGroup: {
      groupId: `${group}-none`,
      sessionTimeoutMs: 1,
      rebalanceTimeoutMs: 1,
      memberId: 'nobody',
      groupInstanceId: null,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Buffer.from('m') }],
    },
    Heartbeat: { groupId: group, generationId: 1, memberId: 'nobody', groupInstanceId: null },
    LeaveGroup: {
      groupId: group,
      memberId: 'nobody',
      members: [{ memberId: 'nobody', groupInstanceId: null, reason: null }],
    },
    SyncGroup: {
      groupId: group,
      generationId: 1,
      memberId: 'nobody',
      groupInstanceId: null,
      protocolType: 'consumer',
      protocolName: 'range',
      assignments: [],
    },
    DescribeGroups: { groups: [group], includeOperations: false },
    ListGroups: { states: [] },
    ApiVersions: { clientName: 'raw', clientVersion: '1' },
    CreateTopics: {
      topics: [{ name: topic, partitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
      timeoutMs: 1000,
      validateOnly: false,
    },
    DeleteTopics: {
      topics: [{ name: `${topic}-none`, topicId: NO_ID }],
      names: [`${topic}-none`],
      timeoutMs: 1000,
    },
    DeleteRecords: { topics: [{ name: topic, partitions: [{ partition: 0, offset: 0 }] }], timeoutMs: 1000 },
    InitProducerId: { transactionalId: null, timeoutMs: 1000, producerId: -1, producerEpoch: -1 },
    OffsetForLeaderEpoch: {
      replicaId: -1,
      topics: [{ name: topic, partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0 }] }],
    },
    AddPartitionsToTxn: {
      transactionalId: id,
      producerId: 1,
      producerEpoch: 0,
      topics: [{ name: topic, partitions: [0] }],
    },
    AddOffsetsToTxn: { transactionalId: id, producerId: 1, producerEpoch: 0, groupId: group },
    EndTxn: { transactionalId: id, producerId: 1, producerEpoch: 0, committed: true },
    TxnOffsetCommit: {
      transactionalId: id,
      groupId: group,
      producerId: 1,
      producerEpoch: 0,
      generationId: -1,
      memberId: '',
      groupInstanceId: null,
      topics: [{ name: topic, partitions: [{ partition: 0, offset: 1, leaderEpoch: -1, metadata: null }] }],
    },
    DescribeConfigs: {
      resources: [{ resourceType: 2, name: topic, configNames: ['retention.ms'] }],
      includeSynonyms: false,
      includeDocumentation: false,
    },
    AlterConfigs: {
      resources: [{ resourceType: 2, name: topic, configs: [{ name: 'retention.ms', value: '1000000' }] }],
      validateOnly: true,
    },
    CreatePartitions: {
      topics: [{ name: topic, count: 2, assignments: null }],
      timeoutMs: 1000,
      validateOnly: true,
    },
    DeleteGroups: { groups: [`${group}-none`] },
    IncrementalAlterConfigs: {
      resources: [
        { resourceType: 2, name: topic, configs: [{ name: 'retention.ms', operation: 0, value: '1000000' }] },
      ],
      validateOnly: true,
    },
    OffsetDelete: { groupId: `${group}-none`, topics: [] },
    DescribeCluster: { includeOperations: false, endpointType: 1 },
    // Without SASL these are refused on both: an answer all the same.
    SaslHandshake: { mechanism: 'PLAIN' },
  };
}
