/**
 * The network between simulated machines, in the place of `node:net`: connecting, listening, cuts, partitions, and what
 * becomes of the sockets of a process that ends.
 */
import type { Kernel } from '../kernel/kernel.ts';
import type { Owner } from '../kernel/owner.ts';
import { Connection, End, type Tap } from './connection.ts';
import { httpReplacements } from './http.ts';
import { Links } from './links.ts';
import { networkError } from './network-errors.ts';
import { SimulatedServer } from './server.ts';
import { type OnRead, SimulatedSocket } from './socket.ts';

/** When Linux sends its SYN again, s after the first; after the last it gives up. */
const SYN_RETRIES_S = [1, 3, 7, 15, 31, 63];
const SYN_GIVES_UP_S = 127;
const FIRST_PORT = 40_000;

export interface ConnectOptions {
  readonly host?: string;
  readonly port: number;
  readonly onread?: OnRead;
  readonly allowHalfOpen?: boolean;
}

export class Network {
  readonly links = new Links();
  readonly connections = new Set<Connection>();
  /** Names of machines that are reached by an address of another name: `host:port`. */
  readonly aliases = new Map<string, string>();
  /** Who listens in. */
  tap: Tap | undefined;
  /** Machines without power: nobody answers there. */
  readonly #down = new Set<string>();
  readonly #kernel: Kernel;
  readonly #listening = new Map<string, SimulatedServer>();
  readonly #sockets = new Set<SimulatedSocket>();
  /** Ends on machines that lost their power, until those are back. */
  readonly #vanished = new Map<string, End[]>();
  #ports = FIRST_PORT;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** What takes the place of Node's functions. */
  replacements(): Record<string, Record<string, unknown>> {
    // connect(options, listener) and connect(port, host, listener)
    const connect = (first: ConnectOptions | number, second?: string | (() => void), third?: () => void) =>
      typeof first === 'number'
        ? this.connect({ port: first, ...(typeof second === 'string' ? { host: second } : {}) }, third)
        : this.connect(first, second as () => void);
    return {
      'node:http': httpReplacements(this.#kernel, this),
      'node:net': {
        connect,
        createConnection: connect,
        createServer: (first?: unknown, second?: unknown) =>
          new SimulatedServer(this.#kernel, this, (typeof first === 'function' ? first : second) as () => void),
      },
    };
  }

  connect(options: ConnectOptions, listener?: () => void): SimulatedSocket {
    const { host = this.#kernel.owner.machine, port } = options;
    const socket = new SimulatedSocket(this.#kernel, options);
    if (listener !== undefined) socket.once('connect', listener);
    this.#track(socket);
    if (this.#kernel.mayAct(socket.owner)) this.#syn(socket, host, port, 0);
    return socket;
  }

  /** Returns the port; undefined where another has it. */
  bind(server: SimulatedServer, host: string, port: number): number | undefined {
    const actual = port === 0 ? this.#ports++ : port;
    const name = `${host}:${actual}`;
    if (this.#listening.has(name)) return undefined;
    this.#listening.set(name, server);
    return actual;
  }

  unbind(server: SimulatedServer): void {
    for (const [name, other] of this.#listening) if (other === server) this.#listening.delete(name);
  }

  /** Sockets and servers that a process has open. */
  openOf(owner: Owner): { readonly sockets: SimulatedSocket[]; readonly servers: string[] } {
    return {
      sockets: [...this.#sockets].filter((socket) => socket.owner === owner),
      servers: [...this.#listening].filter(([, server]) => server.owner === owner).map(([name]) => name),
    };
  }

  /** The process is gone, its system closes what it had open: what the system had taken is still sent. */
  closeAll(owner: Owner): void {
    for (const [name, server] of this.#listening) if (server.owner === owner) this.#listening.delete(name);
    for (const end of this.#endsOf((end) => end.owner === owner)) end.close();
    for (const socket of this.#sockets) if (socket.owner === owner) this.#sockets.delete(socket);
  }

  /** The machine loses its power: nobody is told. Its processes are to be killed besides. */
  powerOff(machine: string): void {
    this.#down.add(machine);
    for (const [name, server] of this.#listening) if (server.owner.machine === machine) this.#listening.delete(name);
    const ends = this.#endsOf((end) => end.machine === machine);
    for (const end of ends) {
      end.vanish();
      end.peer.watch();
    }
    this.#vanished.set(machine, ends);
    for (const socket of this.#sockets) if (socket.owner.machine === machine) this.#sockets.delete(socket);
  }

  /** The machine is back: it knows nothing of its old connections and resets what comes in on them. */
  powerOn(machine: string): void {
    this.#down.delete(machine);
    for (const end of this.#vanished.get(machine) ?? []) {
      end.connection.holes.clear();
      end.connection.blockageChanged();
    }
    this.#vanished.delete(machine);
  }

  /** Whether packets between two machines vanish; one direction, or both. */
  block(from: string, to: string, blocked: boolean, direction: 'one-way' | 'both-ways' = 'both-ways'): void {
    this.links.of(from, to).blocked = blocked;
    if (direction === 'both-ways') this.links.of(to, from).blocked = blocked;
    this.#blockageChanged();
  }

  /** All links as at the start. Severed connections stay so. */
  heal(): void {
    this.links.reset();
    this.#blockageChanged();
  }

  #blockageChanged(): void {
    for (const connection of this.connections) connection.blockageChanged();
  }

  #endsOf(wanted: (end: End) => boolean): End[] {
    return [...this.connections]
      .flatMap(({ client, server }) => [client, server])
      .filter((end) => !end.closed && wanted(end));
  }

  #syn(socket: SimulatedSocket, host: string, port: number, attempt: number): void {
    const kernel = this.#kernel;
    const from = socket.owner.machine;
    const server = this.#listening.get(`${host}:${port}`);
    const to = this.aliases.get(`${host}:${port}`) ?? server?.owner.machine ?? host;
    const isLost = this.links.of(from, to).blocked || this.links.of(to, from).blocked || this.#down.has(to);
    if (isLost) {
      const [now, next] = [SYN_RETRIES_S[attempt - 1] ?? 0, SYN_RETRIES_S[attempt] ?? SYN_GIVES_UP_S];
      kernel.schedule((next - now) * 1e6, kernel.wire, 'io', () => {
        if (socket.destroyed || !socket.owner.alive) return;
        if (attempt < SYN_RETRIES_S.length) this.#syn(socket, host, port, attempt + 1);
        else this.#fail(socket, networkError('ETIMEDOUT', 'connect', host, port));
      });
      return;
    }
    const link = this.links.of(from, to);
    const random = kernel.random.of(`network ${from}>${to}`);
    const latencyUs = link.latencyUs + random.exponential(link.jitterUs);
    kernel.schedule(latencyUs, kernel.wire, 'io', () => {
      if (socket.destroyed || !socket.owner.alive) return;
      const listener = this.#listening.get(`${host}:${port}`);
      if (listener === undefined) this.#fail(socket, networkError('ECONNREFUSED', 'connect', host, port), latencyUs);
      else this.#establish(socket, listener, to, port, latencyUs);
    });
  }

  #fail(socket: SimulatedSocket, error: Error, delayUs = 0): void {
    this.#kernel.schedule(delayUs, socket.owner, 'io', () => socket.failed(error));
  }

  #establish(client: SimulatedSocket, listener: SimulatedServer, to: string, port: number, latencyUs: number): void {
    const kernel = this.#kernel;
    const from = client.owner.machine;
    const number = this.#ports++;
    const name = `${client.owner.name}>${to}:${port} #${number}`;
    const connection = new Connection({
      kernel,
      links: this.links,
      random: kernel.random.of(`connection ${from}>${to}`),
      tap: this.tap,
      name,
      port,
      onClosed: (closed) => this.connections.delete(closed),
    });
    const before = kernel.owner;
    kernel.owner = listener.owner;
    const server = new SimulatedSocket(kernel, {}, true);
    kernel.owner = before;
    this.#track(server);
    connection.client = new End(connection, client, client.owner, from);
    connection.server = new End(connection, server, listener.owner, to);
    connection.client.peer = connection.server;
    connection.server.peer = connection.client;
    Object.assign(client, { remoteAddress: to, remotePort: port, localAddress: from, localPort: number });
    Object.assign(server, { remoteAddress: from, remotePort: number, localAddress: to, localPort: port });
    this.connections.add(connection);
    kernel.schedule(latencyUs, client.owner, 'io', () => client.connected(connection.client, true));
    // The system accepts the connection; the process hears of it when it runs.
    kernel.schedule(2 * latencyUs, listener.owner, 'io', () => {
      if (connection.server.closed) return;
      listener.accepted(server);
      server.connected(connection.server, false);
    });
  }

  #track(socket: SimulatedSocket): void {
    this.#sockets.add(socket);
    socket.onReleased = () => this.#sockets.delete(socket);
  }
}
