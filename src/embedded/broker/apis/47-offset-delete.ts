/** OffsetDelete v0: committed positions of topics that no member of the group reads. */
import { decodeSubscription, ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import type { Group } from '../groups/group.ts';
import { array, int16, int32, string, struct } from '../wire-types.ts';
import { groupFault } from './coordinated.ts';
import { eachPartition } from './each-partition.ts';

const request = struct({
  groupId: string,
  topics: array(struct({ name: string, partitions: array(struct({ partition: int32 })) })),
});

const response = struct({
  errorCode: int16,
  throttleTimeMs: int32,
  topics: array(struct({ name: string, partitions: array(struct({ partition: int32, errorCode: int16 })) })),
});

export const offsetDelete = defineApi(
  request,
  response,
)({
  key: 47,
  name: 'OffsetDelete',
  minVersion: 0,
  maxVersion: 0,
  flexibleFrom: Number.POSITIVE_INFINITY,
  handle(req, context) {
    const { broker, version } = context;
    const { groupId, topics } = req;
    const fault = groupFault(context, groupId);
    if (fault !== ErrorCode.NONE) return this.fail(req, fault, version);
    const group = broker.groups.get(groupId);
    if (group === undefined) return this.fail(req, ErrorCode.GROUP_ID_NOT_FOUND, version);
    const inUse = subscribedTopics(group);
    if (inUse === undefined) return this.fail(req, ErrorCode.NON_EMPTY_GROUP, version);
    return {
      errorCode: ErrorCode.NONE,
      throttleTimeMs: 0,
      topics: eachPartition(topics, ({ partition }, name) => {
        if (inUse.has(name)) return { partition, errorCode: ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC as number };
        if (broker.topics.log(name, partition) === undefined)
          return { partition, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION };
        broker.groups.deleteOffset(groupId, name, partition);
        return { partition, errorCode: ErrorCode.NONE };
      }),
    };
  },
  fail: (_request, errorCode) => ({ errorCode, throttleTimeMs: 0, topics: [] }),
});

/** Undefined where members are there that say nothing of topics. */
function subscribedTopics(group: Group): Set<string> | undefined {
  const topics = new Set<string>();
  for (const { protocols } of group.members.values()) {
    if (group.protocolType !== 'consumer') return undefined;
    for (const { metadata } of protocols) for (const topic of decodeSubscription(metadata).topics) topics.add(topic);
  }
  return topics;
}
