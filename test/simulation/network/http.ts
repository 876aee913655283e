/**
 * HTTP between simulated machines, in the place of `node:http`: whole messages, one a connection, as far as the schema
 * registry and its client use it. What goes over the simulated network is a message's fields, not HTTP's own bytes.
 */
import { EventEmitter } from 'node:events';
import type { Kernel } from '../kernel/kernel.ts';
import type { Network } from './network.ts';
import { networkError } from './network-errors.ts';
import { SimulatedServer } from './server.ts';
import type { SimulatedSocket } from './socket.ts';

const SIZE_BYTES = 4;

interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

interface WireRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface WireResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

type Handler = (request: IncomingRequest, response: OutgoingResponse) => void;

export function httpReplacements(kernel: Kernel, network: Network): Record<string, unknown> {
  return {
    request: (url: URL, options: RequestOptions, callback: (response: IncomingResponse) => void) =>
      new OutgoingRequest(network, url, options, callback),
    createServer: (handler: Handler) => new HttpServer(kernel, network, handler),
  };
}

/** Calls back with each message that comes in whole. */
function onMessage(socket: SimulatedSocket, receive: (message: unknown) => void): void {
  let bytes = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= SIZE_BYTES && bytes.length >= SIZE_BYTES + bytes.readInt32BE(0)) {
      const end = SIZE_BYTES + bytes.readInt32BE(0);
      const text = bytes.toString('utf8', SIZE_BYTES, end);
      bytes = bytes.subarray(end);
      receive(JSON.parse(text));
    }
  });
}

function send(socket: SimulatedSocket, message: WireRequest | WireResponse): void {
  const body = Buffer.from(JSON.stringify(message));
  const size = Buffer.alloc(SIZE_BYTES);
  size.writeInt32BE(body.length);
  socket.write(Buffer.concat([size, body]));
}

class IncomingResponse extends EventEmitter {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor({ status, headers }: WireResponse) {
    super();
    this.statusCode = status;
    this.headers = headers;
  }
}

class OutgoingRequest extends EventEmitter {
  readonly #network: Network;
  readonly #url: URL;
  readonly #options: RequestOptions;
  readonly #callback: (response: IncomingResponse) => void;
  #socket: SimulatedSocket | undefined;
  #done = false;

  constructor(network: Network, url: URL, options: RequestOptions, callback: (response: IncomingResponse) => void) {
    super();
    this.#network = network;
    this.#url = url;
    this.#options = options;
    this.#callback = callback;
  }

  end(body = ''): void {
    const { method = 'GET', headers = {}, signal } = this.#options;
    const { hostname, port, pathname, search } = this.#url;
    const socket = this.#network.connect({ host: hostname, port: Number(port || 80) });
    this.#socket = socket;
    socket.once('connect', () => send(socket, { method, path: pathname + search, headers, body }));
    socket.on('error', (error: Error) => this.#fail(error));
    socket.on('close', () =>
      this.#fail(Object.assign(new Error('socket hang up'), networkError('ECONNRESET', 'read'))),
    );
    onMessage(socket, (message) => this.#answered(message as WireResponse));
    if (signal?.aborted === true) this.#abort(signal);
    else signal?.addEventListener('abort', () => this.#abort(signal), { once: true });
  }

  destroy(error?: Error): this {
    if (error !== undefined) this.#fail(error);
    this.#done = true;
    this.#socket?.destroy();
    return this;
  }

  #abort(signal: AbortSignal): void {
    const error = Object.assign(new Error('The operation was aborted', { cause: signal.reason }), {
      name: 'AbortError',
    });
    this.destroy(error);
  }

  #answered(message: WireResponse): void {
    if (this.#done) return;
    this.#done = true;
    const response = new IncomingResponse(message);
    this.#callback(response);
    this.#socket!.destroy();
    process.nextTick(() => {
      response.emit('data', Buffer.from(message.body));
      response.emit('end');
    });
  }

  #fail(error: Error): void {
    if (this.#done) return;
    this.#done = true;
    process.nextTick(() => this.emit('error', error));
  }
}

class IncomingRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly #body: string;

  constructor({ method, path, headers, body }: WireRequest) {
    this.method = method;
    this.url = path;
    this.headers = headers;
    this.#body = body;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Buffer> {
    if (this.#body !== '') yield Buffer.from(this.#body);
  }
}

class OutgoingResponse {
  readonly #socket: SimulatedSocket;
  #status = 200;
  #headers: Record<string, string> = {};

  constructor(socket: SimulatedSocket) {
    this.#socket = socket;
  }

  setHeader(name: string, value: string): void {
    this.#headers[name] = value;
  }

  writeHead(status: number, headers: Readonly<Record<string, string>>): void {
    this.#status = status;
    this.#headers = { ...this.#headers, ...headers };
  }

  end(body = ''): void {
    send(this.#socket, { status: this.#status, headers: this.#headers, body });
    this.#socket.end();
  }
}

class HttpServer extends SimulatedServer {
  constructor(kernel: Kernel, network: Network, handler: Handler) {
    super(kernel, network, (socket) => {
      socket.on('error', () => {});
      onMessage(socket, (message) =>
        handler(new IncomingRequest(message as WireRequest), new OutgoingResponse(socket)),
      );
    });
  }

  closeAllConnections(): void {
    for (const socket of this.sockets) socket.destroy();
  }
}
