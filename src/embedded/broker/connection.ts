/**
 * A client's connection: frames in, answers out, one request at a time and in order, as Kafka has it. A frame that is not
 * what it says closes this connection and no other; memory grows with what came in, never with what a frame claims.
 *
 *     size int32 | api key int16 | api version int16 | correlation id int32 | client id string | [tags] | body
 */
import type { Socket } from 'node:net';
import { messageOf } from '../../errors.ts';
import { ErrorCode } from '../../kafka/index.ts';
import type { AnyApi } from './api.ts';
import { apiVersionsFallback, findApi } from './apis/index.ts';
import type { EmbeddedBroker } from './embedded-broker.ts';
import type { FaultAction, RequestSource } from './faults.ts';
import { isStorageFault } from './storage.ts';
import { FrameReader, FrameWriter, int16, int32, MalformedRequestError, nullableString } from './wire-types.ts';

/** socket.request.max.bytes */
const MAX_REQUEST_BYTES = 100 * 1024 * 1024;
const SIZE_BYTES = 4;
const API_VERSIONS = 18;
/** What may be asked for before the login. */
const BEFORE_LOGIN = new Set([17, API_VERSIONS, 36]);

export class Connection {
  /** The user, once the login has passed; undefined before. */
  user: string | undefined;
  /** The mechanism a handshake has agreed on. */
  mechanism: string | undefined;
  readonly #broker: EmbeddedBroker;
  readonly #socket: Socket;
  readonly #node: number;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #frames: Buffer[] = [];
  #busy = false;
  #isHalfOpen = false;
  #onClose: (() => void)[] = [];

  /** @param node the node that the client is connected to */
  constructor(broker: EmbeddedBroker, socket: Socket, node = 1) {
    this.#broker = broker;
    this.#socket = socket;
    this.#node = node;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#received(chunk));
    socket.on('error', () => this.close());
    socket.on('close', () => {
      for (const run of this.#onClose.splice(0)) run();
    });
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  get clientHost(): string {
    return `/${this.#socket.remoteAddress ?? '127.0.0.1'}`;
  }

  /** Calls back when the connection ends; returns how to forget it. */
  onClose(run: () => void): () => void {
    this.#onClose.push(run);
    return () => {
      this.#onClose = this.#onClose.filter((other) => other !== run);
    };
  }

  close(): void {
    this.#socket.destroy();
  }

  #received(chunk: Buffer): void {
    if (this.#isHalfOpen) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= SIZE_BYTES) {
      const first = this.#chunks[0]!.length >= SIZE_BYTES ? this.#chunks[0]! : this.#join();
      const size = first.readInt32BE(0);
      if (size < 8 || size > MAX_REQUEST_BYTES) {
        this.#broker.logger.warn({ bytes: size }, 'a frame of a size that no request has, closing the connection');
        this.close();
        return;
      }
      if (this.#bytes < SIZE_BYTES + size) break;
      const all = this.#join();
      this.#frames.push(all.subarray(SIZE_BYTES, SIZE_BYTES + size));
      const rest = all.subarray(SIZE_BYTES + size);
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#bytes = rest.length;
    }
    if (!this.#busy) void this.#work();
  }

  #join(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!;
  }

  async #work(): Promise<void> {
    this.#busy = true;
    // What waits here is not read from the socket: a client that asks faster than it is answered is held back.
    this.#socket.pause();
    try {
      for (let frame = this.#frames.shift(); frame !== undefined && this.isOpen; frame = this.#frames.shift())
        if (!this.#isHalfOpen) await this.#answer(frame);
    } catch (error) {
      const level = error instanceof MalformedRequestError ? 'warn' : 'error';
      this.#broker.logger[level]({ error: messageOf(error) }, 'a request cannot be answered, closing its connection');
      this.close();
    } finally {
      this.#busy = false;
      this.#socket.resume();
    }
  }

  async #answer(frame: Buffer): Promise<void> {
    const head = new FrameReader(frame, 0, 0, false);
    const apiKey = int16.read(head);
    const version = int16.read(head);
    const correlationId = int32.read(head);
    const clientId = nullableString.read(head);
    const api = findApi(apiKey);
    if (apiKey === API_VERSIONS && (version < 0 || version > api!.maxVersion)) {
      this.#write(apiVersionsFallback(correlationId));
      return;
    }
    if (api === undefined || version < api.minVersion || version > api.maxVersion) {
      // Kafka closes such a connection as well: without the version there is no answer that the client could read.
      throw new MalformedRequestError(`API ${api?.name ?? apiKey} version ${version} is not supported`);
    }
    if (this.#broker.requiresLogin && this.user === undefined && !BEFORE_LOGIN.has(apiKey))
      throw new MalformedRequestError(`${api.name} before the login`);
    const flexible = version >= api.flexibleFrom;
    const body = new FrameReader(frame, head.position, version, flexible);
    body.skipTags();
    await this.#handle(api, api.request.read(body), { correlationId, clientId, version, flexible });
  }

  async #handle(
    api: AnyApi,
    request: unknown,
    head: {
      readonly correlationId: number;
      readonly clientId: string | null;
      readonly version: number;
      readonly flexible: boolean;
    },
  ): Promise<void> {
    const { clientId, version } = head;
    const node = this.#node;
    const fault = this.#metFault(api, request, { clientId, version, node });
    if (fault?.kind === 'disconnect') return this.close();
    if (fault?.kind === 'half-open' && fault.handled !== true) return this.#fallSilent();
    if (fault?.kind === 'delay-request') await this.#pause(fault.ms);
    if (fault?.kind === 'run' && fault.when !== 'after') await this.#run(fault.run);
    if (!this.isOpen) return;
    let response: unknown;
    if (fault?.kind === 'error') response = api.fail(request, fault.code, version);
    else {
      try {
        response = await api.handle(request, { broker: this.#broker, connection: this, node, version, clientId });
      } catch (error) {
        if (error instanceof MalformedRequestError) throw error;
        this.#broker.logger.error({ api: api.name, error: messageOf(error) }, 'a request failed unexpectedly');
        const code = isStorageFault(error) ? ErrorCode.KAFKA_STORAGE_ERROR : ErrorCode.UNKNOWN_SERVER_ERROR;
        response = api.fail(request, code, version);
      }
    }
    if (fault?.kind === 'lose-response') return this.close();
    if (fault?.kind === 'half-open') return this.#fallSilent();
    if (fault?.kind === 'run' && fault.when === 'after') await this.#run(fault.run);
    if (fault?.kind === 'delay') await this.#pause(fault.ms);
    if (fault?.kind === 'throttle') response = { ...(response as object), throttleTimeMs: fault.ms };
    if (response === undefined || !this.isOpen) return;
    const writer = new FrameWriter(version, head.flexible);
    int32.write(writer, head.correlationId);
    // The header of ApiVersions stays as it was, so that any client can read it (KIP-511).
    if (api.key !== API_VERSIONS) writer.tags();
    api.response.write(writer, response);
    this.#write(writer.parts());
  }

  #metFault(api: AnyApi, request: unknown, source: RequestSource): FaultAction | undefined {
    try {
      return this.#broker.faults.meet(api.name, request, source);
    } catch (error) {
      surface(error);
      return undefined;
    }
  }

  async #run(run: () => void | Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      surface(error);
    }
  }

  /** From now on nothing comes in and nothing goes out, and nobody is told. */
  #fallSilent(): void {
    this.#isHalfOpen = true;
    this.#chunks = [];
    this.#frames = [];
  }

  /** Waits, unless the connection ends before. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const forget = this.onClose(() => {
        clearTimeout(timer);
        resolve();
      });
      const timer = setTimeout(() => {
        forget();
        resolve();
      }, ms);
    });
  }

  #write(parts: readonly Buffer[]): void {
    const size = Buffer.alloc(SIZE_BYTES);
    size.writeInt32BE(parts.reduce((sum, part) => sum + part.length, 0));
    this.#socket.cork();
    this.#socket.write(size);
    for (const part of parts) this.#socket.write(part);
    this.#socket.uncork();
  }
}

/** What a test's own function throws is the test's to see, not the client's: it becomes an unhandled rejection. */
function surface(error: unknown): void {
  void Promise.reject(error);
}
