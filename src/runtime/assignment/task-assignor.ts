/**
 * The group's side of an application: what a member says of itself, how the leader spreads the tasks after making the
 * internal topics, and whether the topics have changed since. The decisions are pure functions in assignment.ts and
 * internal-topics.ts; this carries them out. Mirrors `StreamsPartitionAssignor`.
 */
import { Backoff } from '../../backoff.ts';
import { messageOf } from '../../errors.ts';
import {
  decodeSubscription,
  ErrorCode,
  encodeAssignment,
  encodeSubscription,
  type KafkaCluster,
  KafkaError,
  KafkaProtocolError,
  type TopicPartition,
} from '../../kafka/index.ts';
import type { Topology } from '../../topology/index.ts';
import { StreamsError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import { type TaskId, taskName } from '../task/task.ts';
import { assignTasks } from './assign-tasks.ts';
import {
  ensureInternalTopics,
  internalTopics,
  repartitionCounts,
  sourceTopics,
  type TopicNames,
  tasksOf,
} from './internal-topics.ts';

/** ms between two looks of the leader at the cluster's topics. */
const METADATA_MS = 60_000;
/** ms at the start within which a topic may still appear. */
const TOPIC_GRACE_MS = 3_000;
/** Tries to get metadata before the caller hears of it. */
const MAX_TRIES = 10;

interface Plan {
  readonly tasks: readonly TaskId[];
  readonly repartition: ReadonlyMap<string, number>;
  countOf(topic: string): number;
}

export class TaskAssignor {
  readonly #topology: Topology;
  readonly #names: TopicNames;
  readonly #options: ResolvedOptions;
  readonly #cluster: KafkaCluster;
  readonly #processId: string;
  #assigned: string | undefined;
  #nextLookMs = 0;

  constructor(
    topology: Topology,
    names: TopicNames,
    options: ResolvedOptions,
    cluster: KafkaCluster,
    processId: string,
  ) {
    this.#topology = topology;
    this.#names = names;
    this.#options = options;
    this.#cluster = cluster;
    this.#processId = processId;
  }

  /** @param tasks names of the tasks that the member has: they stay where that is balanced */
  subscription(tasks: readonly string[]): Buffer {
    const known = this.#cluster.topicNames;
    const topics = [...new Set(this.#topology.subTopologies.flatMap((sub) => sourceTopics(sub, this.#names, known)))];
    return encodeSubscription({ topics, userData: Buffer.from(JSON.stringify({ processId: this.#processId, tasks })) });
  }

  /** As the leader: makes the internal topics and spreads the tasks. */
  async assign(
    members: readonly { readonly memberId: string; readonly metadata: Buffer }[],
  ): Promise<Map<string, Buffer>> {
    await this.refreshTopics();
    const missing = this.#missingTopic();
    if (missing !== undefined) {
      // Once running this is ridden out: a broker that has just come back may not know its topics yet.
      throw new KafkaProtocolError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `Assigning tasks, topic ${missing.topic}`, {
        topic: missing.topic,
      });
    }
    const { tasks, repartition, countOf } = this.#plan();
    await ensureInternalTopics(
      this.#cluster,
      internalTopics(this.#topology, this.#names, repartition, tasks, this.#options),
    );
    this.#assigned = tasks.map(taskName).join();
    this.#nextLookMs = Date.now() + METADATA_MS;
    const known = this.#cluster.topicNames;
    const partitionsOf = ({ subTopology, partition }: TaskId): TopicPartition[] =>
      sourceTopics(this.#topology.subTopologies[subTopology]!, this.#names, known)
        .filter((topic) => partition < countOf(topic))
        .map((topic) => ({ topic, partition }));
    const assigned = assignTasks(
      tasks,
      members.map(({ memberId, metadata }) => ({ memberId, previous: previousTasks(metadata) })),
    );
    return new Map([...assigned].map(([memberId, own]) => [memberId, encodeAssignment(own.flatMap(partitionsOf))]));
  }

  /** Another member may lead the next generation. */
  stopLeading(): void {
    this.#assigned = undefined;
  }

  /** As the leader, now and then: true where topics or partitions have come that need a new assignment. */
  async isOutdated(nowMs: number): Promise<boolean> {
    if (this.#assigned === undefined || nowMs < this.#nextLookMs) return false;
    this.#nextLookMs = nowMs + METADATA_MS;
    try {
      await this.refreshTopics();
      return this.#plan().tasks.map(taskName).join() !== this.#assigned;
    } catch (error) {
      this.#options.logger.debug({ error: messageOf(error) }, 'looking at the topics failed, trying again later');
      return false;
    }
  }

  /**
   * At the start: waits a little, since a topic made just now is not known to every broker at once.
   * @throws StreamsError MILLRACE_RUNTIME_TOPIC_MISSING, MILLRACE_RUNTIME_TOPIC_DENIED: a topic that is not ours to make
   */
  async checkTopics(): Promise<void> {
    const deadline = Date.now() + TOPIC_GRACE_MS;
    const backoff = new Backoff();
    for (;;) {
      await this.refreshTopics();
      const missing = this.#missingTopic();
      if (missing === undefined) return;
      const { topic, use } = missing;
      if (this.#cluster.topic(topic)?.errorCode === ErrorCode.TOPIC_AUTHORIZATION_FAILED) {
        throw new StreamsError(
          'MILLRACE_RUNTIME_TOPIC_DENIED',
          `Topic ${topic} is to be ${use}, but this user may not use it. Give the user the right to.`,
          { context: { topic } },
        );
      }
      if (Date.now() > deadline) {
        throw new StreamsError(
          'MILLRACE_RUNTIME_TOPIC_MISSING',
          `Topic ${topic} is to be ${use}, but it does not exist. Create it first; millrace creates only its own repartition and changelog topics.`,
          { context: { topic } },
        );
      }
      await backoff.wait();
    }
  }

  /** The first external topic that the cluster does not have, or does not show. */
  #missingTopic(): { readonly topic: string; readonly use: string } | undefined {
    const { deadLetterTopic, applicationId } = this.#options;
    const external = new Map<string, string>();
    for (const { sources } of this.#topology.subTopologies) {
      for (const { topics } of sources)
        if (!(topics instanceof RegExp)) for (const topic of topics) external.set(topic, 'read');
    }
    for (const topic of this.fixedSinks()) external.set(topic, 'written');
    if (deadLetterTopic !== undefined) external.set(deadLetterTopic, 'written');
    for (const [topic, use] of external) {
      const ours = this.#names.isInternal(topic) || topic.startsWith(`${applicationId}-`);
      if (!ours && this.#cluster.partitionCount(topic) === 0) return { topic, use };
    }
    return undefined;
  }

  /** Topics of sinks that are not computed, by their names on the cluster. */
  fixedSinks(): string[] {
    return this.#topology.subTopologies.flatMap(({ sinks }) =>
      sinks.flatMap(({ topic }) => (typeof topic === 'string' ? [this.#names.topic(topic)] : [])),
    );
  }

  async refreshTopics(): Promise<void> {
    const hasPattern = this.#topology.subTopologies.some(({ sources }) =>
      sources.some(({ topics }) => topics instanceof RegExp),
    );
    const named = this.#topology.subTopologies.flatMap((sub) => sourceTopics(sub, this.#names, []));
    const extra = this.#options.deadLetterTopic === undefined ? [] : [this.#options.deadLetterTopic];
    const topics = hasPattern ? null : [...new Set([...named, ...this.fixedSinks(), ...extra])];
    const backoff = new Backoff();
    for (;;) {
      try {
        await this.#cluster.refresh(topics);
        return;
      } catch (error) {
        if (!(error instanceof KafkaError) || !error.retriable || backoff.attempt > MAX_TRIES) throw error;
        await backoff.wait();
      }
    }
  }

  #plan(): Plan {
    const known = this.#cluster.topicNames;
    const repartition = repartitionCounts(this.#topology, this.#names, known, (topic) =>
      this.#cluster.partitionCount(topic),
    );
    const countOf = (topic: string): number => repartition.get(topic) ?? this.#cluster.partitionCount(topic);
    return { repartition, countOf, tasks: tasksOf(this.#topology, this.#names, known, countOf) };
  }
}

function previousTasks(metadata: Buffer): string[] {
  try {
    const { tasks } = JSON.parse(decodeSubscription(metadata).userData.toString('utf8')) as { tasks?: unknown };
    return Array.isArray(tasks) ? tasks.map(String) : [];
  } catch {
    return [];
  }
}
