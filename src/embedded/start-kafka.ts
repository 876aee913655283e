/** The door to the embedded broker: start, stop, and what tests do to it in between. */
import type { MoveCoordinatorOptions, MoveLeaderOptions, PartitionState, StopNodeOptions } from './broker/cluster.ts';
import type { Coordinated } from './broker/cluster-view.ts';
import { EmbeddedBroker, type EmbeddedBrokerOptions } from './broker/embedded-broker.ts';
import type { Fault } from './broker/faults.ts';
import { EmbeddedError, invalidArgument } from './errors.ts';

export interface TopicOptions {
  readonly topic: string;
  /** Default 1. */
  readonly partitions?: number;
  readonly configs?: Readonly<Record<string, string>>;
}

export interface EmbeddedKafkaOptions extends EmbeddedBrokerOptions {
  /** Topics to create unless they are there. */
  readonly topics?: readonly (string | TopicOptions)[];
}

/** What has a coordinator. */
export type CoordinatedId = { readonly groupId: string } | { readonly transactionalId: string };

/**
 * What becomes of the nodes. All of it takes effect at once, before the call returns; `stopNode` and `startNode` wait for
 * their port only. With one node (the default) these work as well, on that node.
 *
 * @throws EmbeddedError MILLRACE_EMBEDDED_INVALID_ARGUMENT no such node, topic or partition; a stopped node is to lead
 */
export interface ClusterControls {
  /** `host:port` of a node; `brokers` has them all, in order. */
  addressOf(node: number): string;
  /** A partition as its leader has it: leader, epoch, offsets. */
  describePartition(topic: string, partition: number): PartitionState;
  /** The node that coordinates a group or a transactional id; −1: nobody. */
  coordinatorOf(of: CoordinatedId): number;
  /**
   * Another node leads the partition, the same one anew, or nobody (−1): a new leader epoch. With `truncateTo` the election
   * is unclean: the log loses its end, and with it what producers, transactions and the high watermark were there.
   */
  moveLeader(topic: string, partition: number, node: number, options?: MoveLeaderOptions): PartitionState;
  /**
   * Another node coordinates, the same one anew, or nobody (−1). A group goes on from its last complete generation; members
   * that wait for a rebalance are answered NOT_COORDINATOR, the others have a whole session from when it is loaded.
   */
  moveCoordinator(of: CoordinatedId, node: number, options?: MoveCoordinatorOptions): void;
  /** Closes a node's port and connections; the next live one takes over what it led and coordinated. */
  stopNode(node: number, options?: StopNodeOptions): Promise<void>;
  /** On the same port. What it led before stays where it is now, unless no other node was there. */
  startNode(node: number): Promise<void>;
  /** Cuts every connection to the node. */
  cutNode(node: number): void;
  /** From now on the node answers Metadata, DescribeCluster and FindCoordinator as of now: it has not heard of what comes. */
  freezeMetadata(node: number): void;
  thawMetadata(node: number): void;
  /**
   * From now on nothing more in the partition counts as replicated: readers do not see it, producers with acks −1 wait for
   * it. Returns how to let go.
   */
  holdHighWatermark(topic: string, partition: number): () => void;
}

export interface EmbeddedKafka extends ClusterControls {
  /** `host:port` of each node, for any client's list of brokers. */
  readonly brokers: string[];
  readonly host: string;
  /** Of node 1. */
  readonly port: number;
  /** Creates topics; those that exist stay as they are. @throws EmbeddedError MILLRACE_EMBEDDED_TOPIC_REFUSED */
  createTopics(...topics: readonly (string | TopicOptions)[]): void;
  /** Puts a fault in the way of requests; returns how to take it away. */
  inject(fault: Fault): () => void;
  clearFaults(): void;
  /** Cuts every connection to any node. */
  disconnectClients(): void;
  /** Moves the broker's time on, for retention, tombstones and transaction time-outs. */
  advanceTime(ms: number): void;
  /** Compacts a topic now, its active segment as well. */
  compact(topic: string): void;
  /** Stops listening; everything acknowledged stays, in memory too. */
  stop(): Promise<void>;
  /** Listens again, on the same ports; each partition, group and transactional id has somebody to see to it again. */
  restart(): Promise<void>;
  /** Stops for good. What is in memory is gone. */
  close(): Promise<void>;
}

/**
 * Starts a Kafka broker in this process, for development and tests, not for production. It listens on loopback unless
 * told otherwise.
 *
 * @throws EmbeddedError MILLRACE_EMBEDDED_PORT_IN_USE, MILLRACE_EMBEDDED_DATA_IN_USE, MILLRACE_EMBEDDED_STORAGE,
 *   MILLRACE_EMBEDDED_INVALID_ARGUMENT
 * @example
 * const kafka = await startKafka({ topics: ['orders', { topic: 'payments', partitions: 3 }] });
 * // … any Kafka client, with kafka.brokers …
 * await kafka.close();
 */
export async function startKafka(options: EmbeddedKafkaOptions = {}): Promise<EmbeddedKafka> {
  const broker = new EmbeddedBroker(options);
  await broker.start();
  const { cluster } = broker;
  const { nodeIds } = cluster.view;
  const kafka: EmbeddedKafka = {
    get brokers() {
      return nodeIds.map((node) => kafka.addressOf(node));
    },
    addressOf(node) {
      if (!nodeIds.includes(node))
        throw invalidArgument(`There is no node ${node}: the nodes are ${nodeIds.join(', ')}.`);
      const { host, port } = broker.addressOf(node);
      return `${host}:${port}`;
    },
    get host() {
      return broker.advertisedHost;
    },
    get port() {
      return broker.addressOf(1).port;
    },
    createTopics: (...topics) => createTopics(broker, topics),
    inject: (fault) => broker.faults.add(fault),
    clearFaults: () => broker.faults.clear(),
    disconnectClients: () => broker.disconnectClients(),
    advanceTime: (ms) => broker.advanceTime(ms),
    compact: (topic) => broker.compact(topic),
    describePartition: (topic, partition) => cluster.describePartition(topic, partition),
    coordinatorOf: (of) => cluster.view.coordinatorOf(coordinated(of)),
    moveLeader: (topic, partition, node, moving) => cluster.moveLeader(topic, partition, node, moving),
    moveCoordinator: (of, node, moving) => cluster.moveCoordinator(coordinated(of), node, moving),
    stopNode: (node, stopping) => cluster.stopNode(node, stopping),
    startNode: (node) => cluster.startNode(node),
    cutNode: (node) => cluster.cutNode(node),
    freezeMetadata: (node) => cluster.freezeMetadata(node),
    thawMetadata: (node) => cluster.thawMetadata(node),
    holdHighWatermark: (topic, partition) => cluster.holdHighWatermark(topic, partition),
    stop: () => broker.stop(),
    restart: () => broker.start(),
    close: () => broker.stop(),
  };
  kafka.createTopics(...(options.topics ?? []));
  return kafka;
}

function coordinated(of: CoordinatedId): Coordinated {
  return 'groupId' in of ? { type: 'group', id: of.groupId } : { type: 'transaction', id: of.transactionalId };
}

function createTopics(broker: EmbeddedBroker, topics: readonly (string | TopicOptions)[]): void {
  for (const wanted of topics) {
    const { topic, partitions = 1, configs = {} } = typeof wanted === 'string' ? { topic: wanted } : wanted;
    if (broker.topics.get(topic) !== undefined) continue;
    const entries = new Map<string, string | null>(Object.entries(configs));
    const fault = broker.topics.createFault(topic, partitions, entries);
    if (fault !== undefined) throw new EmbeddedError('MILLRACE_EMBEDDED_TOPIC_REFUSED', fault.message);
    broker.topics.create(topic, partitions, entries);
  }
}
