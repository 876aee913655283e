/**
 * Carries out what becomes of the nodes: leaders and coordinators that move, nodes that stop and start, metadata that comes
 * late, records that are not replicated. Tests call these; with one node and no calls nothing here does anything.
 */
import { ErrorCode } from '../../kafka/index.ts';
import { invalidArgument } from '../errors.ts';
import { type ClusterImage, CurrentImage } from './cluster-image.ts';
import { ClusterView, type Coordinated, NO_NODE } from './cluster-view.ts';
import type { GroupCoordinator } from './groups/group-coordinator.ts';
import type { PartitionLog } from './log/partition-log.ts';
import type { NodeListener } from './node-listener.ts';
import type { Topics } from './topics.ts';
import type { TransactionCoordinator } from './transaction-coordinator.ts';

/** What the cluster acts on; a restart makes some of it anew. */
export interface ClusterParts {
  readonly topics: Topics;
  readonly groups: GroupCoordinator;
  readonly transactions: TransactionCoordinator;
  listener(node: number): NodeListener;
  listen(node: number): Promise<void>;
}

/** A partition as its leader has it. */
export interface PartitionState {
  /** A node's id; −1: nobody leads it. */
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly startOffset: number;
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  readonly endOffset: number;
}

export interface MoveLeaderOptions {
  /**
   * An unclean election: the log ends here afterwards, records from this offset on are lost, whole batches of them.
   * Default: nothing is lost.
   */
  readonly truncateTo?: number;
}

export interface MoveCoordinatorOptions {
  /** How long the new coordinator answers COORDINATOR_LOAD_IN_PROGRESS, ms. Default 0. */
  readonly loadMs?: number;
}

export interface StopNodeOptions {
  /** How long the others go on naming the node as leader and coordinator, ms (broker.session.timeout.ms). Default 0. */
  readonly failoverMs?: number;
}

export class Cluster {
  readonly view: ClusterView;
  readonly #parts: ClusterParts;
  readonly #current: CurrentImage;
  readonly #frozen = new Map<number, ClusterImage>();
  /** What waits for its coordinator to load it. */
  readonly #loading = new Map<string, { readonly of: Coordinated; readonly timer: NodeJS.Timeout }>();
  readonly #down = new Set<number>();
  /** Of those, the ones that are not missed yet. */
  readonly #failing = new Map<number, NodeJS.Timeout>();
  /** Groups whose coordinator is down: nobody's sessions run out. */
  readonly #resting = new Set<string>();

  constructor(nodes: number, parts: ClusterParts) {
    if (!Number.isInteger(nodes) || nodes < 1 || nodes > 100)
      throw invalidArgument(`nodes is ${nodes}: a cluster has 1 to 100.`);
    this.view = new ClusterView(nodes);
    this.#parts = parts;
    this.#current = new CurrentImage(this.view, () => parts.topics);
  }

  /** The cluster as this node knows it. */
  imageFor(node: number): ClusterImage {
    return this.#frozen.get(node) ?? this.#current;
  }

  /** True where there is such a node, and it was not stopped. */
  isUp(node: number): boolean {
    return this.view.nodeIds.includes(node) && !this.#down.has(node);
  }

  /** Why the node does not act as coordinator; NONE where it does. */
  coordinatorFault(of: Coordinated, node: number): number {
    if (this.view.coordinatorOf(of) !== node) return ErrorCode.NOT_COORDINATOR;
    return this.#loading.has(keyOf(of)) ? ErrorCode.COORDINATOR_LOAD_IN_PROGRESS : ErrorCode.NONE;
  }

  /** True where some node acts as coordinator. */
  isCoordinated(of: Coordinated): boolean {
    return this.isUp(this.view.coordinatorOf(of)) && !this.#loading.has(keyOf(of));
  }

  /** True where the node is loading groups that it is to coordinate. */
  isLoadingGroups(node: number): boolean {
    for (const { of } of this.#loading.values())
      if (of.type === 'group' && this.view.coordinatorOf(of) === node) return true;
    return false;
  }

  describePartition(topic: string, partition: number): PartitionState {
    const { leadership, startOffset, highWatermark, lastStableOffset, endOffset } = this.#log(topic, partition);
    const { leader, epoch: leaderEpoch } = leadership;
    return { leader, leaderEpoch, startOffset, highWatermark, lastStableOffset, endOffset };
  }

  moveLeader(topic: string, partition: number, node: number, { truncateTo }: MoveLeaderOptions = {}): PartitionState {
    const log = this.#log(topic, partition);
    if (node !== NO_NODE) this.#mustLive(node);
    if (truncateTo !== undefined) {
      if (!Number.isInteger(truncateTo) || truncateTo < 0) throw invalidArgument(`truncateTo is ${truncateTo}.`);
      log.truncateTo(truncateTo);
    }
    this.#lead(topic, [log], node);
    return this.describePartition(topic, partition);
  }

  moveCoordinator(of: Coordinated, node: number, { loadMs = 0 }: MoveCoordinatorOptions = {}): void {
    if (node !== NO_NODE) this.#mustLive(node);
    this.#stopLoading(of);
    // What waits there is answered NOT_COORDINATOR; the members of the last generation come along.
    if (of.type === 'group') {
      this.#parts.groups.unload(of.id);
      this.#resting.delete(of.id);
    }
    this.view.moveCoordinator(of, node);
    if (node === NO_NODE) return;
    if (loadMs > 0) this.#loading.set(keyOf(of), { of, timer: setTimeout(() => this.#loaded(of), loadMs) });
    else this.#loaded(of);
  }

  async stopNode(node: number, { failoverMs = 0 }: StopNodeOptions = {}): Promise<void> {
    this.#mustExist(node);
    if (this.#down.has(node)) return;
    this.#down.add(node);
    const closed = this.#parts.listener(node).close();
    this.#restGroups();
    if (failoverMs <= 0) this.#failOver(node);
    else
      this.#failing.set(
        node,
        setTimeout(() => this.#failOver(node), failoverMs),
      );
    await closed;
  }

  async startNode(node: number): Promise<void> {
    this.#mustExist(node);
    if (!this.#down.has(node)) return;
    await this.#parts.listen(node);
    this.#down.delete(node);
    clearTimeout(this.#failing.get(node));
    // Back before it was missed, it has what it had.
    if (!this.#failing.delete(node)) this.view.start(node);
    this.#wakeGroups();
    this.#parts.transactions.resume();
    for (const topic of this.#parts.topics.all())
      this.#lead(
        topic.name,
        topic.partitions.filter(({ leadership: { leader } }) => leader !== NO_NODE && !this.view.isLive(leader)),
        node,
      );
  }

  cutNode(node: number): void {
    this.#mustExist(node);
    this.#parts.listener(node).cut();
  }

  freezeMetadata(node: number): void {
    this.#mustExist(node);
    if (!this.#frozen.has(node)) this.#frozen.set(node, this.#current.frozen());
  }

  thawMetadata(node: number): void {
    this.#mustExist(node);
    this.#frozen.delete(node);
  }

  /** Returns how to let go of it. */
  holdHighWatermark(topic: string, partition: number): () => void {
    const log = this.#log(topic, partition);
    log.holdHighWatermark();
    return () => log.releaseHighWatermark();
  }

  /** All nodes stop: what was under way is done. */
  close(): void {
    for (const [node, timer] of [...this.#failing]) {
      clearTimeout(timer);
      this.#failOver(node);
    }
    for (const { of } of [...this.#loading.values()]) this.#stopLoading(of);
  }

  /** All nodes start: what nobody leads or coordinates has somebody again. */
  opened(): void {
    this.view.coordinateAll();
    this.#resting.clear();
    this.#restGroups();
    for (const topic of this.#parts.topics.all())
      for (const log of topic.partitions)
        if (!this.view.nodeIds.includes(log.leadership.leader))
          this.#lead(topic.name, [log], this.view.leaderFor(log.partition));
  }

  #loaded(of: Coordinated): void {
    this.#stopLoading(of);
    if (of.type !== 'group') return;
    this.#resting.add(of.id);
    this.#wakeGroups();
  }

  #stopLoading(of: Coordinated): void {
    clearTimeout(this.#loading.get(keyOf(of))?.timer);
    this.#loading.delete(keyOf(of));
  }

  /** The stopped node is missed: the next one has what it had. */
  #failOver(node: number): void {
    this.#failing.delete(node);
    const successor = this.view.stop(node);
    this.#wakeGroups();
    if (successor === undefined) return;
    for (const topic of this.#parts.topics.all())
      this.#lead(
        topic.name,
        topic.partitions.filter(({ leadership }) => leadership.leader === node),
        successor,
      );
  }

  #restGroups(): void {
    for (const { groupId } of [...this.#parts.groups.all()]) {
      if (this.isUp(this.view.coordinatorOf({ type: 'group', id: groupId }))) continue;
      this.#parts.groups.unload(groupId);
      this.#resting.add(groupId);
    }
  }

  /** Groups that have a coordinator again go on from what is stored. */
  #wakeGroups(): void {
    for (const groupId of [...this.#resting]) {
      if (!this.isCoordinated({ type: 'group', id: groupId })) continue;
      this.#resting.delete(groupId);
      this.#parts.groups.load(groupId);
    }
  }

  #lead(topic: string, logs: readonly PartitionLog[], node: number): void {
    if (logs.length === 0) return;
    for (const log of logs) log.lead(node);
    const { topics, transactions } = this.#parts;
    topics.save(topics.get(topic)!);
    // Markers that had no leader to go to.
    if (node !== NO_NODE) transactions.resume();
  }

  #log(topic: string, partition: number): PartitionLog {
    const log = this.#parts.topics.log(topic, partition);
    if (log === undefined) throw invalidArgument(`There is no partition ${partition} of a topic ${topic}.`);
    return log;
  }

  #mustExist(node: number): void {
    if (!this.view.nodeIds.includes(node))
      throw invalidArgument(`There is no node ${node}: the nodes are ${this.view.nodeIds.join(', ')}.`);
  }

  #mustLive(node: number): void {
    this.#mustExist(node);
    if (!this.isUp(node)) throw invalidArgument(`Node ${node} is stopped. Start it first, or name another.`);
  }
}

function keyOf({ type, id }: Coordinated): string {
  return `${type}/${id}`;
}
