/**
 * Metadata v0 to v12. Topics are created on first use where the broker is told to, and the client (v4) asks for it. v9 is
 * flexible, v10 brings topic ids (KIP-516), v12 asks by them.
 */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi, type RequestContext } from '../api.ts';
import { type TopicImage, topicImage } from '../cluster-image.ts';
import type { Leadership } from '../log/leader-epochs.ts';
import { topicNameFault } from '../topic-names.ts';
import {
  array,
  bool,
  int16,
  int32,
  nullableArray,
  nullableString,
  since,
  string,
  struct,
  uuid,
} from '../wire-types.ts';

const NO_ID = '0'.repeat(32);
/** No ACLs here: which operations are allowed is not said. */
const UNKNOWN_OPERATIONS = -2_147_483_648;

/** From v10 on a name may be left out in favour of an id. */
const topicName = {
  read: nullableString.read,
  write: nullableString.write,
};

const request = struct({
  topics: nullableArray(struct({ topicId: since(10, uuid, NO_ID), name: topicName })),
  allowAutoTopicCreation: since(4, bool, true),
  includeClusterOperations: since(8, bool, false, 10),
  includeTopicOperations: since(8, bool, false),
});

const response = struct({
  throttleTimeMs: since(3, int32, 0),
  brokers: array(struct({ nodeId: int32, host: string, port: int32, rack: since(1, nullableString, null) })),
  clusterId: since(2, nullableString, null),
  controllerId: since(1, int32, -1),
  topics: array(
    struct({
      errorCode: int16,
      name: topicName,
      topicId: since(10, uuid, NO_ID),
      isInternal: since(1, bool, false),
      partitions: array(
        struct({
          errorCode: int16,
          partition: int32,
          leader: int32,
          leaderEpoch: since(7, int32, -1),
          replicas: array(int32),
          inSync: array(int32),
          offline: since(5, array(int32), []),
        }),
      ),
      operations: since(8, int32, UNKNOWN_OPERATIONS),
    }),
  ),
  clusterOperations: since(8, int32, UNKNOWN_OPERATIONS, 10),
});

export const metadata = defineApi(
  request,
  response,
)({
  key: 3,
  name: 'Metadata',
  minVersion: 0,
  maxVersion: 12,
  flexibleFrom: 9,
  handle({ topics, allowAutoTopicCreation }, context) {
    const { broker, version, node } = context;
    // v0 has no null: an empty list asks for all there.
    const all = topics === null || (version === 0 && topics.length === 0);
    const wanted = all
      ? [...broker.cluster.imageFor(node).topics()].map((topic) => describe(topic, context))
      : topics.map(({ name, topicId }) => find(name, topicId, allowAutoTopicCreation, context));
    return {
      ...this.fail(
        { topics: [], allowAutoTopicCreation, includeClusterOperations: false, includeTopicOperations: false },
        0,
        version,
      ),
      ...cluster(context),
      topics: wanted,
    };
  },
  fail: ({ topics }, errorCode) => ({
    throttleTimeMs: 0,
    brokers: [],
    clusterId: null,
    controllerId: -1,
    topics: (topics ?? []).map(({ name, topicId }) => unknown(name, topicId, errorCode)),
    clusterOperations: UNKNOWN_OPERATIONS,
  }),
});

function cluster({ broker, node }: RequestContext) {
  const { liveNodes, controllerId } = broker.cluster.imageFor(node);
  const brokers = liveNodes.map((nodeId) => ({ nodeId, ...broker.addressOf(nodeId), rack: null }));
  return { brokers, clusterId: broker.clusterId, controllerId };
}

function find(name: string | null, topicId: string, mayCreate: boolean, context: RequestContext) {
  const { broker, node } = context;
  const image = broker.cluster.imageFor(node);
  if (name === null || name === '') {
    const topic = image.topicById(topicId);
    return topic === undefined ? unknown(null, topicId, ErrorCode.UNKNOWN_TOPIC_ID) : describe(topic, context);
  }
  const topic = image.topic(name);
  if (topic !== undefined) return describe(topic, context);
  if (topicNameFault(name) !== undefined) return unknown(name, NO_ID, ErrorCode.INVALID_TOPIC_EXCEPTION);
  // Apache Kafka's controller refuses what collides with another topic, and its brokers keep that to themselves. One that
  // this node has not heard of is unknown as well.
  const isTaken = broker.topics.nameFault(name) !== undefined;
  if (!mayCreate || !broker.autoCreatesTopics || isTaken)
    return unknown(name, NO_ID, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  const fault = broker.topics.shapeFault(broker.defaultPartitions, new Map());
  if (fault !== undefined) return unknown(name, NO_ID, fault.errorCode);
  return describe(topicImage(broker.topics.create(name, broker.defaultPartitions, new Map())), context);
}

function describe({ name, id, leaders }: TopicImage, { broker, node }: RequestContext) {
  const { nodeIds } = broker.cluster.view;
  const { liveNodes } = broker.cluster.imageFor(node);
  const replicas = {
    replicas: nodeIds,
    inSync: liveNodes,
    offline: liveNodes.length === nodeIds.length ? [] : nodeIds.filter((one) => !liveNodes.includes(one)),
  };
  return {
    errorCode: ErrorCode.NONE as number,
    name: name as string | null,
    topicId: id,
    isInternal: false,
    operations: UNKNOWN_OPERATIONS,
    partitions: leaders.map(({ leader, epoch }: Leadership, partition) => ({
      errorCode: (leader < 0 ? ErrorCode.LEADER_NOT_AVAILABLE : ErrorCode.NONE) as number,
      partition,
      leader,
      leaderEpoch: epoch,
      ...replicas,
    })),
  };
}

function unknown(name: string | null, topicId: string, errorCode: number): ReturnType<typeof describe> {
  return { errorCode, name, topicId, isInternal: false, operations: UNKNOWN_OPERATIONS, partitions: [] };
}
