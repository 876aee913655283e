/** The topics of the broker: creating, deleting, partitions and configs, kept in the state store. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { ErrorCode } from '../../kafka/index.ts';
import type { Leadership } from './log/leader-epochs.ts';
import { PartitionLog } from './log/partition-log.ts';
import type { StateStore } from './state-store.ts';
import { configFault, TopicConfig } from './topic-config.ts';
import { metricName, topicNameFault } from './topic-names.ts';

export interface Topic {
  readonly name: string;
  /** 32 hex digits. */
  readonly id: string;
  readonly config: TopicConfig;
  readonly partitions: PartitionLog[];
}

interface StoredTopic {
  readonly id: string;
  readonly partitions: number;
  readonly configs: Record<string, string>;
  readonly startOffsets?: readonly number[];
  /** By partition; left out where node 1 has led all of them from the start. */
  readonly leaders?: readonly Leadership[];
}

/** Undefined: done. */
export type Refusal = { readonly errorCode: number; readonly message: string } | undefined;

const KEY = 'topic/';
/** Partitions of all topics together: one process keeps them, more is a mistake, or malice. */
const MAX_PARTITIONS = 20_000;

export class Topics {
  readonly #topics = new Map<string, Topic>();
  /** The topics' names by how they are called in metrics. */
  readonly #metricNames = new Map<string, Set<string>>();
  readonly #store: StateStore;
  readonly #dataDir: string | undefined;
  readonly #nowMs: () => number;
  readonly #leaderFor: (partition: number) => number;

  /** @param leaderFor who leads a new partition */
  constructor(
    store: StateStore,
    dataDir: string | undefined,
    nowMs: () => number,
    leaderFor: (partition: number) => number,
  ) {
    this.#leaderFor = leaderFor;
    this.#store = store;
    this.#dataDir = dataDir;
    this.#nowMs = nowMs;
    for (const [name, stored] of store.entries<StoredTopic>(KEY)) {
      const topic: Topic = { name, id: stored.id, config: new TopicConfig(stored.configs), partitions: [] };
      this.#grow(topic, stored.partitions, (partition) => stored.leaders?.[partition] ?? { leader: 1, epoch: 0 });
      for (const [partition, offset] of (stored.startOffsets ?? []).entries())
        topic.partitions[partition]?.deleteRecords(offset);
      this.#register(topic);
    }
  }

  get(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  byId(id: string): Topic | undefined {
    for (const topic of this.#topics.values()) if (topic.id === id) return topic;
    return undefined;
  }

  log(name: string, partition: number): PartitionLog | undefined {
    return this.#topics.get(name)?.partitions[partition];
  }

  all(): Iterable<Topic> {
    return this.#topics.values();
  }

  /** Why a topic cannot be created so. */
  createFault(name: string, partitions: number, configs: ReadonlyMap<string, string | null>): Refusal {
    return this.nameFault(name) ?? this.shapeFault(partitions, configs);
  }

  /** Why there cannot be a new topic of this name: it is none, is there already, or would be taken for another. */
  nameFault(name: string): Refusal {
    const message = topicNameFault(name);
    if (message !== undefined) return { errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION, message };
    if (this.#topics.has(name))
      return { errorCode: ErrorCode.TOPIC_ALREADY_EXISTS, message: `Topic '${name}' already exists.` };
    const [other] = this.#metricNames.get(metricName(name)) ?? [];
    if (other === undefined) return undefined;
    return {
      errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION,
      message: `Topic '${name}' collides with existing topic: ${other}`,
    };
  }

  /** Why a topic cannot have so many partitions, or these configs. */
  shapeFault(partitions: number, configs: ReadonlyMap<string, string | null>): Refusal {
    if (partitions < 1)
      return { errorCode: ErrorCode.INVALID_PARTITIONS, message: 'Number of partitions must be larger than 0.' };
    return this.roomFault(partitions) ?? configsFault(configs);
  }

  /** Why there cannot be so many partitions more. */
  roomFault(more: number): Refusal {
    let count = more;
    for (const { partitions } of this.#topics.values()) count += partitions.length;
    if (count <= MAX_PARTITIONS) return undefined;
    return {
      errorCode: ErrorCode.INVALID_PARTITIONS,
      message: `This broker keeps at most ${MAX_PARTITIONS} partitions in all; ${count} would be more.`,
    };
  }

  /** @param leaders by partition; default: the nodes in turn */
  create(
    name: string,
    partitions: number,
    configs: ReadonlyMap<string, string | null>,
    leaders: readonly number[] = [],
  ): Topic {
    const config = new TopicConfig(Object.fromEntries(configs) as Record<string, string>);
    const topic: Topic = { name, id: randomUUID().replaceAll('-', ''), config, partitions: [] };
    this.addPartitions(topic, partitions, leaders);
    this.#register(topic);
    return topic;
  }

  delete(name: string): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    this.#topics.delete(name);
    this.#forgetMetricName(name);
    this.#store.delete(KEY + name);
    for (const log of topic.partitions) log.remove();
  }

  /** @param leaders of the new partitions, in order; default: the nodes in turn */
  addPartitions(topic: Topic, count: number, leaders: readonly number[] = []): void {
    const before = topic.partitions.length;
    this.#grow(topic, count, (partition) => ({
      leader: leaders[partition - before] ?? this.#leaderFor(partition),
      epoch: 0,
    }));
    this.save(topic);
  }

  /** To be called after its configs, partitions, start offsets or leaders have changed. */
  save({ name, id, config, partitions }: Topic): void {
    const leaders = partitions.map((log) => log.leadership);
    const stored: StoredTopic = {
      id,
      partitions: partitions.length,
      configs: Object.fromEntries(config.overrides),
      startOffsets: partitions.map((log) => log.startOffset),
      ...(leaders.every(({ leader, epoch }) => leader === 1 && epoch === 0) ? {} : { leaders }),
    };
    this.#store.set(KEY + name, stored);
  }

  close(): void {
    for (const { partitions } of this.#topics.values()) for (const log of partitions) log.close();
  }

  #register(topic: Topic): void {
    this.#topics.set(topic.name, topic);
    const key = metricName(topic.name);
    const names = this.#metricNames.get(key);
    if (names === undefined) this.#metricNames.set(key, new Set([topic.name]));
    else names.add(topic.name);
  }

  #forgetMetricName(topic: string): void {
    const names = this.#metricNames.get(metricName(topic))!;
    names.delete(topic);
    if (names.size === 0) this.#metricNames.delete(metricName(topic));
  }

  #grow({ name, config, partitions }: Topic, count: number, leadershipOf: (partition: number) => Leadership): void {
    for (let partition = partitions.length; partition < count; partition++) {
      const log = PartitionLog.open({
        topic: name,
        partition,
        folder: this.#dataDir === undefined ? undefined : join(this.#dataDir, 'topics', name, String(partition)),
        leadership: leadershipOf(partition),
        config: () => config,
        nowMs: this.#nowMs,
      });
      partitions.push(log);
    }
  }
}

export function configsFault(configs: ReadonlyMap<string, string | null>): Refusal {
  for (const [name, value] of configs) {
    const message = configFault(name, value);
    if (message !== undefined) return { errorCode: ErrorCode.INVALID_CONFIG, message };
  }
  return undefined;
}
