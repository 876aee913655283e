/** A listening socket as `node:net` gives them. */
import { EventEmitter } from 'node:events';
import { type Kernel, TURN_US } from '../kernel/kernel.ts';
import type { Owner } from '../kernel/owner.ts';
import type { Network } from './network.ts';
import { networkError } from './network-errors.ts';
import type { SimulatedSocket } from './socket.ts';

export class SimulatedServer extends EventEmitter {
  readonly owner: Owner;
  listening = false;
  readonly sockets = new Set<SimulatedSocket>();
  readonly #kernel: Kernel;
  readonly #network: Network;
  #host = '';
  #port = 0;
  #closing = false;

  constructor(kernel: Kernel, network: Network, onConnection?: (socket: SimulatedSocket) => void) {
    super();
    this.#kernel = kernel;
    this.#network = network;
    this.owner = kernel.owner;
    if (onConnection !== undefined) this.on('connection', onConnection);
  }

  listen(port: number, host?: string | (() => void), callback?: () => void): this {
    const name = typeof host === 'string' ? host : this.owner.machine;
    const done = typeof host === 'function' ? host : callback;
    if (done !== undefined) this.once('listening', done);
    const actual = this.#network.bind(this, name, port);
    if (actual === undefined) {
      process.nextTick(() => this.emit('error', networkError('EADDRINUSE', 'listen', name, port)));
      return this;
    }
    this.#host = name;
    this.#port = actual;
    this.listening = true;
    process.nextTick(() => this.emit('listening'));
    return this;
  }

  address(): object | null {
    return this.listening ? { address: this.#host, port: this.#port, family: 'IPv4' } : null;
  }

  /** No new connections; `close` and the callback come when the last one has ended. */
  close(callback?: (error?: Error) => void): this {
    if (!this.listening) {
      if (callback !== undefined) process.nextTick(callback, new Error('Server is not running.'));
      return this;
    }
    if (callback !== undefined) this.once('close', callback);
    this.listening = false;
    this.#network.unbind(this);
    this.#closing = true;
    this.#closedOne();
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  /** A connection has come, in an event of this server's process. */
  accepted(socket: SimulatedSocket): void {
    this.sockets.add(socket);
    socket.once('close', () => {
      this.sockets.delete(socket);
      this.#closedOne();
    });
    this.emit('connection', socket);
  }

  #closedOne(): void {
    if (!this.#closing || this.sockets.size > 0) return;
    this.#closing = false;
    this.#kernel.schedule(TURN_US, this.owner, 'io', () => this.emit('close'));
  }
}
