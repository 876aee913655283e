/**
 * CreateTopics v0 to v7. Every node has every partition: a replication factor up to their number is taken, and the answer
 * says their number. v5 is flexible and answers with what was made (KIP-525), v7 with topic ids.
 */
import { ErrorCode } from '../../../kafka/index.ts';
import { defineApi, type RequestContext } from '../api.ts';
import type { Topic } from '../topics.ts';
import {
  array,
  bool,
  int8,
  int16,
  int32,
  nullableArray,
  nullableString,
  since,
  string,
  struct,
  uuid,
  type ValueOf,
} from '../wire-types.ts';
import { assignmentFault, leadersOf } from './assignments.ts';
import { configEntries } from './config-entries.ts';

const NO_ID = '0'.repeat(32);

const newTopic = struct({
  name: string,
  partitions: int32,
  replicationFactor: int16,
  assignments: array(struct({ partition: int32, brokers: array(int32) })),
  configs: array(struct({ name: string, value: nullableString })),
});

const request = struct({ topics: array(newTopic), timeoutMs: int32, validateOnly: since(1, bool, false) });

const response = struct({
  throttleTimeMs: since(2, int32, 0),
  topics: array(
    struct({
      name: string,
      topicId: since(7, uuid, NO_ID),
      errorCode: int16,
      errorMessage: since(1, nullableString, null),
      partitions: since(5, int32, -1),
      replicationFactor: since(5, int16, -1),
      configs: since(
        5,
        nullableArray(struct({ name: string, value: nullableString, readOnly: bool, source: int8, isSensitive: bool })),
        null,
      ),
    }),
  ),
});

export const createTopics = defineApi(
  request,
  response,
)({
  key: 19,
  name: 'CreateTopics',
  minVersion: 0,
  maxVersion: 7,
  flexibleFrom: 5,
  handle({ topics, validateOnly }, context) {
    const names = topics.map(({ name }) => name);
    // Before any is made, as in Kafka: names of one request that collide with each other pass.
    const faults = names.map((name) => context.broker.topics.nameFault(name));
    return {
      throttleTimeMs: 0,
      topics: topics.map((topic, i) =>
        names.filter((name) => name === topic.name).length > 1
          ? refused(topic.name, ErrorCode.INVALID_REQUEST, 'The topic is there more than once in this request.')
          : faults[i] !== undefined
            ? refused(topic.name, faults[i].errorCode, faults[i].message)
            : create(topic, validateOnly, context),
      ),
    };
  },
  fail: ({ topics }, errorCode) => ({
    throttleTimeMs: 0,
    topics: topics.map(({ name }) => refused(name, errorCode, null)),
  }),
});

function create(wanted: ValueOf<typeof newTopic>, validateOnly: boolean, { broker }: RequestContext) {
  const { name, partitions, replicationFactor, assignments } = wanted;
  const configs = new Map(wanted.configs.map((config) => [config.name, config.value]));
  const count = assignments.length > 0 ? assignments.length : partitions === -1 ? broker.defaultPartitions : partitions;
  const fault = broker.topics.shapeFault(count, configs);
  if (fault !== undefined) return refused(name, fault.errorCode, fault.message);
  const { nodeIds } = broker.cluster.view;
  const leaders = leadersOf(
    assignments.toSorted((a, b) => a.partition - b.partition).map(({ brokers }) => brokers),
    nodeIds,
  );
  const isConsecutive = assignments.every(({ partition }) => partition < count);
  if (
    leaders === undefined ||
    !isConsecutive ||
    new Set(assignments.map((one) => one.partition)).size < assignments.length
  )
    return refused(name, ErrorCode.INVALID_REPLICA_ASSIGNMENT, assignmentFault(nodeIds));
  if (assignments.length === 0 && replicationFactor !== -1 && !nodeIds.includes(replicationFactor)) {
    return refused(
      name,
      ErrorCode.INVALID_REPLICATION_FACTOR,
      `Unable to replicate the partition ${replicationFactor} time(s): The target replication factor of ${replicationFactor} cannot be reached because only ${nodeIds.length} broker(s) are registered.`,
    );
  }
  const replicas = nodeIds.length;
  if (validateOnly) return { ...refused(name, ErrorCode.NONE, null), partitions: count, replicationFactor: replicas };
  return created(broker.topics.create(name, count, configs, leaders), replicas);
}

function created(topic: Topic, replicationFactor: number) {
  return {
    name: topic.name,
    topicId: topic.id,
    errorCode: ErrorCode.NONE as number,
    errorMessage: null as string | null,
    partitions: topic.partitions.length,
    replicationFactor,
    configs: configEntries(topic.config) as ReturnType<typeof configEntries> | null,
  };
}

function refused(name: string, errorCode: number, errorMessage: string | null): ReturnType<typeof created> {
  return { name, topicId: NO_ID, errorCode, errorMessage, partitions: -1, replicationFactor: -1, configs: null };
}
