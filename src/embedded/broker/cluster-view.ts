/**
 * The cluster that the broker shows: several nodes over one log. Which nodes there are and live, who takes over from whom,
 * who coordinates what: decisions only, that cluster.ts carries out. With one node all of it is that node's.
 *
 * Partitions are led by the live nodes in turn, by partition number. Coordinators are found as Kafka finds them, by the
 * hash of the id, over as many slots as there are nodes (Kafka's slots are the partitions of `__consumer_offsets`).
 */

/** In place of a node's id: nobody. */
export const NO_NODE = -1;

/** A group or a transactional id: what has a coordinator. */
export interface Coordinated {
  readonly type: 'group' | 'transaction';
  readonly id: string;
}

/** Who coordinates what, as one node knows it. */
export interface CoordinatorMap {
  /** A node's id, or −1. */
  coordinatorOf(of: Coordinated): number;
}

export class ClusterView implements CoordinatorMap {
  /** 1, 2, … */
  readonly nodeIds: readonly number[];
  /** Whom clients are told to be the controller; any node takes what is the controller's to do, as in KRaft. */
  controllerId = 1;
  readonly #stopped = new Set<number>();
  /** The coordinator of what hashes there. */
  readonly #slots: number[];
  /** Coordinators that were moved one by one. */
  readonly #moved = new Map<string, number>();

  constructor(nodes: number) {
    this.nodeIds = Array.from({ length: nodes }, (_, i) => i + 1);
    this.#slots = [...this.nodeIds];
  }

  isLive(node: number): boolean {
    return this.nodeIds.includes(node) && !this.#stopped.has(node);
  }

  get liveNodes(): readonly number[] {
    return this.#stopped.size === 0 ? this.nodeIds : this.nodeIds.filter((node) => this.isLive(node));
  }

  /** Who leads a new partition. */
  leaderFor(partition: number): number {
    const { liveNodes } = this;
    const nodes = liveNodes.length === 0 ? this.nodeIds : liveNodes;
    return nodes[partition % nodes.length]!;
  }

  coordinatorOf({ type, id }: Coordinated): number {
    return this.#moved.get(`${type}/${id}`) ?? this.#slots[hash(id) % this.#slots.length]!;
  }

  moveCoordinator({ type, id }: Coordinated, node: number): void {
    this.#moved.set(`${type}/${id}`, node);
  }

  /** What was left without a coordinator has one again. */
  coordinateAll(): void {
    for (const [key, node] of [...this.#moved]) if (node === NO_NODE) this.#moved.delete(key);
  }

  /** As of now: what is moved later does not show. */
  coordinators(): CoordinatorMap {
    const then = new ClusterView(this.nodeIds.length);
    then.#slots.splice(0, Number.POSITIVE_INFINITY, ...this.#slots);
    for (const [key, node] of this.#moved) then.#moved.set(key, node);
    return then;
  }

  /**
   * A node is gone; the next live one takes over what it coordinates and controls. Without one all stays as it is, until a
   * node starts.
   *
   * @returns who takes over
   */
  stop(node: number): number | undefined {
    this.#stopped.add(node);
    const successor = this.#successorOf(node);
    if (successor !== undefined) this.#handOver(successor);
    return successor;
  }

  /** A node is there again. It gets nothing back, unless all were gone. */
  start(node: number): void {
    this.#stopped.delete(node);
    this.#handOver(node);
  }

  #successorOf(node: number): number | undefined {
    const later = this.nodeIds.filter((other) => other > node);
    return [...later, ...this.nodeIds].find((other) => this.isLive(other));
  }

  /** What nodes have that are gone. */
  #handOver(to: number): void {
    for (const [slot, node] of this.#slots.entries()) if (!this.isLive(node)) this.#slots[slot] = to;
    for (const [key, node] of this.#moved) if (node !== NO_NODE && !this.isLive(node)) this.#moved.set(key, to);
    if (!this.isLive(this.controllerId)) this.controllerId = to;
  }
}

/** Java's `String.hashCode`, not negative. */
function hash(id: string): number {
  let value = 0;
  for (let i = 0; i < id.length; i++) value = (Math.imul(31, value) + id.charCodeAt(i)) | 0;
  return Math.abs(value);
}
