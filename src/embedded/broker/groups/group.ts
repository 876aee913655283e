/**
 * A consumer group of the classic protocol: joining, syncing, heartbeats, leaving, static members (KIP-345), as
 * `GroupCoordinator` and `GroupMetadata` have it. Every member that waits holds a callback; timers do what waiting ends in.
 */
import { randomUUID } from 'node:crypto';
import { ErrorCode } from '../../../kafka/index.ts';
import {
  type GroupState,
  type JoinRequest,
  type JoinResult,
  joinError,
  type Member,
  type Protocol,
  type StoredGroup,
  type SyncResult,
  syncError,
} from './group-member.ts';

export interface GroupOptions {
  /** group.initial.rebalance.delay.ms */
  readonly initialRebalanceDelayMs: number;
  /** The group has something new to be stored. */
  save(group: Group): void;
}

const NO_BYTES = Buffer.alloc(0);

export class Group {
  readonly groupId: string;
  state: GroupState = 'Empty';
  generationId = 0;
  protocolType = '';
  protocolName: string | null = null;
  leader: string | null = null;
  readonly members = new Map<string, Member>();
  readonly #options: GroupOptions;
  readonly #static = new Map<string, string>();
  /** Member ids handed out that have not joined yet. */
  readonly #pending = new Map<string, NodeJS.Timeout>();
  #rebalance: NodeJS.Timeout | undefined;
  #sync: NodeJS.Timeout | undefined;

  constructor(groupId: string, options: GroupOptions) {
    this.groupId = groupId;
    this.#options = options;
  }

  static restore(groupId: string, stored: StoredGroup, options: GroupOptions): Group {
    const group = new Group(groupId, options);
    group.protocolType = stored.protocolType;
    group.generationId = stored.generationId;
    group.protocolName = stored.protocolName;
    group.leader = stored.leader;
    for (const { protocols, assignment, ...rest } of stored.members) {
      const member: Member = {
        ...rest,
        protocols: protocols.map(({ name, metadata }) => ({ name, metadata: Buffer.from(metadata, 'base64') })),
        assignment: Buffer.from(assignment, 'base64'),
        joining: undefined,
        syncing: undefined,
        session: undefined,
      };
      group.members.set(member.memberId, member);
      if (member.groupInstanceId !== null) group.#static.set(member.groupInstanceId, member.memberId);
      group.#alive(member);
    }
    group.state = group.members.size === 0 ? 'Empty' : 'Stable';
    return group;
  }

  stored(): StoredGroup {
    const { protocolType, generationId, protocolName, leader } = this;
    const members = [...this.members.values()].map(({ joining: _j, syncing: _s, session: _t, ...rest }) => ({
      ...rest,
      protocols: rest.protocols.map(({ name, metadata }) => ({ name, metadata: metadata.toString('base64') })),
      assignment: rest.assignment.toString('base64'),
    }));
    return { protocolType, generationId, protocolName, leader, members };
  }

  /** Nothing of it is in use: no members, nobody on the way. */
  get isEmpty(): boolean {
    return this.members.size === 0 && this.#pending.size === 0;
  }

  join(request: JoinRequest): Promise<JoinResult> {
    return new Promise((resolve) => this.#join(request, resolve));
  }

  sync(
    memberId: string,
    groupInstanceId: string | null,
    generationId: number,
    protocolType: string | null,
    protocolName: string | null,
    assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[],
  ): Promise<SyncResult> {
    return new Promise((resolve) => {
      const fail = (errorCode: number): void => resolve(syncError(errorCode));
      const fault = this.memberFault(memberId, groupInstanceId, generationId);
      if (fault !== ErrorCode.NONE) return fail(fault);
      const mismatch =
        (protocolType !== null && protocolType !== this.protocolType) ||
        (protocolName !== null && protocolName !== this.protocolName);
      if (mismatch) return fail(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
      const member = this.members.get(memberId)!;
      if (this.state === 'PreparingRebalance') return fail(ErrorCode.REBALANCE_IN_PROGRESS);
      if (this.state === 'Stable') {
        this.#alive(member);
        return resolve(this.#synced(member));
      }
      if (this.state !== 'CompletingRebalance') return fail(ErrorCode.UNKNOWN_MEMBER_ID);
      member.syncing = resolve;
      if (memberId === this.leader) this.#assign(assignments);
      return undefined;
    });
  }

  heartbeat(memberId: string, groupInstanceId: string | null, generationId: number): number {
    const fault = this.memberFault(memberId, groupInstanceId, generationId);
    if (fault !== ErrorCode.NONE) return fault;
    this.#alive(this.members.get(memberId)!);
    return this.state === 'PreparingRebalance' ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE;
  }

  /** @param memberId empty for a static member that is named by its instance id */
  leave(memberId: string, groupInstanceId: string | null): number {
    if (memberId !== '' && this.#forgetPending(memberId)) {
      this.#completeIfAllJoined();
      return ErrorCode.NONE;
    }
    const id = groupInstanceId === null ? memberId : this.#static.get(groupInstanceId);
    const member = id === undefined ? undefined : this.members.get(id);
    if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
    if (memberId !== '' && memberId !== member.memberId) return ErrorCode.FENCED_INSTANCE_ID;
    this.#remove(member);
    return ErrorCode.NONE;
  }

  /** Why a request in a member's name is refused; NONE where it is not. */
  memberFault(memberId: string, groupInstanceId: string | null, generationId: number): number {
    if (this.state === 'Dead') return ErrorCode.COORDINATOR_NOT_AVAILABLE;
    const fenced = this.#instanceFault(memberId, groupInstanceId);
    if (fenced !== ErrorCode.NONE) return fenced;
    if (!this.members.has(memberId)) return ErrorCode.UNKNOWN_MEMBER_ID;
    return generationId === this.generationId ? ErrorCode.NONE : ErrorCode.ILLEGAL_GENERATION;
  }

  /** Counts as a heartbeat: what a commit is. */
  touch(memberId: string): void {
    const member = this.members.get(memberId);
    if (member !== undefined) this.#alive(member);
  }

  /** The group is deleted, or the broker stops: nothing is answered any more. */
  close(): void {
    this.state = 'Dead';
    clearTimeout(this.#rebalance);
    clearTimeout(this.#sync);
    for (const timer of this.#pending.values()) clearTimeout(timer);
    for (const member of this.members.values()) {
      clearTimeout(member.session);
      member.joining?.(joinError(ErrorCode.NOT_COORDINATOR, member.memberId));
      member.syncing?.(syncError(ErrorCode.NOT_COORDINATOR));
    }
  }

  #instanceFault(memberId: string, groupInstanceId: string | null): number {
    if (groupInstanceId === null) return ErrorCode.NONE;
    const owner = this.#static.get(groupInstanceId);
    if (owner === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
    return owner === memberId ? ErrorCode.NONE : ErrorCode.FENCED_INSTANCE_ID;
  }

  #join(request: JoinRequest, resolve: (result: JoinResult) => void): void {
    const { memberId, groupInstanceId } = request;
    const fail = (errorCode: number): void => resolve(joinError(errorCode, memberId));
    const known = groupInstanceId === null ? undefined : this.#static.get(groupInstanceId);
    if (this.state === 'Dead') fail(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    else if (!this.#fitsProtocols(request)) fail(ErrorCode.INCONSISTENT_GROUP_PROTOCOL);
    else if (memberId !== '') this.#rejoin(request, resolve);
    else if (known !== undefined) this.#replaceStatic(this.members.get(known)!, request, resolve);
    else this.#joinNew(request, resolve);
  }

  #joinNew(request: JoinRequest, resolve: (result: JoinResult) => void): void {
    const { groupInstanceId } = request;
    const fresh = `${groupInstanceId ?? request.clientId}-${randomUUID()}`;
    if (request.requiresKnownMemberId && groupInstanceId === null) {
      const timer = setTimeout(() => {
        if (this.#forgetPending(fresh)) this.#completeIfAllJoined();
      }, request.sessionTimeoutMs);
      this.#pending.set(fresh, timer.unref());
      resolve(joinError(ErrorCode.MEMBER_ID_REQUIRED, fresh));
    } else this.#add(fresh, request, resolve);
  }

  #rejoin(request: JoinRequest, resolve: (result: JoinResult) => void): void {
    const { memberId, groupInstanceId } = request;
    if (this.#forgetPending(memberId)) {
      this.#add(memberId, request, resolve);
      return;
    }
    const fenced = this.#instanceFault(memberId, groupInstanceId);
    const member = this.members.get(memberId);
    if (fenced !== ErrorCode.NONE || member === undefined) {
      resolve(joinError(fenced === ErrorCode.NONE ? ErrorCode.UNKNOWN_MEMBER_ID : fenced, memberId));
      return;
    }
    const unchanged = sameProtocols(member.protocols, request.protocols);
    const isStableFollower = this.state === 'Stable' && memberId !== this.leader && unchanged;
    if (isStableFollower || (this.state === 'CompletingRebalance' && unchanged)) {
      // It has lost the answer, or asks again: the generation stands.
      this.#alive(member);
      resolve(this.#joined(member));
      return;
    }
    update(member, request);
    member.joining = resolve;
    clearTimeout(member.session);
    if (this.state === 'PreparingRebalance') this.#completeIfAllJoined();
    else this.#prepareRebalance();
  }

  #add(memberId: string, request: JoinRequest, resolve: (result: JoinResult) => void): void {
    const { groupInstanceId, clientId, clientHost, sessionTimeoutMs, rebalanceTimeoutMs, protocols } = request;
    const member: Member = {
      memberId,
      groupInstanceId,
      clientId,
      clientHost,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      protocols,
      assignment: NO_BYTES,
      joining: resolve,
      syncing: undefined,
      session: undefined,
    };
    this.protocolType = request.protocolType;
    this.members.set(memberId, member);
    if (groupInstanceId !== null) this.#static.set(groupInstanceId, memberId);
    this.leader ??= memberId;
    if (this.state === 'PreparingRebalance') this.#completeIfAllJoined();
    else this.#prepareRebalance();
  }

  /** A static member comes back under its instance id: the one that had it is fenced, the generation stands if it can. */
  #replaceStatic(old: Member, request: JoinRequest, resolve: (result: JoinResult) => void): void {
    const memberId = `${request.groupInstanceId}-${randomUUID()}`;
    old.joining?.(joinError(ErrorCode.FENCED_INSTANCE_ID, old.memberId));
    old.syncing?.(syncError(ErrorCode.FENCED_INSTANCE_ID));
    clearTimeout(old.session);
    this.members.delete(old.memberId);
    const member: Member = { ...old, memberId, joining: undefined, syncing: undefined, session: undefined };
    const unchanged = sameProtocols(old.protocols, request.protocols);
    update(member, request);
    this.members.set(memberId, member);
    this.#static.set(request.groupInstanceId!, memberId);
    const wasLeader = this.leader === old.memberId;
    if (wasLeader) this.leader = memberId;
    if (this.state === 'Stable' && unchanged) {
      this.#alive(member);
      this.#options.save(this);
      // Told of another leader, it does not assign anew: the assignment that stands is what it gets.
      resolve({ ...this.#joined(member), leader: wasLeader ? old.memberId : this.leader!, members: [] });
      return;
    }
    member.joining = resolve;
    if (this.state === 'PreparingRebalance') this.#completeIfAllJoined();
    else this.#prepareRebalance();
  }

  #prepareRebalance(): void {
    if (this.state === 'CompletingRebalance') {
      clearTimeout(this.#sync);
      for (const member of this.members.values()) {
        member.assignment = NO_BYTES;
        this.#answerSync(member, syncError(ErrorCode.REBALANCE_IN_PROGRESS));
      }
    }
    const wasEmpty = this.state === 'Empty';
    this.state = 'PreparingRebalance';
    clearTimeout(this.#rebalance);
    const delay = this.#options.initialRebalanceDelayMs;
    if (wasEmpty && delay > 0) {
      // More members are likely to come: one rebalance for all of them.
      this.#rebalance = setTimeout(() => this.#completeIfAllJoined(), delay);
      return;
    }
    const longest = Math.max(0, ...[...this.members.values()].map((member) => member.rebalanceTimeoutMs));
    this.#rebalance = setTimeout(() => this.#completeJoin(), longest);
    // In a turn of its own: members that leave or join together are one rebalance.
    setImmediate(() => this.#completeIfAllJoined());
  }

  #completeIfAllJoined(): void {
    if (this.state !== 'PreparingRebalance' || this.#pending.size > 0) return;
    for (const member of this.members.values()) if (member.joining === undefined) return;
    this.#completeJoin();
  }

  #completeJoin(): void {
    if (this.state !== 'PreparingRebalance') return;
    clearTimeout(this.#rebalance);
    for (const member of [...this.members.values()])
      if (member.joining === undefined && member.groupInstanceId === null) this.#drop(member);
    this.generationId++;
    if (this.members.size === 0) {
      this.state = 'Empty';
      this.protocolName = null;
      this.#options.save(this);
      return;
    }
    this.protocolName = this.#selectProtocol();
    this.state = 'CompletingRebalance';
    // A leader that did not come back cannot assign.
    if (this.members.get(this.leader ?? '')?.joining === undefined)
      this.leader = [...this.members.values()].find((member) => member.joining !== undefined)?.memberId ?? this.leader;
    const longest = Math.max(...[...this.members.values()].map((member) => member.rebalanceTimeoutMs));
    this.#sync = setTimeout(() => this.#syncTimedOut(), longest);
    for (const member of this.members.values()) {
      const { joining } = member;
      member.joining = undefined;
      this.#alive(member);
      joining?.(this.#joined(member));
    }
  }

  #syncTimedOut(): void {
    if (this.state !== 'CompletingRebalance') return;
    for (const member of [...this.members.values()])
      if (member.syncing === undefined && member.groupInstanceId === null) this.#drop(member);
    this.#prepareRebalance();
  }

  #assign(assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[]): void {
    clearTimeout(this.#sync);
    for (const member of this.members.values()) member.assignment = NO_BYTES;
    for (const { memberId, assignment } of assignments) {
      const member = this.members.get(memberId);
      // A view of the frame would keep all of it.
      if (member !== undefined) member.assignment = Buffer.from(assignment);
    }
    this.state = 'Stable';
    this.#options.save(this);
    for (const member of this.members.values()) this.#answerSync(member, this.#synced(member));
  }

  #answerSync(member: Member, result: SyncResult): void {
    const { syncing } = member;
    member.syncing = undefined;
    if (syncing === undefined) return;
    this.#alive(member);
    syncing(result);
  }

  #remove(member: Member): void {
    member.joining?.(joinError(ErrorCode.UNKNOWN_MEMBER_ID, member.memberId));
    member.syncing?.(syncError(ErrorCode.UNKNOWN_MEMBER_ID));
    this.#drop(member);
    if (this.state === 'PreparingRebalance') this.#completeIfAllJoined();
    else if (this.state === 'Stable' || this.state === 'CompletingRebalance') this.#prepareRebalance();
  }

  #drop(member: Member): void {
    clearTimeout(member.session);
    this.members.delete(member.memberId);
    if (member.groupInstanceId !== null) this.#static.delete(member.groupInstanceId);
    if (this.leader === member.memberId) this.leader = this.members.keys().next().value ?? null;
  }

  #forgetPending(memberId: string): boolean {
    clearTimeout(this.#pending.get(memberId));
    return this.#pending.delete(memberId);
  }

  /** Starts the member's session anew. One that waits for the group's answer is alive by waiting. */
  #alive(member: Member): void {
    clearTimeout(member.session);
    member.session = setTimeout(() => {
      if (member.joining !== undefined || member.syncing !== undefined) this.#alive(member);
      else this.#remove(member);
    }, member.sessionTimeoutMs);
    member.session.unref();
  }

  #fitsProtocols({ protocolType, protocols }: JoinRequest): boolean {
    if (protocolType === '' || protocols.length === 0) return false;
    if (this.members.size === 0) return true;
    if (protocolType !== this.protocolType) return false;
    return protocols.some(({ name }) =>
      [...this.members.values()].every((member) => member.protocols.some((protocol) => protocol.name === name)),
    );
  }

  /** The protocol that all know and most like best. */
  #selectProtocol(): string {
    const members = [...this.members.values()];
    const common = members[0]!.protocols
      .map(({ name }) => name)
      .filter((name) => members.every((member) => member.protocols.some((protocol) => protocol.name === name)));
    const votes = new Map<string, number>();
    for (const member of members) {
      const best = member.protocols.find(({ name }) => common.includes(name));
      if (best !== undefined) votes.set(best.name, (votes.get(best.name) ?? 0) + 1);
    }
    return common.reduce((a, b) => ((votes.get(b) ?? 0) > (votes.get(a) ?? 0) ? b : a));
  }

  #joined(member: Member): JoinResult {
    const isLeader = member.memberId === this.leader;
    return {
      errorCode: ErrorCode.NONE,
      generationId: this.generationId,
      protocolType: this.protocolType,
      protocolName: this.protocolName,
      leader: this.leader!,
      memberId: member.memberId,
      members: isLeader
        ? [...this.members.values()].map(({ memberId, groupInstanceId, protocols }) => ({
            memberId,
            groupInstanceId,
            metadata: protocols.find(({ name }) => name === this.protocolName)?.metadata ?? NO_BYTES,
          }))
        : [],
    };
  }

  #synced(member: Member): SyncResult {
    const { protocolType, protocolName } = this;
    return { errorCode: ErrorCode.NONE, protocolType, protocolName, assignment: member.assignment };
  }
}

function update(member: Member, request: JoinRequest): void {
  member.sessionTimeoutMs = request.sessionTimeoutMs;
  member.rebalanceTimeoutMs = request.rebalanceTimeoutMs;
  member.protocols = request.protocols;
}

function sameProtocols(a: readonly Protocol[], b: readonly Protocol[]): boolean {
  return (
    a.length === b.length && a.every(({ name, metadata }, i) => name === b[i]!.name && metadata.equals(b[i]!.metadata))
  );
}
