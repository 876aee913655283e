/** The groups of the broker and their committed positions, kept in the state store. */
import { ErrorCode } from '../../../kafka/index.ts';
import type { StateStore } from '../state-store.ts';
import { Group, type GroupOptions } from './group.ts';
import { type JoinRequest, type JoinResult, joinError, type StoredGroup } from './group-member.ts';

export interface CommittedOffset {
  readonly offset: number;
  readonly leaderEpoch: number;
  readonly metadata: string | null;
}

export interface OffsetCommit extends CommittedOffset {
  readonly topic: string;
  readonly partition: number;
}

export interface GroupCoordinatorOptions {
  readonly initialRebalanceDelayMs: number;
  /** group.min.session.timeout.ms */
  readonly minSessionTimeoutMs: number;
}

const MAX_SESSION_TIMEOUT_MS = 1_800_000;
const GROUP = 'group/';
const OFFSET = 'offset/';

/** A map key for a partition; topic names hold no slash. */
function partitionId(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

export class GroupCoordinator {
  readonly #groups = new Map<string, Group>();
  readonly #offsets = new Map<string, Map<string, CommittedOffset>>();
  /** By group, then producer id: what a transaction would commit. */
  readonly #pending = new Map<string, Map<number, OffsetCommit[]>>();
  readonly #store: StateStore;
  readonly #options: GroupCoordinatorOptions;
  readonly #groupOptions: GroupOptions;

  constructor(store: StateStore, options: GroupCoordinatorOptions) {
    this.#store = store;
    this.#options = options;
    this.#groupOptions = {
      initialRebalanceDelayMs: options.initialRebalanceDelayMs,
      save: (group) => store.set(GROUP + group.groupId, group.stored()),
    };
    for (const [key, committed] of store.entries<CommittedOffset>(OFFSET)) {
      const [groupId, topic, partition] = JSON.parse(key) as [string, string, number];
      this.#offsetsOf(groupId).set(partitionId(topic, partition), committed);
    }
    for (const [groupId] of store.entries<StoredGroup>(GROUP)) this.load(groupId);
    for (const groupId of this.#offsets.keys()) this.load(groupId);
  }

  /**
   * A node becomes the group's coordinator: it goes on with what is stored, the last generation that was complete, and the
   * members have a whole session from now on. Who was joining is not known any more.
   */
  load(groupId: string): void {
    if (this.#groups.has(groupId)) return;
    const stored = this.#store.get<StoredGroup>(GROUP + groupId);
    if (stored !== undefined) this.#groups.set(groupId, Group.restore(groupId, stored, this.#groupOptions));
    else if ((this.#offsets.get(groupId)?.size ?? 0) > 0) this.#create(groupId);
  }

  /** Nobody coordinates the group: whoever waits is answered NOT_COORDINATOR, sessions rest. */
  unload(groupId: string): void {
    this.#groups.get(groupId)?.close();
    this.#groups.delete(groupId);
  }

  get(groupId: string): Group | undefined {
    return this.#groups.get(groupId);
  }

  all(): Iterable<Group> {
    return this.#groups.values();
  }

  join(groupId: string, request: JoinRequest): Promise<JoinResult> | JoinResult {
    if (groupId === '') return joinError(ErrorCode.INVALID_GROUP_ID, request.memberId);
    const { sessionTimeoutMs } = request;
    if (sessionTimeoutMs < this.#options.minSessionTimeoutMs || sessionTimeoutMs > MAX_SESSION_TIMEOUT_MS)
      return joinError(ErrorCode.INVALID_SESSION_TIMEOUT, request.memberId);
    const known = this.#groups.get(groupId);
    if (known === undefined && request.memberId !== '') return joinError(ErrorCode.UNKNOWN_MEMBER_ID, request.memberId);
    return (known ?? this.#create(groupId)).join(request);
  }

  /** May this member, or somebody outside of the group (generation −1), commit now? */
  commitFault(groupId: string, memberId: string, groupInstanceId: string | null, generationId: number): number {
    if (groupId === '') return ErrorCode.INVALID_GROUP_ID;
    const group = this.#groups.get(groupId);
    if (group === undefined) return generationId < 0 ? ErrorCode.NONE : ErrorCode.ILLEGAL_GENERATION;
    if (generationId < 0 && memberId === '' && groupInstanceId === null)
      return group.state === 'Empty' ? ErrorCode.NONE : ErrorCode.UNKNOWN_MEMBER_ID;
    const fault = group.memberFault(memberId, groupInstanceId, generationId);
    if (fault !== ErrorCode.NONE) return fault;
    group.touch(memberId);
    return group.state === 'CompletingRebalance' ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE;
  }

  commit(groupId: string, commits: readonly OffsetCommit[]): void {
    this.#ensure(groupId);
    const offsets = this.#offsetsOf(groupId);
    for (const { topic, partition, ...committed } of commits) {
      offsets.set(partitionId(topic, partition), committed);
      this.#store.set(OFFSET + JSON.stringify([groupId, topic, partition]), committed);
    }
  }

  committed(groupId: string, topic: string, partition: number): CommittedOffset | undefined {
    return this.#offsets.get(groupId)?.get(partitionId(topic, partition));
  }

  /** Every partition that the group has committed. */
  committedPartitions(groupId: string): { readonly topic: string; readonly partition: number }[] {
    return [...(this.#offsets.get(groupId)?.keys() ?? [])].map((id) => {
      const slash = id.lastIndexOf('/');
      return { topic: id.slice(0, slash), partition: Number(id.slice(slash + 1)) };
    });
  }

  /** Positions that a transaction will commit, or not: KIP-447's require-stable waits for them. */
  prepareCommit(groupId: string, producerId: number, commits: readonly OffsetCommit[]): void {
    const ofGroup = this.#pending.get(groupId) ?? new Map<number, OffsetCommit[]>();
    this.#pending.set(groupId, ofGroup);
    ofGroup.set(producerId, [...(ofGroup.get(producerId) ?? []), ...commits]);
    this.#ensure(groupId);
  }

  isPending(groupId: string, topic: string, partition: number): boolean {
    for (const commits of this.#pending.get(groupId)?.values() ?? [])
      if (commits.some((commit) => commit.topic === topic && commit.partition === partition)) return true;
    return false;
  }

  /** What a transaction would commit in a group. */
  pendingOf(groupId: string, producerId: number): readonly OffsetCommit[] {
    return this.#pending.get(groupId)?.get(producerId) ?? [];
  }

  completeCommit(groupId: string, producerId: number, committed: boolean): void {
    const ofGroup = this.#pending.get(groupId);
    const commits = ofGroup?.get(producerId);
    ofGroup?.delete(producerId);
    if (committed && commits !== undefined) this.commit(groupId, commits);
  }

  deleteOffset(groupId: string, topic: string, partition: number): void {
    this.#offsets.get(groupId)?.delete(partitionId(topic, partition));
    this.#store.delete(OFFSET + JSON.stringify([groupId, topic, partition]));
  }

  delete(groupId: string): number {
    const group = this.#groups.get(groupId);
    if (group === undefined) return ErrorCode.GROUP_ID_NOT_FOUND;
    if (!group.isEmpty) return ErrorCode.NON_EMPTY_GROUP;
    for (const { topic, partition } of this.committedPartitions(groupId)) this.deleteOffset(groupId, topic, partition);
    this.#offsets.delete(groupId);
    this.#groups.delete(groupId);
    this.#store.delete(GROUP + groupId);
    group.close();
    return ErrorCode.NONE;
  }

  /** A topic is gone, and what was committed of it. */
  topicDeleted(topic: string): void {
    for (const groupId of this.#offsets.keys())
      for (const at of this.committedPartitions(groupId))
        if (at.topic === topic) this.deleteOffset(groupId, topic, at.partition);
  }

  close(): void {
    for (const group of this.#groups.values()) group.close();
  }

  /** One that is stored and not loaded is not made anew: it will be loaded. */
  #ensure(groupId: string): void {
    if (!this.#groups.has(groupId) && this.#store.get(GROUP + groupId) === undefined) this.#create(groupId);
  }

  #create(groupId: string): Group {
    const group = new Group(groupId, this.#groupOptions);
    this.#groups.set(groupId, group);
    return group;
  }

  #offsetsOf(groupId: string): Map<string, CommittedOffset> {
    let offsets = this.#offsets.get(groupId);
    if (offsets === undefined) {
      offsets = new Map();
      this.#offsets.set(groupId, offsets);
    }
    return offsets;
  }
}
