/** CreatePartitions v0 to v3: more, never fewer. v2 is flexible. */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi } from '../api.ts';
import { array, bool, int16, int32, nullableArray, nullableString, string, struct } from '../wire-types.ts';
import { assignmentFault, leadersOf } from './assignments.ts';

const request = struct({
  topics: array(struct({ name: string, count: int32, assignments: nullableArray(struct({ brokers: array(int32) })) })),
  timeoutMs: int32,
  validateOnly: bool,
});

const response = struct({
  throttleTimeMs: int32,
  results: array(struct({ name: string, errorCode: int16, errorMessage: nullableString })),
});

export const createPartitions = defineApi(
  request,
  response,
)({
  key: 37,
  name: 'CreatePartitions',
  minVersion: 0,
  maxVersion: 3,
  flexibleFrom: 2,
  handle: ({ topics, validateOnly }, { broker }) => ({
    throttleTimeMs: 0,
    results: topics.map(({ name, count, assignments }) => {
      const topic = broker.topics.get(name);
      if (topic === undefined)
        return { name, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION as number, errorMessage: null };
      const now = topic.partitions.length;
      if (count <= now) {
        const errorMessage = `The topic ${name} currently has ${now} partition(s); ${count} would not be an increase.`;
        return { name, errorCode: ErrorCode.INVALID_PARTITIONS, errorMessage };
      }
      const fault = broker.topics.roomFault(count - now);
      if (fault !== undefined) return { name, errorCode: fault.errorCode, errorMessage: fault.message };
      const { nodeIds } = broker.cluster.view;
      const leaders = leadersOf(assignments?.map(({ brokers }) => brokers) ?? [], nodeIds);
      if (leaders === undefined || (assignments !== null && assignments.length !== count - now))
        return { name, errorCode: ErrorCode.INVALID_REPLICA_ASSIGNMENT, errorMessage: assignmentFault(nodeIds) };
      if (!validateOnly) broker.topics.addPartitions(topic, count, leaders);
      return { name, errorCode: ErrorCode.NONE, errorMessage: null };
    }),
  }),
  fail: ({ topics }, errorCode) => ({
    throttleTimeMs: 0,
    results: topics.map(({ name }) => ({ name, errorCode, errorMessage: null })),
  }),
});
