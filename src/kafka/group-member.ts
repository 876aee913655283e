/**
 * A dynamic member of a consumer group on the classic protocol: join, sync, heartbeat, leave. Heartbeats run on a timer
 * of their own and say that the process is alive; `progress()` says that it gets on, and a member that does not for
 * maxPollIntervalMs leaves. Rebalancing is eager: everything is given up before the join, and the hooks are awaited.
 *
 * What a member was assigned belongs to a generation. It stays the member's over directly successive generations, in
 * which nobody else can have had it; where one was missed, or the member's id changed, it is lost. A loss is remembered
 * until the hook was told.
 */
import { abortController, aborted, atMost, Backoff } from '../backoff.ts';
import { messageOf } from '../errors.ts';
import { monotonicMs } from '../monotonic.ts';
import type { KafkaCluster } from './cluster.ts';
import { withDefaults } from './defaults.ts';
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

/** A generation of the group with this member in it, as it was when its assignment came: it never changes. */
export interface Generation extends GroupMemberIdentity {
  /** Aborts when the group has, or may have, gone on without this member: what was assigned may be another's. */
  readonly lost: AbortSignal;
}

export interface GroupHooks {
  /** The metadata to join with. */
  subscription(): Buffer;
  /** For the leader: each member's assignment, from the members' metadata. */
  assign(members: readonly { readonly memberId: string; readonly metadata: Buffer }[]): Promise<Map<string, Buffer>>;
  /**
   * Awaited before partitions are given up. `lost`: they may be another's already, nothing may be committed. A loss that
   * is noticed while the hook runs is told by a second call.
   */
  onRevoked(lost: boolean): Promise<void>;
  /** Awaited after an assignment was received, before `poll` returns. */
  onAssigned(assignment: Buffer, generation: Generation): Promise<void>;
}

interface Held {
  readonly generation: Generation;
  readonly losing: AbortController;
}

const DEFAULTS = { sessionTimeoutMs: 45_000, heartbeatIntervalMs: 3_000, maxPollIntervalMs: 300_000 };
/** ms that leaving may take: the session's end does the same later. */
const LEAVE_MS = 3_000;

export class GroupMember {
  readonly #cluster: KafkaCluster;
  readonly #leaveCluster: KafkaCluster;
  readonly #options: Required<GroupMemberOptions>;
  readonly #hooks: GroupHooks;
  readonly #stop = abortController();
  readonly #stopped = aborted(this.#stop.signal);
  #memberId = '';
  #state: 'unjoined' | 'stable' | 'rebalancing' = 'unjoined';
  /** What was assigned last and is not lost yet, or lost and the hook not told. */
  #held: Held | undefined;
  #heartbeatTimer: NodeJS.Timeout | undefined;
  #heartbeatOut = false;
  #lastProgress = monotonicMs();
  #lastHeartbeatAnswer = monotonicMs();
  #failure: KafkaError | undefined;

  /** @param leaveCluster leaving must not wait behind a JoinGroup that is parked on the first one's connection */
  constructor(
    cluster: KafkaCluster,
    options: GroupMemberOptions,
    hooks: GroupHooks,
    leaveCluster: KafkaCluster = cluster,
  ) {
    this.#cluster = cluster;
    this.#leaveCluster = leaveCluster;
    this.#options = withDefaults(DEFAULTS, options);
    this.#hooks = hooks;
  }

  /** True where `poll` would join the group anew. */
  get needsRejoin(): boolean {
    return this.#state !== 'stable' || this.#isLost;
  }

  /** To be called when a commit found that this member was fenced. */
  lose(): void {
    this.#held?.losing.abort();
  }

  /**
   * Notices by the clock that the session is over: a process that was stopped, or held up by its user's code, must not go on
   * as if the group had waited. Cheap; to be called before anything is done that only the owner of the tasks may do.
   */
  checkSession(): void {
    const { groupId, sessionTimeoutMs } = this.#options;
    if (this.#state === 'unjoined' || this.#held === undefined || this.#isLost) return;
    if (monotonicMs() - this.#lastHeartbeatAnswer <= sessionTimeoutMs) return;
    this.#cluster.logger.warn({ groupId, sessionTimeoutMs }, 'no heartbeat was answered within the session');
    this.lose();
  }

  /** To be called by the leader when the assignment is outdated. */
  requestRejoin(): void {
    if (this.#state === 'stable') this.#state = 'rebalancing';
  }

  /** Says that processing gets on. Cheap; call it in every turn. */
  progress(): void {
    this.#lastProgress = monotonicMs();
  }

  /** Joins the group if that is due: hooks, join, sync, hooks. Retries for ever; throws what cannot be retried. */
  async poll(): Promise<void> {
    this.progress();
    this.checkSession();
    if (this.#failure !== undefined) throw this.#failure;
    const backoff = new Backoff();
    while (this.needsRejoin && !this.#stop.signal.aborted) {
      await this.#giveUp();
      const joined = await this.#joinOnce(backoff);
      this.progress();
      if (joined === undefined) continue;
      await this.#hold(joined.generationId);
      this.#startHeartbeat();
      await this.#hooks.onAssigned(joined.assignment, this.#held!.generation);
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
    this.lose();
    await this.#leave();
    await this.#cluster.close();
  }

  get #isLost(): boolean {
    return this.#held?.generation.lost.aborted === true;
  }

  /** Tells the hook what goes: everything before a join, once; as lost, where it is or becomes so meanwhile. */
  async #giveUp(): Promise<void> {
    const wasStable = this.#state !== 'unjoined';
    // Heartbeats go on while what is open is committed: the group waits for this member.
    if (wasStable && !this.#isLost) await this.#hooks.onRevoked(false);
    await this.#tellLoss();
    this.#state = 'unjoined';
  }

  async #tellLoss(): Promise<void> {
    if (!this.#isLost) return;
    this.#held = undefined;
    await this.#hooks.onRevoked(true);
  }

  /** A generation begins: what is open is kept where nobody can have had it in between. */
  async #hold(generationId: number): Promise<void> {
    const before = this.#held?.generation;
    if (before !== undefined && (before.memberId !== this.#memberId || before.generationId + 1 !== generationId)) {
      this.#cluster.logger.warn(
        { groupId: before.groupId, from: before.generationId, to: generationId },
        'the group went on without this member in between, its tasks are dropped',
      );
      this.lose();
    }
    await this.#tellLoss();
    const losing = abortController();
    const { groupId } = this.#options;
    this.#held = { generation: { groupId, generationId, memberId: this.#memberId, lost: losing.signal }, losing };
    this.#state = 'stable';
  }

  async #leave(): Promise<void> {
    const memberId = this.#memberId;
    this.#memberId = '';
    if (memberId === '') return;
    const { groupId } = this.#options;
    await atMost(LEAVE_MS, this.#leaveCluster.sendToGroupCoordinator(groupId, leaveGroupRequest(groupId, memberId)));
  }

  /** One join and sync; undefined where it has to be tried again. */
  async #joinOnce(
    backoff: Backoff,
  ): Promise<{ readonly generationId: number; readonly assignment: Buffer } | undefined> {
    const { groupId } = this.#options;
    try {
      const joined = await this.#join(backoff);
      if (joined === undefined) return undefined;
      const { generationId, memberId } = joined;
      const assignments = joined.leader === memberId ? [...(await this.#hooks.assign(joined.members))] : [];
      const sync = await this.#unlessStopped(
        this.#cluster.sendToGroupCoordinator(
          groupId,
          syncGroupRequest(
            { groupId, generationId, memberId },
            assignments.map(([id, assignment]) => ({ memberId: id, assignment })),
            this.#options.maxPollIntervalMs + 10_000,
          ),
        ),
      );
      if (sync === undefined) return undefined;
      if (sync.errorCode === ErrorCode.NONE) return { generationId, assignment: sync.assignment };
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

  async #join(backoff: Backoff): Promise<JoinGroupResponse | undefined> {
    const { groupId, sessionTimeoutMs, maxPollIntervalMs, protocolName } = this.#options;
    const answer = await this.#unlessStopped(
      this.#cluster.sendToGroupCoordinator(
        groupId,
        joinGroupRequest({
          groupId,
          memberId: this.#memberId,
          sessionTimeoutMs,
          rebalanceTimeoutMs: maxPollIntervalMs,
          protocolType: 'consumer',
          protocols: [{ name: protocolName, metadata: this.#hooks.subscription() }],
        }),
      ),
    );
    if (answer === undefined) return undefined;
    if (answer.errorCode === ErrorCode.MEMBER_ID_REQUIRED) {
      this.#memberId = answer.memberId;
      return undefined;
    }
    if (answer.errorCode !== ErrorCode.NONE) {
      await this.#refused(answer.errorCode, 'Joining', backoff);
      return undefined;
    }
    this.#memberId = answer.memberId;
    return answer;
  }

  /** The broker may hold an answer back for minutes: a shutdown does not wait for it. */
  async #unlessStopped<T>(request: Promise<T>): Promise<T | undefined> {
    const answer = await Promise.race([request, this.#stopped]);
    if (answer === undefined) request.catch(() => undefined);
    return answer;
  }

  async #refused(errorCode: number, doing: string, backoff: Backoff): Promise<void> {
    const { groupId } = this.#options;
    switch (errorCode) {
      case ErrorCode.UNKNOWN_MEMBER_ID:
        // The group has gone on without this member: what it kept open may have been another's in between.
        this.#memberId = '';
        this.lose();
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
    this.#lastHeartbeatAnswer = monotonicMs();
    if (this.#heartbeatTimer !== undefined) return;
    this.#heartbeatTimer = setInterval(() => void this.#heartbeat(), this.#options.heartbeatIntervalMs);
    this.#heartbeatTimer.unref();
  }

  async #heartbeat(): Promise<void> {
    const held = this.#held;
    if (this.#state === 'unjoined' || held === undefined || this.#isLost) return;
    const { groupId, maxPollIntervalMs, sessionTimeoutMs } = this.#options;
    if (monotonicMs() - this.#lastProgress > maxPollIntervalMs) {
      this.#cluster.logger.warn(
        { groupId, maxPollIntervalMs },
        'no progress for maxPollIntervalMs, leaving the group; raise it, or do less between two turns',
      );
      this.lose();
      await this.#leave();
      return;
    }
    this.checkSession();
    if (this.#isLost || this.#heartbeatOut) return;
    this.#heartbeatOut = true;
    try {
      const request = heartbeatRequest(held.generation, sessionTimeoutMs / 3);
      const answer = await this.#cluster.sendToGroupCoordinator(groupId, request);
      // An answer to an earlier generation says nothing of this one.
      if (held !== this.#held) return;
      this.#lastHeartbeatAnswer = monotonicMs();
      this.#heartbeatAnswered(answer.errorCode);
    } catch (error) {
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
        this.requestRejoin();
        return;
      case ErrorCode.UNKNOWN_MEMBER_ID:
      case ErrorCode.ILLEGAL_GENERATION:
      case ErrorCode.FENCED_INSTANCE_ID:
        if (errorCode === ErrorCode.UNKNOWN_MEMBER_ID) this.#memberId = '';
        this.#cluster.logger.warn({ error: errorName(errorCode) }, 'lost the place in the group, joining anew');
        this.lose();
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
