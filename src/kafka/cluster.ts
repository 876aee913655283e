/**
 * A client's view of the cluster: which brokers there are, who leads which partition, who coordinates a group. Each
 * role (group, produce, fetch, admin) has one of its own, so that a parked request of one never holds another up.
 */
import type { KafkaConfig } from 'kafkajs';
import { Backoff } from '../backoff.ts';
import { type Logger, silentLogger } from '../logger.ts';
import { KafkaConnections } from './connections.ts';
import { ErrorCode, KafkaAuthenticationError, KafkaConnectionError, KafkaError, KafkaProtocolError } from './errors.ts';
import { metadataRequest, type TopicMetadata } from './requests/03-metadata.ts';
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
  #controllerId = -1;
  #refreshing: Promise<void> = Promise.resolve();
  readonly #coordinators = new Map<string, number>();

  constructor({ kafka, logger = silentLogger }: ClusterOptions) {
    this.connections = new KafkaConnections(kafka);
    this.logger = logger;
  }

  /**
   * Reaches the cluster, trying for `timeoutMs`.
   * @throws KafkaConnectionError nobody answered; KafkaAuthenticationError at once where the login is refused
   */
  async connect(timeoutMs = 10_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    const backoff = new Backoff();
    for (;;) {
      try {
        await this.refresh([]);
        return;
      } catch (error) {
        const refused = !(error instanceof KafkaError) || !error.retriable || error instanceof KafkaAuthenticationError;
        if (refused || Date.now() >= deadline) throw error;
        this.logger.debug({ code: error.code }, error.message);
        await backoff.wait();
      }
    }
  }

  /** Asks for these topics' metadata (null: all topics'). One request is out at a time. */
  refresh(topics: readonly string[] | null): Promise<void> {
    const next = this.#refreshing.then(
      () => this.#refresh(topics),
      () => this.#refresh(topics),
    );
    this.#refreshing = next;
    return next;
  }

  async #refresh(topics: readonly string[] | null): Promise<void> {
    const answer = await this.connections.sendToAny(metadataRequest(topics));
    await this.connections.update(answer.brokers);
    this.#controllerId = answer.controllerId;
    if (topics === null) this.#topics = new Map();
    for (const topic of answer.topics) this.#topics.set(topic.topic, topic);
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
    return this.#topics.get(topic)?.partitions.find((p) => p.partition === partition)?.leader ?? -1;
  }

  send<T>(nodeId: number, request: ApiRequest<T>): Promise<T> {
    return this.connections.send(nodeId, request);
  }

  sendToAny<T>(request: ApiRequest<T>): Promise<T> {
    return this.connections.sendToAny(request);
  }

  async sendToController<T>(request: ApiRequest<T>): Promise<T> {
    if (this.#controllerId < 0) await this.refresh([]);
    return this.#controllerId < 0 ? this.sendToAny(request) : this.send(this.#controllerId, request);
  }

  /** Sends to the group's coordinator, looking it up where it is not known. */
  async sendToGroupCoordinator<T>(groupId: string, request: ApiRequest<T>): Promise<T> {
    let nodeId = this.#coordinators.get(groupId);
    if (nodeId === undefined || !this.connections.nodeIds.includes(nodeId)) {
      const answer = await this.sendToAny(findCoordinatorRequest(groupId, 'group'));
      if (answer.errorCode !== ErrorCode.NONE) {
        throw new KafkaProtocolError(answer.errorCode, `Looking for the coordinator of group ${groupId}`);
      }
      if (!this.connections.nodeIds.includes(answer.nodeId)) await this.refresh([]);
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

  close(): Promise<void> {
    return this.connections.close();
  }
}

/** Groups partitions by topic, the shape of most of the protocol's requests. */
export function byTopic<P extends { readonly topic: string }>(
  items: Iterable<P>,
): { topic: string; partitions: P[] }[] {
  const topics = new Map<string, P[]>();
  for (const item of items) {
    const list = topics.get(item.topic);
    if (list === undefined) topics.set(item.topic, [item]);
    else list.push(item);
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }));
}
