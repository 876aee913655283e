/** A line between a client and a broker that a test can break in ways that neither end is told of. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { ISocketFactory } from 'kafkajs';
import { responseSocketFactory } from '../../src/kafka/response-socket.ts';

interface Line {
  readonly client: Socket;
  readonly broker: Socket;
  isDark: boolean;
  /** Of the requests that got through. */
  readonly apiKeys: number[];
}

/** Bytes as they came from one end, on their way to the other. */
export interface Piece {
  readonly from: 'client' | 'server';
  readonly bytes: Buffer;
  /** The connection that they came over. */
  readonly line: object;
  /** Sends them on. */
  pass(): void;
}

export class TcpProxy {
  readonly lines: Line[] = [];
  /** New connections are accepted and nothing more. */
  isDark = false;
  /** The next of these on any connection does not get through: its connection is cut, once. */
  cutAt: 'request' | 'answer' | undefined;
  /** Sees what comes from either end; where it returns true, it goes no further unless it is passed. */
  intercept: ((piece: Piece) => boolean) | undefined;
  /** What a broker answers comes a few bytes at a time, that long apart. */
  trickle: { readonly bytes: number; readonly everyMs: number } | undefined;
  readonly #server: Server;
  readonly #target: { readonly host: string; readonly port: number };

  private constructor(server: Server, target: { readonly host: string; readonly port: number }) {
    this.#server = server;
    this.#target = target;
    server.on('connection', (client) => this.#accept(client));
  }

  /**
   * @param address host:port of the broker
   * @param ownPort default: any that is free
   */
  static async start(address: string, ownPort = 0): Promise<TcpProxy> {
    const [host, port] = address.split(':');
    const server = createServer({ allowHalfOpen: false });
    server.listen(ownPort, '127.0.0.1');
    await once(server, 'listening');
    return new TcpProxy(server, { host: host!, port: Number(port) });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** For the kafkajs options: whatever address is asked for, the way leads through here. */
  get socketFactory(): ISocketFactory {
    return (options) => responseSocketFactory({ ...options, host: '127.0.0.1', port: this.port });
  }

  /** Connections that stand now swallow what is sent, in both directions, and stay open; new ones work. */
  goDark(): void {
    for (const line of this.lines) line.isDark = true;
  }

  /** What clients send is not read any more: it stays in their sockets, and in the system. */
  hold(): void {
    for (const { client } of this.lines) client.pause();
  }

  release(): void {
    for (const { client } of this.lines) client.resume();
  }

  close(): void {
    for (const { client, broker } of this.lines) {
      client.destroy();
      broker.destroy();
    }
    this.#server.close();
  }

  #cuts(at: 'request' | 'answer', { client, broker }: Line): boolean {
    if (this.cutAt !== at) return false;
    this.cutAt = undefined;
    client.destroy();
    broker.destroy();
    return true;
  }

  #accept(client: Socket): void {
    const broker = connect(this.#target);
    const line: Line = { client, broker, isDark: this.isDark, apiKeys: [] };
    this.lines.push(line);
    client.on('data', (bytes) => {
      if (line.isDark || this.#cuts('request', line)) return;
      // Enough for small requests, which come in one piece each.
      if (bytes.length > 6) line.apiKeys.push(bytes.readInt16BE(4));
      const pass = (): void => void broker.write(bytes);
      if (this.intercept?.({ from: 'client', bytes, line, pass }) !== true) pass();
    });
    broker.on('data', (bytes) => {
      if (line.isDark || this.#cuts('answer', line)) return;
      const pass = (): void => {
        if (this.trickle === undefined) client.write(bytes);
        else void trickle(client, bytes, this.trickle);
      };
      if (this.intercept?.({ from: 'server', bytes, line, pass }) !== true) pass();
    });
    client.on('error', () => undefined);
    broker.on('error', () => undefined);
    client.on('close', () => broker.end());
    broker.on('close', () => {
      if (!line.isDark) client.destroy();
    });
  }
}

async function trickle(to: Socket, bytes: Buffer, { bytes: most, everyMs }: { bytes: number; everyMs: number }) {
  for (let at = 0; at < bytes.length; at += most) {
    to.write(bytes.subarray(at, at + most));
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
