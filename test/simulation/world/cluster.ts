/**
 * The brokers of a run: the embedded cluster as simulated machines, one a node. Its nodes share one log and one process;
 * for the network each has a machine of its own, which can be cut off by itself.
 */
import type { MoveLeaderOptions } from '../../../src/embedded/broker/cluster.ts';
import { EmbeddedBroker } from '../../../src/embedded/broker/embedded-broker.ts';
import type { Fault } from '../../../src/embedded/index.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Owner } from '../kernel/owner.ts';
import type { Network } from '../network/network.ts';
import { APPLICATION } from '../topologies/plan.ts';

const FIRST_PORT = 9092;
const HOST = 'kafka';

export interface ClusterOptions {
  readonly nodes: number;
  readonly rebalanceDelayMs: number;
}

export class Cluster {
  /** Ids of the nodes. */
  readonly nodes: readonly number[];
  /** What clients are given. */
  readonly brokers: readonly string[];
  /** Names of the nodes' machines, in the order of their ids. */
  readonly machines: readonly string[];
  readonly #kernel: Kernel;
  readonly #network: Network;
  readonly #broker: EmbeddedBroker;
  /** One step after the other: what stops and starts overlaps in no other way. */
  #steps: Promise<void> = Promise.resolve();
  #owner: Owner | undefined;
  #starts = 0;

  constructor(kernel: Kernel, network: Network, { nodes, rebalanceDelayMs }: ClusterOptions) {
    this.#kernel = kernel;
    this.#network = network;
    this.nodes = Array.from({ length: nodes }, (_, index) => index + 1);
    this.brokers = this.nodes.map((node) => `${HOST}:${FIRST_PORT + node - 1}`);
    this.machines = this.nodes.map((node) => `${HOST}-${node}`);
    this.brokers.forEach((address, index) => void network.aliases.set(address, this.machines[index]!));
    this.#broker = new EmbeddedBroker({
      nodes,
      host: HOST,
      port: FIRST_PORT,
      groupMinSessionTimeoutMs: 1_000,
      groupInitialRebalanceDelayMs: rebalanceDelayMs,
    });
  }

  /** True for the ports of nodes. */
  isPort(port: number): boolean {
    return port >= FIRST_PORT && port < FIRST_PORT + this.nodes.length;
  }

  /** Undefined while it is stopped. */
  get owner(): Owner | undefined {
    return this.#owner;
  }

  /** Starts all nodes, or starts them again on what they had stored. */
  start(): Promise<void> {
    return this.#next(async () => {
      if (this.#owner !== undefined) return;
      const owner = this.#kernel.createOwner(`kafka.${++this.#starts}`, HOST);
      owner.onKill.push(() => this.#network.closeAll(owner));
      this.#owner = owner;
      await this.#kernel.call(owner, () => this.#broker.start());
    });
  }

  /**
   * Stops all nodes; what was appended stays.
   * @param how `crash`: what is under way on the network is lost, clients are reset
   */
  stop(how: 'stop' | 'crash'): Promise<void> {
    return this.#next(async () => {
      const owner = this.#owner;
      if (owner === undefined) return;
      this.#kernel.resume(owner);
      if (how === 'crash')
        for (const connection of this.#network.connections)
          if (connection.server.owner === owner) connection.cut('both');
      await this.#kernel.call(owner, () => this.#broker.stop());
      this.#owner = undefined;
      this.#kernel.kill(owner);
    });
  }

  /** Does something with the broker, in its process; nothing where it is stopped. */
  act(run: (broker: EmbeddedBroker) => void | Promise<void>): Promise<void> {
    return this.#next(async () => {
      const owner = this.#owner;
      if (owner === undefined) return;
      this.#kernel.resume(owner);
      await this.#kernel.call(owner, () => run(this.#broker));
    });
  }

  /** Puts a fault in the way of requests; returns how to take it away. */
  inject(fault: Fault): () => void {
    return this.#broker.faults.add(fault);
  }

  clearFaults(): void {
    this.#broker.faults.clear();
  }

  createTopic(topic: string, partitions: number): Promise<void> {
    return this.act(({ topics }) => {
      if (topics.get(topic) === undefined) topics.create(topic, partitions, new Map());
    });
  }

  growTopic(topic: string, partitions: number): Promise<void> {
    return this.act(({ topics }) => {
      const known = topics.get(topic);
      if (known !== undefined) topics.addPartitions(known, partitions);
    });
  }

  deleteTopic(topic: string): Promise<void> {
    return this.act((broker) => {
      const known = broker.topics.get(topic);
      if (known !== undefined) broker.deleteTopic(known);
    });
  }

  /** Drops the oldest records of a topic, as retention does. */
  trimTopic(topic: string, share: number): Promise<void> {
    return this.act(({ topics }) => {
      for (const log of topics.get(topic)?.partitions ?? [])
        log.deleteRecords(log.startOffset + Math.floor((log.endOffset - log.startOffset) * share));
    });
  }

  compact(topic: string): Promise<void> {
    return this.act((broker) => broker.compact(topic));
  }

  /** Another leader, the same anew, or nobody (−1). Nothing where the topic is not there, or the node is stopped. */
  moveLeader(topic: string, partition: number, node: number, options: MoveLeaderOptions = {}): Promise<void> {
    return this.act(({ cluster, topics }) => {
      if (topics.log(topic, partition) === undefined || (node > 0 && !cluster.isUp(node))) return;
      cluster.moveLeader(topic, partition, node, options);
    });
  }

  hasLeader(topic: string, partition: number): boolean {
    return (this.#broker.topics.log(topic, partition)?.leadership.leader ?? -1) >= 0;
  }

  moveCoordinator(groupId: string, node: number, loadMs: number): Promise<void> {
    return this.act(({ cluster }) => {
      if (node < 0 || cluster.isUp(node)) cluster.moveCoordinator({ type: 'group', id: groupId }, node, { loadMs });
    });
  }

  stopNode(node: number, failoverMs: number): Promise<void> {
    return this.act(({ cluster }) => cluster.stopNode(node, { failoverMs }));
  }

  startNode(node: number): Promise<void> {
    return this.act(({ cluster }) => cluster.startNode(node));
  }

  freezeMetadata(node: number, frozen: boolean): Promise<void> {
    return this.act(({ cluster }) => (frozen ? cluster.freezeMetadata(node) : cluster.thawMetadata(node)));
  }

  /** Nothing more in the partition is replicated, until it is let go. */
  holdHighWatermark(topic: string, partition: number, held: boolean): Promise<void> {
    return this.act(({ topics }) => {
      const log = topics.log(topic, partition);
      if (held) log?.holdHighWatermark();
      else log?.releaseHighWatermark();
    });
  }

  /** All nodes are there, know each other, and have somebody for every partition and group. */
  heal(): Promise<void> {
    return this.act(async ({ cluster, topics, groups }) => {
      for (const node of this.nodes) {
        await cluster.startNode(node);
        cluster.thawMetadata(node);
      }
      for (const { name, partitions } of topics.all())
        for (const log of partitions) {
          log.releaseHighWatermark();
          if (log.leadership.leader < 0) cluster.moveLeader(name, log.partition, cluster.view.leaderFor(log.partition));
        }
      // A group that nobody could join so far has a coordinator, or none, all the same.
      for (const id of new Set([APPLICATION, ...[...groups.all()].map(({ groupId }) => groupId)]))
        if (cluster.view.coordinatorOf({ type: 'group', id }) < 0) cluster.moveCoordinator({ type: 'group', id }, 1);
    });
  }

  topicNames(): string[] {
    return [...this.#broker.topics.all()].map(({ name }) => name);
  }

  /** 0 where there is no such topic. */
  partitionsOf(topic: string): number {
    return this.#broker.topics.get(topic)?.partitions.length ?? 0;
  }

  startOffset(topic: string, partition: number): number {
    return this.#broker.topics.log(topic, partition)?.startOffset ?? 0;
  }

  endOffset(topic: string, partition: number): number {
    return this.#broker.topics.log(topic, partition)?.endOffset ?? 0;
  }

  highWatermark(topic: string, partition: number): number {
    return this.#broker.topics.log(topic, partition)?.highWatermark ?? 0;
  }

  /** What is appended now is not seen by readers, nor acknowledged. */
  isHeld(topic: string, partition: number): boolean {
    return this.highWatermark(topic, partition) < this.endOffset(topic, partition);
  }

  /** Undefined where nothing is committed. */
  committed(groupId: string, topic: string, partition: number): number | undefined {
    return this.#broker.groups.committed(groupId, topic, partition)?.offset;
  }

  /** Members of a group that is at work; 0 while it rebalances. */
  membersOf(groupId: string): number {
    const group = this.#broker.groups.get(groupId);
    return group?.state === 'Stable' ? group.members.size : 0;
  }

  /** State and members of a group, for histories. */
  describeGroup(groupId: string): string {
    const group = this.#broker.groups.get(groupId);
    if (group === undefined) return 'no group';
    return `${group.state}, generation ${group.generationId}, ${group.members.size} members`;
  }

  #next(step: () => Promise<void>): Promise<void> {
    const next = this.#steps.then(step);
    this.#steps = next.catch(() => {});
    return next;
  }
}
