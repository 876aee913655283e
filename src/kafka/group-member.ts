/**
 * A dynamic member of a consumer group on the classic protocol: join, sync, heartbeat, leave. Heartbeats run on a timer
 * of their own and say that the process is alive; `progress()` says that it gets on, and a member that does not for
 * maxPollIntervalMs leaves. Rebalancing is eager: everything is given up before the join, and the hooks are awaited.
 */
import { aborted, Backoff, delay } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import type { KafkaCluster } from './cluster.ts';
import { ErrorCode, errorName, KafkaError, KafkaProtocolError } from './errors.ts';
import {
  type GroupMemberIdentity,
  heartbeatRequest,
  type JoinGroupResponse,
  joinGroupRequest,
  leaveGroupRequest,
  syncGroupRequest,
} from './requests/group.ts';

export interface GroupMemberOptions {
  readonly groupId: string;
  /** The name of the assignment protocol; members with other names cannot be in one group. */
  readonly protocolName: string;
  /** ms without a heartbeat after which the broker gives the partitions away (session.timeout.ms). Default 45000. */
  readonly sessionTimeoutMs?: number;
  /** ms between heartbeats (heartbeat.interval.ms). Default 3000. */
  readonly heartbeatIntervalMs?: number;
  /** ms between two calls of `progress()` at most (max.poll.interval.ms). Default 300000. */
  readonly maxPollIntervalMs?: number;
}

export interface GroupHooks {
  /** The metadata to join with. */
  subscription(): Buffer;
  /** For the leader: each member's assignment, from the members' metadata. */
  assign(members: readonly { readonly memberId: string; readonly metadata: Buffer }[]): Promise<Map<string, Buffer>>;
  /** Awaited before partitions are given up. `lost`: they may be another's already, nothing may be committed. */
  onRevoked(lost: boolean): Promise<void>;
  /** Awaited after an assignment was received, before `poll` returns. */
  onAssigned(assignment: Buffer): Promise<void>;
}

export class GroupMember {
  readonly #cluster: KafkaCluster;
  readonly #options: Required<GroupMemberOptions>;
  readonly #hooks: GroupHooks;
  readonly #stop = new AbortController();
  readonly #stopped = aborted(this.#stop.signal);
  #memberId = '';
  #generationId = -1;
  #state: 'unjoined' | 'stable' | 'rebalancing' | 'lost' = 'unjoined';
  #heartbeatTimer: NodeJS.Timeout | undefined;
  #heartbeatOut = false;
  #lastProgress = Date.now();
  #lastHeartbeatAnswer = Date.now();
  #failure: KafkaError | undefined;

  constructor(cluster: KafkaCluster, options: GroupMemberOptions, hooks: GroupHooks) {
    this.#cluster = cluster;
    this.#options = { sessionTimeoutMs: 45_000, heartbeatIntervalMs: 3_000, maxPollIntervalMs: 300_000, ...options };
    this.#hooks = hooks;
  }

  get identity(): GroupMemberIdentity {
    return { groupId: this.#options.groupId, generationId: this.#generationId, memberId: this.#memberId };
  }

  /** True where `poll` would join the group anew. */
  get needsRejoin(): boolean {
    return this.#state !== 'stable';
  }

  /** To be called when a commit found that this member was fenced, and by the leader when the assignment is outdated. */
  requestRejoin(lost: boolean): void {
    if (this.#state === 'stable' || lost) this.#state = lost ? 'lost' : 'rebalancing';
  }

  /** Says that processing gets on. Cheap; call it in every turn. */
  progress(): void {
    this.#lastProgress = Date.now();
  }

  /** Joins the group if that is due: hooks, join, sync, hooks. Retries for ever; throws what cannot be retried. */
  async poll(): Promise<void> {
    this.progress();
    if (this.#failure !== undefined) throw this.#failure;
    const backoff = new Backoff();
    while (this.#state !== 'stable' && !this.#stop.signal.aborted) {
      const state = this.#state;
      if (state !== 'unjoined') await this.#hooks.onRevoked(state === 'lost');
      if (state === 'lost') this.#generationId = -1;
      this.#state = 'unjoined';
      const assignment = await this.#joinOnce(backoff);
      this.progress();
      if (assignment === undefined) continue;
      this.#state = 'stable';
      this.#startHeartbeat();
      await this.#hooks.onAssigned(assignment);
      this.progress();
    }
  }

  /** Lets a `poll` that waits for the group, or for a coordinator, return without having joined. */
  interrupt(): void {
    this.#stop.abort();
  }

  /** Leaves the group at once, so that its partitions go to others without waiting for the session to end. */
  async close(): Promise<void> {
    this.#stop.abort();
    clearInterval(this.#heartbeatTimer);
    if (this.#memberId !== '') await this.#leave();
    await this.#cluster.close();
  }

  async #leave(): Promise<void> {
    const memberId = this.#memberId;
    this.#memberId = '';
    this.#generationId = -1;
    const request = this.#cluster.sendToGroupCoordinator(
      this.#options.groupId,
      leaveGroupRequest(this.#options.groupId, memberId),
    );
    // A coordinator that is away must not hold a shutdown up: the session's end does the same later.
    await Promise.race([request.catch(() => undefined), delay(3_000)]);
  }

  /** One join and sync; undefined where it has to be tried again. */
  async #joinOnce(backoff: Backoff): Promise<Buffer | undefined> {
    const { groupId } = this.#options;
    try {
      const joined = await this.#join();
      if (joined === undefined) return undefined;
      this.#generationId = joined.generationId;
      const assignments = joined.leader === joined.memberId ? [...(await this.#hooks.assign(joined.members))] : [];
      const sync = await this.#cluster.sendToGroupCoordinator(
        groupId,
        syncGroupRequest(
          this.identity,
          assignments.map(([memberId, assignment]) => ({ memberId, assignment })),
          this.#options.maxPollIntervalMs + 10_000,
        ),
      );
      if (sync.errorCode === ErrorCode.NONE) return sync.assignment;
      await this.#refused(sync.errorCode, 'Synchronising with', backoff);
    } catch (error) {
      if (this.#stop.signal.aborted) return undefined;
      if (!(error instanceof KafkaError) || !error.retriable) throw error;
      this.#cluster.logger[backoff.attempt < 2 ? 'debug' : 'warn'](
        { groupId, error: messageOf(error) },
        'joining the group failed, trying again',
      );
      await backoff.wait(this.#stop.signal);
    }
    return undefined;
  }

  async #join(): Promise<JoinGroupResponse | undefined> {
    const { groupId, sessionTimeoutMs, maxPollIntervalMs, protocolName } = this.#options;
    const request = this.#cluster.sendToGroupCoordinator(
      groupId,
      joinGroupRequest({
        groupId,
        memberId: this.#memberId,
        sessionTimeoutMs,
        rebalanceTimeoutMs: maxPollIntervalMs,
        protocolType: 'consumer',
        protocols: [{ name: protocolName, metadata: this.#hooks.subscription() }],
      }),
    );
    // The broker may hold the answer back for minutes: a shutdown does not wait for it.
    const answer = await Promise.race([request, this.#stopped]);
    if (answer === undefined) {
      request.catch(() => undefined);
      return undefined;
    }
    if (answer.errorCode === ErrorCode.MEMBER_ID_REQUIRED) {
      this.#memberId = answer.memberId;
      return undefined;
    }
    if (answer.errorCode !== ErrorCode.NONE) {
      await this.#refused(answer.errorCode, 'Joining', new Backoff());
      return undefined;
    }
    this.#memberId = answer.memberId;
    return answer;
  }

  async #refused(errorCode: number, doing: string, backoff: Backoff): Promise<void> {
    const { groupId } = this.#options;
    switch (errorCode) {
      case ErrorCode.UNKNOWN_MEMBER_ID:
        this.#memberId = '';
        // The group may have gone on without this member: what it kept open may have been another's in between.
        if (this.#generationId >= 0) this.#state = 'lost';
        this.#generationId = -1;
        return;
      case ErrorCode.ILLEGAL_GENERATION:
      case ErrorCode.REBALANCE_IN_PROGRESS:
        return;
      case ErrorCode.NOT_COORDINATOR:
      case ErrorCode.COORDINATOR_NOT_AVAILABLE:
        this.#cluster.forgetCoordinator(groupId);
        await backoff.wait(this.#stop.signal);
        return;
      case ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
        await backoff.wait(this.#stop.signal);
        return;
      case ErrorCode.INCONSISTENT_GROUP_PROTOCOL:
        throw new KafkaProtocolError(
          errorCode,
          `${doing} group ${groupId}`,
          {},
          'Members of another kind (a Java application, another version) are in a group of this name: stop them, or take another application id.',
        );
      default:
        throw new KafkaProtocolError(errorCode, `${doing} group ${groupId}`);
    }
  }

  #startHeartbeat(): void {
    this.#lastHeartbeatAnswer = Date.now();
    if (this.#heartbeatTimer !== undefined) return;
    this.#heartbeatTimer = setInterval(() => void this.#heartbeat(), this.#options.heartbeatIntervalMs);
    this.#heartbeatTimer.unref();
  }

  async #heartbeat(): Promise<void> {
    if (this.#heartbeatOut || (this.#state !== 'stable' && this.#state !== 'rebalancing') || this.#memberId === '')
      return;
    const { groupId, maxPollIntervalMs, sessionTimeoutMs } = this.#options;
    if (Date.now() - this.#lastProgress > maxPollIntervalMs) {
      this.#cluster.logger.warn(
        { groupId, maxPollIntervalMs },
        'no progress for maxPollIntervalMs, leaving the group; raise it, or do less between two turns',
      );
      this.#state = 'lost';
      await this.#leave();
      return;
    }
    const generation = this.#generationId;
    this.#heartbeatOut = true;
    try {
      const answer = await this.#cluster.sendToGroupCoordinator(groupId, heartbeatRequest(this.identity));
      this.#lastHeartbeatAnswer = Date.now();
      // An answer to an earlier generation says nothing of this one.
      if (generation === this.#generationId) this.#heartbeatAnswered(answer.errorCode);
    } catch (error) {
      if (Date.now() - this.#lastHeartbeatAnswer > sessionTimeoutMs) this.requestRejoin(true);
      this.#cluster.logger.debug({ groupId, error: messageOf(error) }, 'heartbeat failed');
    } finally {
      this.#heartbeatOut = false;
    }
  }

  #heartbeatAnswered(errorCode: number): void {
    switch (errorCode) {
      case ErrorCode.NONE:
        return;
      case ErrorCode.REBALANCE_IN_PROGRESS:
        this.requestRejoin(false);
        return;
      case ErrorCode.UNKNOWN_MEMBER_ID:
      case ErrorCode.ILLEGAL_GENERATION:
      case ErrorCode.FENCED_INSTANCE_ID:
        if (errorCode === ErrorCode.UNKNOWN_MEMBER_ID) this.#memberId = '';
        this.#cluster.logger.warn({ error: errorName(errorCode) }, 'lost the place in the group, joining anew');
        this.requestRejoin(true);
        return;
      case ErrorCode.NOT_COORDINATOR:
      case ErrorCode.COORDINATOR_NOT_AVAILABLE:
        this.#cluster.forgetCoordinator(this.#options.groupId);
        return;
      case ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
        return;
      default:
        this.#failure = new KafkaProtocolError(errorCode, `Heartbeat of group ${this.#options.groupId}`);
    }
  }
}
