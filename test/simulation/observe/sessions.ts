/**
 * Who has which task, by what members were told: a session is the time in which a process holds an input partition, from
 * the assignment that gave it to the moment in which the process knows that the group has gone on, or gives it up.
 */
import { decodeAssignment } from '../../../src/kafka/index.ts';
import type { Owner } from '../kernel/owner.ts';
import type { Message } from './wire.ts';

const SYNC_GROUP = 14;
const LEAVE_GROUP = 13;
const HEARTBEAT = 12;
const JOIN_GROUP = 11;
const OFFSET_COMMIT = 8;
/** The group waits for its members, this one among them. */
const REBALANCE_IN_PROGRESS = 27;
/** ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID: the group has gone on without this member. */
const FENCED = new Set([22, 25, 82]);

export interface Session {
  readonly owner: Owner;
  /** `topic/partition` of the input. */
  readonly source: string;
  readonly number: number;
  readonly beganUs: number;
  /** When the process knew that it had lost it; undefined: not lost. */
  lostUs: number | undefined;
  /** By the clock alone: the group may still say otherwise. */
  isPresumed: boolean;
  /** When it was given up in good order; undefined: not yet. */
  endedUs: number | undefined;
}

interface Holder {
  generation: number;
  readonly sessions: Map<string, Session>;
  /** The last word from the group that it is a member. */
  contactUs: number;
}

interface GroupAnswer {
  readonly errorCode?: number;
  readonly assignment?: Buffer;
  readonly generationId?: number;
  readonly topics?: readonly { readonly partitions: readonly { readonly errorCode: number }[] }[];
}

export class Sessions {
  /** By source: the session that began last. */
  readonly latest = new Map<string, Session>();
  readonly #holders = new Map<Owner, Holder>();
  readonly #now: () => number;
  readonly #sessionTimeoutUs: number;
  #numbers = 0;

  constructor(now: () => number, sessionTimeoutMs: number) {
    this.#now = now;
    this.#sessionTimeoutUs = sessionTimeoutMs * 1000;
  }

  /** The session in which a process has a source now, or had it last. */
  of(owner: Owner, source: string): Session | undefined {
    this.#checkClock(owner);
    return this.#holders.get(owner)?.sessions.get(source);
  }

  /** Whether something that a process had is another's now, or may be. */
  hasLost(owner: Owner): boolean {
    this.#checkClock(owner);
    const sessions = [...(this.#holders.get(owner)?.sessions ?? [])];
    return sessions.some(([source, session]) => session.lostUs !== undefined || this.latest.get(source) !== session);
  }

  /** To be given every message. */
  heard(message: Message): void {
    const { api, client, moment, kind } = message;
    if (kind === 'request' && moment === 'sent' && api.key === LEAVE_GROUP) this.#endAll(client);
    if (kind !== 'answer' || moment !== 'arrived') return;
    switch (api.key) {
      case JOIN_GROUP:
      case SYNC_GROUP:
      case HEARTBEAT:
      case OFFSET_COMMIT:
        this.#answered(message, message.body() as GroupAnswer);
    }
  }

  #answered({ api, client, request }: Message, answer: GroupAnswer): void {
    const holder = this.#holder(client);
    const asked = request() as { generationId?: number };
    // An answer to an earlier generation says nothing of this one.
    if (asked.generationId !== undefined && asked.generationId !== holder.generation) return;
    const codes =
      answer.errorCode !== undefined
        ? [answer.errorCode]
        : (answer.topics ?? []).flatMap((t) => t.partitions.map((p) => p.errorCode));
    if (codes.some((code) => FENCED.has(code))) {
      this.#lose(holder);
      return;
    }
    if (codes.some((code) => code !== 0 && code !== REBALANCE_IN_PROGRESS)) return;
    holder.contactUs = this.#now();
    // The group has not gone on without it, however long it heard nothing.
    if (api.key !== JOIN_GROUP)
      for (const session of holder.sessions.values())
        if (session.isPresumed) Object.assign(session, { lostUs: undefined, isPresumed: false });
    if (codes.includes(REBALANCE_IN_PROGRESS)) return;
    if (api.key === JOIN_GROUP) holder.generation = answer.generationId!;
    else if (api.key === SYNC_GROUP) this.#assigned(client, holder, answer.assignment!);
  }

  #assigned(owner: Owner, holder: Holder, assignment: Buffer): void {
    const sources = new Set(decodeAssignment(assignment).map(({ topic, partition }) => `${topic}/${partition}`));
    for (const [source, session] of holder.sessions) if (!sources.has(source)) session.endedUs ??= this.#now();
    for (const source of sources) {
      const known = holder.sessions.get(source);
      // It goes on where nobody else had it in between.
      if (
        known !== undefined &&
        known.lostUs === undefined &&
        known.endedUs === undefined &&
        this.latest.get(source) === known
      )
        continue;
      const session: Session = {
        owner,
        source,
        number: ++this.#numbers,
        beganUs: this.#now(),
        lostUs: undefined,
        isPresumed: false,
        endedUs: undefined,
      };
      holder.sessions.set(source, session);
      this.latest.set(source, session);
    }
  }

  #holder(owner: Owner): Holder {
    let holder = this.#holders.get(owner);
    if (holder === undefined)
      this.#holders.set(owner, (holder = { generation: -1, sessions: new Map(), contactUs: this.#now() }));
    return holder;
  }

  /** A member that has heard nothing for a session's time knows what that means, unless its clock is wrong. */
  #checkClock(owner: Owner): void {
    const holder = this.#holders.get(owner);
    if (holder === undefined || owner.paused || owner.clockOffsetMs !== 0) return;
    const dueUs = holder.contactUs + this.#sessionTimeoutUs;
    // While it was stopped, or at work, it could not look.
    if (this.#now() > dueUs) this.#lose(holder, Math.max(dueUs, owner.resumedUs, owner.busyUntilUs), true);
  }

  #lose({ sessions }: Holder, atUs = this.#now(), isPresumed = false): void {
    for (const session of sessions.values()) {
      if (session.endedUs !== undefined) continue;
      if (session.lostUs === undefined) session.isPresumed = isPresumed;
      else if (!isPresumed) session.isPresumed = false;
      session.lostUs ??= atUs;
    }
  }

  #endAll(owner: Owner): void {
    for (const session of this.#holder(owner).sessions.values()) session.endedUs ??= this.#now();
  }
}
