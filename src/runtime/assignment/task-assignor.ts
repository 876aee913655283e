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
  partitionKey,
  type TopicPartition,
} from '../../kafka/index.ts';
import { monotonicMs } from '../../monotonic.ts';
import { deadLetterTopics, type Topology } from '../../topology/index.ts';
import { StreamsError } from '../errors.ts';
import type { ResolvedOptions } from '../options.ts';
import { interrupted } from '../retry.ts';
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
import { decodeMemberInfo, encodeMemberInfo, type MemberInfo, signaturesOf } from './subscription.ts';

/** ms at the start within which a topic may still appear. */
const TOPIC_GRACE_MS = 3_000;
/** Tries to get metadata before the caller hears of it. */
const MAX_TRIES = 10;

interface Plan {
  readonly tasks: readonly TaskId[];
  readonly repartition: ReadonlyMap<string, number>;
  partitionsOf(task: TaskId): TopicPartition[];
}

export class TaskAssignor {
  readonly #topology: Topology;
  readonly #names: TopicNames;
  readonly #options: ResolvedOptions;
  readonly #cluster: KafkaCluster;
  readonly #processId: string;
  readonly #signatures: readonly string[];
  readonly #signal: AbortSignal;
  /** What was assigned as the leader, as text. */
  #assigned: string | undefined;
  #nextLookMs = 0;
  #isOutdated = false;
  /** When an external topic was first missing, ms since the epoch. */
  #missingSinceMs: number | undefined;

  /** @param signal ends waits: the thread stops */
  constructor(
    topology: Topology,
    names: TopicNames,
    options: ResolvedOptions,
    cluster: KafkaCluster,
    processId: string,
    signal: AbortSignal,
  ) {
    this.#topology = topology;
    this.#names = names;
    this.#options = options;
    this.#cluster = cluster;
    this.#processId = processId;
    this.#signatures = signaturesOf(topology);
    this.#signal = signal;
  }

  /** @param tasks names of the tasks that the member has: they stay where that is balanced */
  subscription(tasks: readonly string[]): Buffer {
    const known = this.#cluster.topicNames;
    const topics = [...new Set(this.#topology.subTopologies.flatMap((sub) => sourceTopics(sub, this.#names, known)))];
    const info = { processId: this.#processId, tasks, subTopologies: this.#signatures };
    return encodeSubscription({ topics, userData: encodeMemberInfo(info) });
  }

  /** As the leader: makes the internal topics and spreads the tasks. */
  async assign(
    members: readonly { readonly memberId: string; readonly metadata: Buffer }[],
  ): Promise<Map<string, Buffer>> {
    await this.refreshTopics();
    this.#checkMissing();
    const { tasks, repartition, partitionsOf } = this.#plan();
    await ensureInternalTopics(
      this.#cluster,
      internalTopics(this.#topology, this.#names, repartition, tasks, this.#options),
    );
    this.#assigned = planText(tasks, partitionsOf);
    this.#isOutdated = false;
    this.#nextLookMs = monotonicMs() + this.#options.metadataMaxAgeMs;
    const assigned = assignTasks(
      tasks,
      members.map(({ memberId, metadata }) => {
        const { tasks: previous, subTopologies } = memberInfo(metadata);
        const known = new Set(subTopologies);
        return { memberId, previous, knows: (sub) => known.has(this.#signatures[sub]!) };
      }),
    );
    const count = [...assigned.values()].reduce((sum, own) => sum + own.length, 0);
    if (count < tasks.length) {
      this.#options.logger.warn(
        { tasks: tasks.length, assigned: count },
        'members of different topologies are in this group: tasks that no member knows wait',
      );
    }
    return new Map([...assigned].map(([memberId, own]) => [memberId, encodeAssignment(own.flatMap(partitionsOf))]));
  }

  /** Another member may lead the next generation. */
  stopLeading(): void {
    this.#assigned = undefined;
    this.#isOutdated = false;
  }

  /** As the leader: true where topics or partitions have come or gone that need a new assignment. Looks by itself, now and then. */
  isOutdated(nowMs: number): boolean {
    if (this.#assigned === undefined) return false;
    if (nowMs >= this.#nextLookMs) {
      this.#nextLookMs = nowMs + this.#options.metadataMaxAgeMs;
      void this.#look(this.#assigned);
    }
    return this.#isOutdated;
  }

  async #look(assigned: string): Promise<void> {
    try {
      await this.refreshTopics();
      const { tasks, partitionsOf } = this.#plan();
      if (this.#assigned === assigned && planText(tasks, partitionsOf) !== assigned) this.#isOutdated = true;
    } catch (error) {
      this.#options.logger.debug({ error: messageOf(error) }, 'looking at the topics failed, trying again later');
    }
  }

  /**
   * At the start: waits a little, since a topic made just now is not known to every broker at once.
   * @throws StreamsError MILLRACE_RUNTIME_TOPIC_MISSING, MILLRACE_RUNTIME_TOPIC_DENIED: a topic that is not ours to make
   */
  async checkTopics(): Promise<void> {
    const deadline = monotonicMs() + TOPIC_GRACE_MS;
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
      if (monotonicMs() > deadline) throw topicMissing(missing);
      await backoff.wait(this.#signal);
      if (this.#signal.aborted) throw interrupted('looking at the topics');
    }
  }

  /**
   * Once running, a topic that is missing may come back: a broker that has just started may not know its topics yet. One
   * that stays away is an error.
   */
  #checkMissing(): void {
    const missing = this.#missingTopic();
    if (missing === undefined) {
      this.#missingSinceMs = undefined;
      return;
    }
    this.#missingSinceMs ??= monotonicMs();
    if (monotonicMs() - this.#missingSinceMs > this.#options.taskTimeoutMs) throw topicMissing(missing);
    throw new KafkaProtocolError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `Assigning tasks, topic ${missing.topic}`, {
      topic: missing.topic,
    });
  }

  /** The first external topic that the cluster does not have, or does not show. */
  #missingTopic(): { readonly topic: string; readonly use: string } | undefined {
    const { applicationId } = this.#options;
    const external = new Map<string, string>();
    for (const { sources } of this.#topology.subTopologies) {
      for (const { topics } of sources)
        if (!(topics instanceof RegExp)) for (const topic of topics) external.set(topic, 'read');
    }
    for (const topic of this.#writtenTopics()) external.set(topic, 'written');
    for (const [topic, use] of external) {
      const ours = this.#names.isInternal(topic) || topic.startsWith(`${applicationId}-`);
      if (!ours && this.#cluster.partitionCount(topic) === 0) return { topic, use };
    }
    return undefined;
  }

  /** Topics that are written to, by their names on the cluster, dead letters' among them; those computed per record are not known. */
  #writtenTopics(): string[] {
    const { deadLetterTopic } = this.#options;
    return this.#topology.subTopologies
      .flatMap(({ sinks, nodes }) => [
        ...sinks.flatMap(({ topic }) => (typeof topic === 'string' ? [this.#names.topic(topic)] : [])),
        ...deadLetterTopics(nodes),
      ])
      .concat(deadLetterTopic ?? []);
  }

  async refreshTopics(): Promise<void> {
    const hasPattern = this.#topology.subTopologies.some(({ sources }) =>
      sources.some(({ topics }) => topics instanceof RegExp),
    );
    const named = this.#topology.subTopologies.flatMap((sub) => sourceTopics(sub, this.#names, []));
    const topics = hasPattern ? null : [...new Set([...named, ...this.#writtenTopics()])];
    const backoff = new Backoff();
    for (;;) {
      try {
        await this.#cluster.refresh(topics);
        return;
      } catch (error) {
        if (!(error instanceof KafkaError) || !error.retriable || backoff.attempt > MAX_TRIES) throw error;
        await backoff.wait(this.#signal);
        if (this.#signal.aborted) throw interrupted('looking at the topics', error);
      }
    }
  }

  #plan(): Plan {
    const known = this.#cluster.topicNames;
    const repartition = repartitionCounts(this.#topology, this.#names, known, (topic) =>
      this.#cluster.partitionCount(topic),
    );
    const countOf = (topic: string): number => repartition.get(topic) ?? this.#cluster.partitionCount(topic);
    const topicsOf = this.#topology.subTopologies.map((sub) => sourceTopics(sub, this.#names, known));
    return {
      repartition,
      tasks: tasksOf(this.#topology, this.#names, known, countOf),
      partitionsOf: ({ subTopology, partition }) =>
        topicsOf[subTopology]!.filter((topic) => partition < countOf(topic)).map((topic) => ({ topic, partition })),
    };
  }
}

/** Tasks with their partitions: what an assignment is made of. */
function planText(tasks: readonly TaskId[], partitionsOf: (task: TaskId) => readonly TopicPartition[]): string {
  return tasks.map((task) => `${taskName(task)}:${partitionsOf(task).map(partitionKey).sort().join()}`).join(' ');
}

function topicMissing({ topic, use }: { readonly topic: string; readonly use: string }): StreamsError {
  return new StreamsError(
    'MILLRACE_RUNTIME_TOPIC_MISSING',
    `Topic ${topic} is to be ${use}, but it does not exist. Create it first; millrace creates only its own repartition and changelog topics.`,
    { context: { topic } },
  );
}

function memberInfo(metadata: Buffer): MemberInfo {
  try {
    return decodeMemberInfo(decodeSubscription(metadata).userData);
  } catch {
    return decodeMemberInfo(Buffer.alloc(0));
  }
}
