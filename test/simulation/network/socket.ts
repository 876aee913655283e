/**
 * A socket as `node:net` gives them, as far as driver and broker use it: flowing reads or `onread`, cork, pause, end,
 * destroy, keep-alive. What is not here is missing loudly. Node's order of events is kept: errors and ends in the next
 * tick, `close` in a turn of its own.
 */
import { EventEmitter } from 'node:events';
import type { KernelEvent } from '../kernel/event-heap.ts';
import { type Kernel, TURN_US } from '../kernel/kernel.ts';
import type { Owner } from '../kernel/owner.ts';
import type { End } from './connection.ts';
import { networkError } from './network-errors.ts';

export interface OnRead {
  readonly buffer: Uint8Array | (() => Uint8Array);
  callback(bytes: number, buffer: Uint8Array): boolean;
}

export interface SocketOptions {
  readonly onread?: OnRead;
  readonly allowHalfOpen?: boolean;
}

type WriteCallback = (error?: Error | null) => void;

/** Bytes with the process above which `write` returns false. */
const HIGH_WATER_MARK = 16 * 1024;

export class SimulatedSocket extends EventEmitter {
  readonly owner: Owner;
  connecting = true;
  destroyed = false;
  closed = false;
  remoteAddress: string | undefined;
  remotePort: number | undefined;
  localAddress: string | undefined;
  localPort: number | undefined;
  bytesRead = 0;
  bytesWritten = 0;
  readonly #kernel: Kernel;
  readonly #onRead: OnRead | undefined;
  readonly #allowHalfOpen: boolean;
  /** False for what came in at a server that has not heard of it. */
  readonly #isOwn: boolean;
  #end: End | undefined;
  /** Written before the connection stands. */
  #early: Buffer[] = [];
  #corked = 0;
  #batch: Buffer[] = [];
  #callbacks: WriteCallback[] = [];
  #needsDrain = false;
  /** Null: nobody has asked for data yet. */
  #flowing: boolean | null = null;
  #reading = false;
  #endRead = false;
  #ended = false;
  #keepAliveUs = 0;
  #idleMs = 0;
  /** A reset that came while nobody read: it is noticed with the next read or write. */
  #unnoticed: (() => void) | undefined;
  #idleTimer: KernelEvent | undefined;
  /** Called where the process lets go of the socket. */
  onReleased: () => void = () => {};

  /** @param incoming it belongs to a server, whose process has not heard of it */
  constructor(kernel: Kernel, { onread, allowHalfOpen = false }: SocketOptions = {}, incoming = false) {
    super();
    this.#kernel = kernel;
    this.owner = kernel.owner;
    this.#onRead = onread;
    this.#allowHalfOpen = allowHalfOpen;
    this.#isOwn = !incoming;
    if (onread !== undefined) this.#flowing = true;
  }

  get pending(): boolean {
    return this.connecting;
  }

  get writable(): boolean {
    return !this.destroyed && !this.#ended;
  }

  get writableLength(): number {
    return this.#end?.queuedBytes ?? this.#early.reduce((sum, part) => sum + part.length, 0);
  }

  get writableEnded(): boolean {
    return this.#ended;
  }

  get readyState(): string {
    if (this.connecting) return 'opening';
    return this.destroyed ? 'closed' : this.#ended ? 'readOnly' : 'open';
  }

  override on(event: string | symbol, listener: (...args: never[]) => void): this {
    super.on(event, listener as (...args: unknown[]) => void);
    if (event === 'data' && this.#flowing === null) this.resume();
    return this;
  }

  override addListener(event: string | symbol, listener: (...args: never[]) => void): this {
    return this.on(event, listener);
  }

  write(data: string | Uint8Array, encoding?: BufferEncoding | WriteCallback, callback?: WriteCallback): boolean {
    const done = typeof encoding === 'function' ? encoding : callback;
    const bytes =
      typeof data === 'string' ? Buffer.from(data, typeof encoding === 'string' ? encoding : 'utf8') : asBuffer(data);
    if (this.destroyed || this.#ended) {
      const error = Object.assign(
        new Error(this.destroyed ? 'Cannot call write after a stream was destroyed' : 'write after end'),
        {
          code: this.destroyed ? 'ERR_STREAM_DESTROYED' : 'ERR_STREAM_WRITE_AFTER_END',
        },
      );
      if (done !== undefined) process.nextTick(done, error);
      if (!this.destroyed) this.destroy(error);
      return false;
    }
    if (this.#endRead && !this.#allowHalfOpen) {
      const error = networkError('EPIPE', 'write');
      if (done !== undefined) process.nextTick(done, error);
      this.destroy(error);
      return false;
    }
    this.#touch();
    this.bytesWritten += bytes.length;
    if (done !== undefined) this.#callbacks.push(done);
    this.#batch.push(bytes);
    if (this.#corked === 0) this.#release();
    const full = this.writableLength >= HIGH_WATER_MARK;
    if (full) this.#needsDrain = true;
    return !full;
  }

  cork(): void {
    this.#corked++;
  }

  uncork(): void {
    if (this.#corked > 0 && --this.#corked === 0) this.#release();
  }

  end(
    data?: string | Uint8Array | (() => void),
    encoding?: BufferEncoding | (() => void),
    callback?: () => void,
  ): this {
    const done = [data, encoding, callback].find((argument) => typeof argument === 'function') as
      | (() => void)
      | undefined;
    if (data !== undefined && typeof data !== 'function')
      this.write(data, typeof encoding === 'string' ? encoding : undefined);
    if (done !== undefined) this.once('finish', done);
    if (this.#ended || this.destroyed) return this;
    this.#corked = 0;
    this.#release();
    this.#ended = true;
    if (!this.connecting) this.#finish();
    return this;
  }

  destroy(error?: Error | null): this {
    if (this.destroyed) return this;
    if (this.#kernel.mayAct(this.owner)) this.#end?.close();
    this.#gone(error ?? undefined);
    return this;
  }

  resetAndDestroy(): this {
    if (this.destroyed) return this;
    if (this.#kernel.mayAct(this.owner)) this.#end?.reset();
    this.#gone(undefined);
    return this;
  }

  destroySoon(): void {
    this.end();
    this.destroy();
  }

  pause(): this {
    this.#flowing = false;
    return this;
  }

  resume(): this {
    if (this.#flowing === true) return this;
    this.#flowing = true;
    process.nextTick(() => this.#read());
    return this;
  }

  isPaused(): boolean {
    return this.#flowing === false;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(enable = false, initialDelayMs = 0): this {
    this.#keepAliveUs = enable ? Math.max(initialDelayMs, 1) * 1000 : 0;
    if (this.#end !== undefined) this.#end.keepAliveUs = this.#keepAliveUs;
    return this;
  }

  /** Emits `timeout` after so long without activity. */
  setTimeout(ms: number, callback?: () => void): this {
    if (callback !== undefined) this.once('timeout', callback);
    this.#idleMs = ms;
    this.#touch();
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  address(): object {
    return { address: this.localAddress, port: this.localPort, family: 'IPv4' };
  }

  /** The connection stands: what was written before goes out. */
  connected(end: End, isClient: boolean): void {
    if (this.destroyed) {
      end.close();
      return;
    }
    this.#end = end;
    end.keepAliveUs = this.#keepAliveUs;
    this.connecting = false;
    if (isClient) {
      this.emit('connect');
      this.emit('ready');
    }
    for (const part of this.#early.splice(0)) end.write(part);
    if (this.#ended) this.#finish();
    this.#read();
  }

  /** The other end's bytes or its end are there. */
  readable(): void {
    this.#touch();
    this.#read();
  }

  /** Everything written is with the system. */
  flushed(): void {
    for (const callback of this.#callbacks.splice(0)) process.nextTick(callback, null);
    if (!this.#needsDrain) return;
    this.#needsDrain = false;
    process.nextTick(() => this.emit('drain'));
  }

  /** The other end has reset the connection; a system tells a process of it when the process next reads or writes. */
  reset(notice: () => void): void {
    if (this.#flowing === false) this.#unnoticed = notice;
    else notice();
  }

  /** The network has ended it. */
  failed(error: Error | undefined): void {
    if (this.destroyed) return;
    if (this.#isOwn || !this.connecting) {
      this.#gone(error);
      return;
    }
    // It came in and went before its process heard of it.
    this.destroyed = true;
    this.onReleased();
  }

  #release(): void {
    if (this.#batch.length === 0) return;
    const bytes = this.#batch.length === 1 ? this.#batch[0]! : Buffer.concat(this.#batch);
    this.#batch = [];
    if (!this.#kernel.mayAct(this.owner)) return;
    this.#notice();
    if (this.#end === undefined) this.#early.push(bytes);
    else this.#end.write(bytes);
  }

  #finish(): void {
    this.#end?.finish();
    process.nextTick(() => {
      this.emit('finish');
      if (this.#endRead) this.destroy();
    });
  }

  #notice(): void {
    const notice = this.#unnoticed;
    this.#unnoticed = undefined;
    notice?.();
  }

  #read(): void {
    if (this.#flowing === true) this.#notice();
    const end = this.#end;
    if (end === undefined || this.#reading || this.destroyed) return;
    this.#reading = true;
    try {
      while (this.#flowing === true && !this.destroyed && end.received.length > 0) {
        const bytes = end.received.shift()!;
        if (this.#onRead !== undefined) this.#handOver(end, this.#onRead, bytes);
        else {
          this.bytesRead += bytes.length;
          end.taken(bytes);
          this.emit('data', bytes);
        }
      }
    } finally {
      this.#reading = false;
    }
    if (!end.receivedFin || end.received.length > 0 || this.#endRead || this.destroyed || this.#flowing !== true)
      return;
    this.#endRead = true;
    process.nextTick(() => {
      if (this.destroyed) return;
      this.emit('end');
      if (this.#ended) this.destroy();
      else if (!this.#allowHalfOpen) this.end();
    });
  }

  #handOver(end: End, onRead: OnRead, bytes: Buffer): void {
    for (let from = 0; from < bytes.length && !this.destroyed; ) {
      const target = typeof onRead.buffer === 'function' ? onRead.buffer() : onRead.buffer;
      const part = bytes.subarray(from, from + target.length);
      target.set(part);
      from += part.length;
      this.bytesRead += part.length;
      end.taken(part);
      if (onRead.callback(part.length, target)) continue;
      this.pause();
      if (from < bytes.length) end.received.unshift(bytes.subarray(from));
      return;
    }
  }

  #gone(error: Error | undefined): void {
    this.destroyed = true;
    this.connecting = false;
    this.#kernel.cancel(this.#idleTimer);
    this.#early = [];
    this.#batch = [];
    const callbacks = this.#callbacks.splice(0);
    this.onReleased();
    process.nextTick(() => {
      for (const callback of callbacks) callback(error ?? networkError('ECONNRESET', 'write'));
      if (error !== undefined) this.emit('error', error);
    });
    this.#kernel.schedule(TURN_US, this.owner, 'io', () => {
      this.closed = true;
      this.emit('close', error !== undefined);
    });
  }

  #touch(): void {
    this.#kernel.cancel(this.#idleTimer);
    this.#idleTimer = undefined;
    if (this.#idleMs === 0 || this.destroyed) return;
    this.#idleTimer = this.#kernel.schedule(this.#idleMs * 1000, this.owner, 'io', () => this.emit('timeout'));
  }
}

function asBuffer(data: Uint8Array): Buffer {
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
