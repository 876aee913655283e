/** Topics: what there is, creating, checking, deleting records. Retriable answers are tried again by the caller. */
import { Backoff } from '../backoff.ts';
import { monotonicMs } from '../monotonic.ts';
import { byLeader, byTopic, type KafkaCluster } from './cluster.ts';
import { ErrorCode, KafkaError, KafkaProtocolError } from './errors.ts';
import { partitionKey } from './offsets.ts';
import type { TopicPartition } from './record-batch.ts';
import {
  createTopicsRequest,
  deleteRecordsRequest,
  deleteTopicsRequest,
  describeTopicConfigsRequest,
  type NewTopic,
} from './requests/admin.ts';

const TIMEOUT_MS = 30_000;

/** Creates topics; one that exists already is left as it is. Waits until all have leaders. */
export async function createTopics(cluster: KafkaCluster, topics: readonly NewTopic[]): Promise<void> {
  if (topics.length === 0) return;
  const backoff = new Backoff();
  const deadline = monotonicMs() + TIMEOUT_MS;
  for (let open = topics; ; ) {
    const answer = await cluster.sendToController(createTopicsRequest(open, TIMEOUT_MS));
    const again = new Set<string>();
    for (const { topic, errorCode, message } of answer.topics) {
      if (errorCode === ErrorCode.NONE || errorCode === ErrorCode.TOPIC_ALREADY_EXISTS) continue;
      const error = new KafkaProtocolError(
        errorCode,
        `Creating topic ${topic}${message === null ? '' : ` (${message})`}`,
        { topic },
      );
      // Brokers that are being restarted do not count as replicas for a while.
      const mayPass = error.retriable || errorCode === ErrorCode.INVALID_REPLICATION_FACTOR;
      if (!mayPass || monotonicMs() > deadline) throw error;
      again.add(topic);
    }
    open = open.filter((t) => again.has(t.topic));
    if (open.length === 0) break;
    await backoff.wait(cluster.closed);
    await cluster.refresh([]);
  }
  await waitForTopics(
    cluster,
    topics.map((t) => t.topic),
    deadline,
  );
}

async function waitForTopics(cluster: KafkaCluster, topics: readonly string[], deadline: number): Promise<void> {
  const backoff = new Backoff({ initialMs: 20, maxMs: 500 });
  for (;;) {
    await cluster.refresh(topics);
    const pending = topics.find(
      (t) => cluster.partitionCount(t) === 0 || cluster.topic(t)!.partitions.some((p) => p.leader < 0),
    );
    if (pending === undefined) return;
    if (monotonicMs() > deadline) {
      throw new KafkaError(
        'MILLRACE_KAFKA_TOPIC_NOT_READY',
        `Topic ${pending} was created but has no leaders yet. Check the brokers' logs.`,
        {
          retriable: true,
          context: { topic: pending },
        },
      );
    }
    await backoff.wait(cluster.closed);
  }
}

export async function deleteTopics(cluster: KafkaCluster, topics: readonly string[]): Promise<void> {
  if (topics.length === 0) return;
  const answer = await cluster.sendToController(deleteTopicsRequest(topics, TIMEOUT_MS));
  for (const { topic, errorCode } of answer.topics) {
    if (errorCode !== ErrorCode.NONE && errorCode !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) {
      throw new KafkaProtocolError(errorCode, `Deleting topic ${topic}`, { topic });
    }
  }
}

/** Each topic's configs, by name. */
export async function describeTopicConfigs(
  cluster: KafkaCluster,
  topics: readonly string[],
): Promise<Map<string, ReadonlyMap<string, string | null>>> {
  const result = new Map<string, ReadonlyMap<string, string | null>>();
  if (topics.length === 0) return result;
  const answer = await cluster.sendToAny(describeTopicConfigsRequest(topics));
  for (const { topic, errorCode, configs } of answer.topics) {
    if (errorCode !== ErrorCode.NONE)
      throw new KafkaProtocolError(errorCode, `Reading the configs of topic ${topic}`, { topic });
    result.set(topic, configs);
  }
  return result;
}

/** Deletes what lies before each offset: how repartition topics are kept short. */
export async function deleteRecords(
  cluster: KafkaCluster,
  before: readonly (TopicPartition & { readonly offset: number })[],
): Promise<void> {
  for (const [leader, list] of byLeader(cluster, before)) {
    if (leader < 0) continue;
    const answer = await cluster.send(leader, deleteRecordsRequest(byTopic(list), TIMEOUT_MS));
    for (const { topic, partition, errorCode } of answer.partitions) {
      if (errorCode !== ErrorCode.NONE) {
        throw new KafkaProtocolError(errorCode, `Deleting records of ${partitionKey({ topic, partition })}`, {
          topic,
          partition,
        });
      }
    }
  }
}
