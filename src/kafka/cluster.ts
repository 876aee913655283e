/**
 * A client's view of the cluster: which brokers there are, who leads which partition, who coordinates a group. Each
 * role (group, produce, fetch, admin) has one of its own, so that a parked request of one never holds another up.
 */
import type { KafkaConfig } from 'kafkajs';
import { abortController, Backoff } from '../backoff.ts';
import { type Logger, silentLogger } from '../logger.ts';
import { monotonicMs } from '../monotonic.ts';
import { KafkaConnections } from './connections.ts';
import { ErrorCode, KafkaAuthenticationError, KafkaConnectionError, KafkaError, KafkaProtocolError } from './errors.ts';
import { isForgotten, mergeTopic } from './metadata.ts';
import { metadataRequest, type PartitionMetadata, type TopicMetadata } from './requests/03-metadata.ts';
import { findCoordinatorRequest } from './requests/offsets.ts';
import type { ApiRequest } from './requests/request.ts';

export interface ClusterOptions {
  /** kafkajs client options, passed through as they are. */
  readonly kafka: KafkaConfig;
  readonly logger?: Logger;
}

export class KafkaCluster {
  readonly connections: KafkaConnections;
  readonly logger: Logger;
  #topics = new Map<string, TopicMetadata>();
  /** As of the last answer without an error: what newer answers are compared with. */
  readonly #known = new Map<string, TopicMetadata>();
  #controllerId = -1;
  #metadataVersion = 0;
  readonly #close = abortController();
  #refreshing: Promise<void> = Promise.resolve();
  #next: { topics: Set<string> | null; readonly done: Promise<void> } | undefined;
  readonly #coordinators = new Map<string, number>();

  constructor({ kafka, logger = silentLogger }: ClusterOptions) {
    this.connections = new KafkaConnections(kafka);
    this.logger = logger;
  }

  /** Aborts with `close`: ends the waits between tries. */
  get closed(): AbortSignal {
    return this.#close.signal;
  }

  /**
   * Reaches the cluster, trying for `timeoutMs`.
   * @throws KafkaConnectionError nobody answered; KafkaAuthenticationError at once where the login is refused
   */
  async connect(timeoutMs = 10_000): Promise<void> {
    const deadline = monotonicMs() + timeoutMs;
    const backoff = new Backoff();
    for (;;) {
      try {
        await this.refresh([]);
        return;
      } catch (error) {
        const refused = !(error instanceof KafkaError) || !error.retriable || error instanceof KafkaAuthenticationError;
        if (refused || this.closed.aborted || monotonicMs() >= deadline) throw error;
        this.logger.debug({ code: error.code }, error.message);
        await backoff.wait(this.closed);
      }
    }
  }

  /**
   * Asks for these topics' metadata (null: all topics'). One request is out at a time; what is asked for meanwhile goes
   * with the next one, together, so that a broker that does not answer holds up a caller twice at most.
   * @throws KafkaConnectionError nobody answered
   */
  refresh(topics: readonly string[] | null): Promise<void> {
    const run = (): Promise<void> => {
      const { topics: wanted } = this.#next!;
      this.#next = undefined;
      return this.#refresh(wanted === null ? null : [...wanted]);
    };
    if (this.#next === undefined) {
      this.#next = { topics: new Set(), done: this.#refreshing.then(run, run) };
      this.#refreshing = this.#next.done;
    }
    const next = this.#next;
    if (topics === null) next.topics = null;
    else for (const topic of topics) next.topics?.add(topic);
    return next.done;
  }

  async #refresh(topics: readonly string[] | null): Promise<void> {
    const answer = await this.connections.sendToAny(metadataRequest(topics));
    this.connections.update(answer.brokers);
    this.#controllerId = answer.controllerId;
    if (topics === null) this.#topics = new Map();
    for (const topic of answer.topics) this.#adopt(topic);
    if (topics === null) for (const name of this.#known.keys()) if (!this.#topics.has(name)) this.#known.delete(name);
    this.#metadataVersion++;
  }

  #adopt(answer: TopicMetadata): void {
    const known = this.#known.get(answer.topic);
    const topic = mergeTopic(known, answer);
    this.#topics.set(topic.topic, topic);
    if (topic.errorCode === ErrorCode.NONE) this.#known.set(topic.topic, topic);
    else if (known !== undefined && isForgotten(known, answer)) this.#known.delete(topic.topic);
  }

  /** Another number after every refresh. */
  get metadataVersion(): number {
    return this.#metadataVersion;
  }

  /** The topic as of the last refresh that asked for it; undefined where none did. */
  topic(name: string): TopicMetadata | undefined {
    return this.#topics.get(name);
  }

  get topicNames(): string[] {
    return [...this.#topics.values()].filter((t) => t.errorCode === ErrorCode.NONE).map((t) => t.topic);
  }

  /** 0 where the topic is unknown. */
  partitionCount(topic: string): number {
    const metadata = this.#topics.get(topic);
    return metadata === undefined || metadata.errorCode !== ErrorCode.NONE ? 0 : metadata.partitions.length;
  }

  /** Node id of the partition's leader; −1 while there is none or it is not known. */
  leaderOf(topic: string, partition: number): number {
    return this.#partition(topic, partition)?.leader ?? -1;
  }

  /** The epoch of that leader; −1 where it is not known. */
  leaderEpochOf(topic: string, partition: number): number {
    return this.#partition(topic, partition)?.leaderEpoch ?? -1;
  }

  /** Partitions are in order of their numbers, without gaps. */
  #partition(topic: string, partition: number): PartitionMetadata | undefined {
    return this.#topics.get(topic)?.partitions[partition];
  }

  send<T>(nodeId: number, request: ApiRequest<T>): Promise<T> {
    return this.connections.send(nodeId, request);
  }

  sendToAny<T>(request: ApiRequest<T>): Promise<T> {
    return this.connections.sendToAny(request);
  }

  async sendToController<T>(request: ApiRequest<T>): Promise<T> {
    if (this.#controllerId < 0) await this.refresh([]);
    if (this.#controllerId < 0) return this.sendToAny(request);
    try {
      return await this.send(this.#controllerId, request);
    } catch (error) {
      // The next try looks for it anew.
      if (error instanceof KafkaConnectionError) this.#controllerId = -1;
      throw error;
    }
  }

  /** Sends to the group's coordinator, looking it up where it is not known. */
  async sendToGroupCoordinator<T>(groupId: string, request: ApiRequest<T>): Promise<T> {
    let nodeId = this.#coordinators.get(groupId);
    if (nodeId === undefined || !this.connections.has(nodeId)) {
      const answer = await this.sendToAny(findCoordinatorRequest(groupId, 'group'));
      if (answer.errorCode !== ErrorCode.NONE) {
        throw new KafkaProtocolError(answer.errorCode, `Looking for the coordinator of group ${groupId}`);
      }
      if (!this.connections.has(answer.nodeId)) await this.refresh([]);
      nodeId = answer.nodeId;
      this.#coordinators.set(groupId, nodeId);
    }
    try {
      return await this.send(nodeId, request);
    } catch (error) {
      if (error instanceof KafkaConnectionError) this.#coordinators.delete(groupId);
      throw error;
    }
  }

  /** To be called where a coordinator answered that it is none any more. */
  forgetCoordinator(groupId: string): void {
    this.#coordinators.delete(groupId);
  }

  /** Destroys the connections such that what waits in them is never delivered; the next request connects anew. */
  reset(): void {
    this.connections.reset();
  }

  close(): Promise<void> {
    this.#close.abort();
    return this.connections.close();
  }
}

/** Groups partitions by topic, the shape of most of the protocol's requests. */
export function byTopic<P extends { readonly topic: string }>(
  items: Iterable<P>,
): { topic: string; partitions: P[] }[] {
  return [...grouped(items, ({ topic }) => topic)].map(([topic, partitions]) => ({ topic, partitions }));
}

/** Groups partitions by who leads them; −1: nobody, as far as is known. */
export function byLeader<P extends { readonly topic: string; readonly partition: number }>(
  cluster: Pick<KafkaCluster, 'leaderOf'>,
  items: Iterable<P>,
): Map<number, P[]> {
  return grouped(items, ({ topic, partition }) => cluster.leaderOf(topic, partition));
}

function grouped<K, P>(items: Iterable<P>, keyOf: (item: P) => K): Map<K, P[]> {
  const groups = new Map<K, P[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
