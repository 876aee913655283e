/**
 * A TCP connection between two machines: two ends, each with what its system still has to send. Bytes arrive in order,
 * later by the link's latency. Where a link is blocked, or the connection has a hole (a firewall that forgot it), what is
 * sent waits for a retransmission, and the system gives up after 924 s without an acknowledgement, as Linux does.
 */
import type { KernelEvent } from '../kernel/event-heap.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Owner } from '../kernel/owner.ts';
import type { Random } from '../kernel/random.ts';
import type { Links } from './links.ts';
import { networkError } from './network-errors.ts';
import type { SimulatedSocket } from './socket.ts';

/** Bytes on their way and not yet read by the receiver, at most: send buffer and receive window together. */
const WINDOW_BYTES = 256 * 1024;
/** Linux: 15 retransmissions (net.ipv4.tcp_retries2), µs. */
export const RETRANSMISSION_US = 924_600_000;
/** libuv sends ten probes, a second between two, after the idle time that was asked for; µs. */
const PROBES_US = 10_000_000;
const FIRST_RETRANSMISSION_US = 200_000;
const MAX_RETRANSMISSION_US = 120_000_000;
/** Bytes a µs. */
const BANDWIDTH = 100;

type Packet = { readonly kind: 'data'; readonly bytes: Buffer } | { readonly kind: 'fin' } | { readonly kind: 'reset' };

/** What bytes go through the network, for those who listen in. */
export interface Tap {
  /** The sender's system has taken them. */
  sent(from: End, bytes: Buffer): void;
  /** They reach the receiving process. */
  delivered(to: End, bytes: Buffer): void;
}

export class End {
  readonly connection: Connection;
  readonly owner: Owner;
  readonly machine: string;
  readonly socket: SimulatedSocket;
  peer!: End;
  /** What came and was not read yet. */
  received: Buffer[] = [];
  /** The peer has ended its side. */
  receivedFin = false;
  /** The process has closed its socket, or died: what still comes is answered with a reset. */
  closed = false;
  /** µs between activity and the first probe; 0: none are sent. */
  keepAliveUs = 0;
  /** Of the process, not taken by its system yet. */
  readonly #queue: Buffer[] = [];
  #queuedBytes = 0;
  #finQueued = false;
  #finSent = false;
  /** Sent and not yet read by the peer. */
  #unreadBytes = 0;
  #lastArrivalUs = 0;
  #lastActivityUs = 0;
  /** What waits for a retransmission. */
  #held: Packet[] = [];
  #heldSinceUs = 0;
  /** Bumped by a reset of this end: its system retransmits nothing any more. */
  #resets = 0;
  #givingUp: KernelEvent | undefined;

  constructor(connection: Connection, socket: SimulatedSocket, owner: Owner, machine: string) {
    this.connection = connection;
    this.socket = socket;
    this.owner = owner;
    this.machine = machine;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** The process writes; what the window has no room for stays with the process, and dies with it. */
  write(bytes: Buffer): void {
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    this.#flush();
  }

  /** Ends this side, behind what was written. */
  finish(): void {
    this.#finQueued = true;
    this.#flush();
  }

  /** The process is done with the socket: what its system has is still sent, what it has not is gone. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    // Unread bytes: the system tells the peer that they were lost.
    const unread = this.received.length > 0;
    this.received = [];
    if (unread) this.#send({ kind: 'reset' });
    else if (!this.#finSent) {
      this.#finSent = true;
      this.#send({ kind: 'fin' });
    }
    this.connection.closedOne();
  }

  /** Drops everything and resets the peer. */
  reset(): void {
    if (this.closed) return;
    this.closed = true;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.received = [];
    this.#held = [];
    this.#resets++;
    this.#send({ kind: 'reset' });
    this.connection.closedOne();
  }

  /** The machine lost its power: nothing is sent any more, nothing is answered. */
  vanish(): void {
    this.closed = true;
    this.received = [];
    this.#queue.length = 0;
    this.#held = [];
    this.stopWaiting();
    this.connection.holes.add(this.peer).add(this);
  }

  /** The connection is over for this end, by itself or by what the network did. */
  fail(error: Error | undefined): void {
    if (this.closed) return;
    this.closed = true;
    this.received = [];
    this.stopWaiting();
    this.connection.closedOne();
    this.connection.kernel.schedule(0, this.owner, 'io', () => this.socket.failed(error));
  }

  stopWaiting(): void {
    this.connection.kernel.cancel(this.#givingUp);
    this.#givingUp = undefined;
    this.#held = [];
  }

  /** The receiver has read: there is room for more. */
  #acknowledged(bytes: number): void {
    this.#unreadBytes -= bytes;
    this.#lastActivityUs = this.connection.kernel.nowUs;
    if (this.#queue.length > 0)
      this.connection.kernel.schedule(this.connection.latencyUs(this.peer), this.owner, 'io', () => this.#flush());
  }

  #flush(): void {
    if (this.closed) return;
    let wrote = false;
    while (this.#queue.length > 0 && this.#unreadBytes < WINDOW_BYTES) {
      const first = this.#queue[0]!;
      const room = WINDOW_BYTES - this.#unreadBytes;
      const part = first.length <= room ? first : first.subarray(0, room);
      if (part === first) this.#queue.shift();
      else this.#queue[0] = first.subarray(room);
      this.#queuedBytes -= part.length;
      this.#unreadBytes += part.length;
      // The process may use its buffer again once the system has the bytes.
      this.#send({ kind: 'data', bytes: Buffer.from(part) });
      wrote = true;
    }
    if (this.#queue.length > 0) return;
    if (this.#finQueued && !this.#finSent) {
      this.#finSent = true;
      this.#send({ kind: 'fin' });
    }
    if (wrote) this.socket.flushed();
  }

  #send(packet: Packet): void {
    const { connection } = this;
    this.#lastActivityUs = connection.kernel.nowUs;
    if (packet.kind === 'data') connection.tap?.sent(this, packet.bytes);
    if (connection.isBlocked(this)) this.#hold(packet);
    else {
      this.#transmit(packet);
      // Nobody will hear of its arrival.
      if (connection.isBlocked(this.peer)) this.#hold(undefined);
    }
  }

  #transmit(packet: Packet, delayUs = 0): void {
    const { kernel } = this.connection;
    const size = packet.kind === 'data' ? packet.bytes.length : 0;
    const arrival =
      Math.max(kernel.nowUs + delayUs + this.connection.latencyUs(this), this.#lastArrivalUs) + size / BANDWIDTH;
    this.#lastArrivalUs = Math.ceil(arrival);
    const { cuts } = this.connection;
    const resets = this.#resets;
    // A process that is gone has a system that answers for it.
    const owner = this.peer.owner.alive ? this.peer.owner : kernel.wire;
    kernel.schedule(this.#lastArrivalUs - kernel.nowUs, owner, 'io', () => {
      if (delayUs > 0 && this.#resets !== resets) return;
      // What was under way when the connection was cut is gone.
      if (this.connection.cuts === cuts) this.peer.#arrived(packet);
    });
  }

  #arrived(packet: Packet): void {
    this.#lastActivityUs = this.connection.kernel.nowUs;
    if (this.closed) {
      // Nobody is there to read it.
      if (packet.kind === 'data') this.#send({ kind: 'reset' });
      return;
    }
    if (packet.kind === 'reset') this.socket.reset(() => this.fail(networkError('ECONNRESET', 'read')));
    else if (packet.kind === 'fin') {
      this.receivedFin = true;
      this.socket.readable();
    } else {
      this.received.push(packet.bytes);
      this.socket.readable();
    }
  }

  /** To be called by the socket as it reads. */
  taken(bytes: Buffer): void {
    this.connection.tap?.delivered(this, bytes);
    this.peer.#acknowledged(bytes.length);
  }

  /** Waits for a retransmission to get through; undefined: for an acknowledgement only. */
  #hold(packet: Packet | undefined): void {
    const { kernel } = this.connection;
    if (packet !== undefined) this.#held.push(packet);
    if (this.#givingUp !== undefined) return;
    this.#heldSinceUs = kernel.nowUs;
    this.#givingUp = kernel.schedule(RETRANSMISSION_US, kernel.wire, 'io', () => {
      this.#givingUp = undefined;
      this.fail(networkError('ETIMEDOUT', 'read'));
    });
  }

  /** What was under way is lost, and nothing tells of it: acknowledgements are waited for. */
  lost(): void {
    if (!this.closed && this.#unreadBytes > 0) this.#hold(undefined);
  }

  /** A link has opened: the next retransmission gets through. */
  retry(): void {
    const { connection } = this;
    if (this.#givingUp === undefined || connection.isBlocked(this) || connection.isBlocked(this.peer)) return;
    connection.kernel.cancel(this.#givingUp);
    this.#givingUp = undefined;
    const held = this.#held;
    this.#held = [];
    const waited = connection.kernel.nowUs - this.#heldSinceUs;
    const delayUs = nextRetransmission(waited) - waited;
    for (const packet of held) this.#transmit(packet, delayUs);
    if (held.length > 0) connection.retransmits(delayUs);
  }

  /** Idle, and the other end unreachable: the probes find out, where they are sent. To be called when it becomes so. */
  watch(): void {
    const { connection, keepAliveUs } = this;
    if (keepAliveUs === 0 || this.closed) return;
    const { kernel } = connection;
    const dueUs = this.#lastActivityUs + keepAliveUs + PROBES_US;
    kernel.schedule(Math.max(dueUs - kernel.nowUs, PROBES_US), kernel.wire, 'io', () => {
      const isCutOff = connection.isBlocked(this) || connection.isBlocked(this.peer);
      // With something to retransmit no probes are sent.
      if (!isCutOff || this.#givingUp !== undefined) return;
      if (this.#lastActivityUs + keepAliveUs + PROBES_US > kernel.nowUs) this.watch();
      else this.fail(networkError('ETIMEDOUT', 'read'));
    });
  }
}

export interface ConnectionOptions {
  readonly kernel: Kernel;
  readonly links: Links;
  readonly random: Random;
  readonly tap: Tap | undefined;
  readonly name: string;
  readonly port: number;
  readonly onClosed: (connection: Connection) => void;
}

export class Connection {
  /** `client>server:port #number`, for histories. */
  readonly name: string;
  /** The server's. */
  readonly port: number;
  readonly kernel: Kernel;
  readonly tap: Tap | undefined;
  client!: End;
  server!: End;
  /** How often everything under way was lost. */
  cuts = 0;
  /** Ends whose packets vanish on this connection alone. */
  readonly holes = new Set<End>();
  readonly #links: Links;
  readonly #random: Random;
  readonly #onClosed: (connection: Connection) => void;

  constructor({ kernel, links, random, tap, name, port, onClosed }: ConnectionOptions) {
    this.kernel = kernel;
    this.#links = links;
    this.#random = random;
    this.tap = tap;
    this.name = name;
    this.port = port;
    this.#onClosed = onClosed;
  }

  latencyUs(from: End): number {
    const { latencyUs, jitterUs } = this.#links.of(from.machine, from.peer.machine);
    return latencyUs + this.#random.exponential(jitterUs);
  }

  isBlocked(from: End): boolean {
    return this.holes.has(from) || this.#links.of(from.machine, from.peer.machine).blocked;
  }

  closedOne(): void {
    if (this.client.closed && this.server.closed) this.#onClosed(this);
  }

  /** Something between the ends resets them; what is under way is lost. */
  cut(which: 'client' | 'server' | 'both'): void {
    this.cuts++;
    if (which !== 'server') this.client.fail(networkError('ECONNRESET', 'read'));
    if (which !== 'client') this.server.fail(networkError('ECONNRESET', 'read'));
    // The other end learns of it by a reset to what it sends next.
  }

  /** Nobody resets anything: bytes vanish from now on. */
  sever(): void {
    this.cuts++;
    this.holes.add(this.client).add(this.server);
    for (const end of [this.client, this.server]) {
      end.lost();
      end.watch();
    }
  }

  retransmits(delayUs: number): void {
    this.#links.retransmissions++;
    this.kernel.schedule(delayUs, this.kernel.wire, 'io', () => this.#links.retransmissions--);
  }

  blockageChanged(): void {
    for (const end of [this.client, this.server]) {
      end.retry();
      if (this.isBlocked(end) || this.isBlocked(end.peer)) end.watch();
    }
  }
}

/** µs after the first try at which a retransmission comes next: 0.2 s, doubling, 120 s at most. */
function nextRetransmission(waitedUs: number): number {
  let at = 0;
  for (let step = FIRST_RETRANSMISSION_US; at <= waitedUs; step = Math.min(step * 2, MAX_RETRANSMISSION_US)) at += step;
  return at;
}
