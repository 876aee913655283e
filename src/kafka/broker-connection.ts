/**
 * One connection to a broker, on kafkajs: socket, TLS, SASL and the exchange of API versions are its work; requests and
 * answers are ours, as bytes. It is made for one use: what broke, or did not answer in time, is destroyed with everything
 * that waits on it and never connected again, since kafkajs' own state does not survive that (half a response stays, an
 * ended connection counts as connected while it is being given up).
 *
 * With connections.ts the only file that touches kafkajs' inside; `test/kafka/connections.test.ts` names what they rely on.
 */
import type { Socket } from 'node:net';
import { ByteWriter } from '../bytes.ts';
import { messageOf } from '../errors.ts';
import { monotonicMs } from '../monotonic.ts';
import { ErrorCode, KafkaAuthenticationError, KafkaConnectionError, KafkaError, KafkaProtocolError } from './errors.ts';
import type { ApiRequest } from './requests/request.ts';
import { resetSocket } from './response-socket.ts';
import { WireReader, writeString } from './wire.ts';

interface Connection {
  readonly clientId: string;
  readonly sasl: object | null | undefined;
  readonly socket: Socket | undefined;
  readonly requestQueue: RequestQueue;
  readonly authHandlers: { onError(): void } | null;
  isAuthenticated(): boolean;
  connect(): Promise<unknown>;
  /** Does nothing without SASL, or within the session's lifetime. */
  authenticate(): Promise<void>;
  nextCorrelationId(): number;
  rejectRequests(error: Error): void;
  /** What came in and is not yet a whole response. */
  chunks: Buffer[];
  processData(data: Buffer): void;
}

interface RequestQueue {
  readonly pending: readonly unknown[];
  /** ms since the epoch; what is pushed before waits. */
  throttledUntil: number;
  push(request: object): void;
  /** Holds later requests back (KIP-219). */
  maybeThrottle(throttleTimeMs: number): void;
  scheduleCheckPendingRequests(): void;
  /** Ends its timers. */
  destroy(): void;
}

interface Broker {
  /** By API key, once connected. */
  readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>> | null;
  connect(): Promise<void>;
}

/** What of kafkajs makes connections. */
export interface KafkajsCluster {
  readonly connectionPoolBuilder: {
    /** @param destination left out: the next of the configured addresses */
    build(destination?: object): Promise<{ readonly pool: readonly Connection[] }>;
  };
  readonly brokerPool: { createBroker(options: object): Broker };
  readonly rootLogger: object;
}

export interface BrokerConnectionOptions {
  readonly cluster: KafkajsCluster;
  /** Undefined: the next of the configured addresses. */
  readonly address: { readonly host: string; readonly port: number; readonly rack: string | null } | undefined;
  /** The address, for messages. */
  readonly where: string;
  /** ms in which the connection must stand: TCP, TLS, API versions, login. */
  readonly openMs: number;
  /** ms in which a login must be renewed. */
  readonly authenticationMs: number;
  /** ms in which an answer must begin to come, besides what the broker may hold it back. */
  readonly requestMs: number;
}

/** An answer that comes slowly is waited for as long as bytes come, this many times its time at most. */
const MOST_EXTENSIONS = 10;
/** A timer that is this late, ms, had to wait for the thread. */
const HELD_UP_MS = 100;
/** A timer cannot be set for longer; max.poll.interval.ms, and with it a JoinGroup, may be. */
const MOST_TIMER_MS = 2 ** 31 - 1;

export class BrokerConnection {
  readonly #options: BrokerConnectionOptions;
  #connection: Connection | undefined;
  #broker: Broker | undefined;
  #opening: Promise<void> | undefined;
  #isOpen = false;
  #death: KafkaError | undefined;
  #throttleMs = 0;
  /** The correlation ids of what was sent and has no answer yet, in order. */
  readonly #unanswered = new Set<number>();
  #onDeath: ((error: KafkaError) => void)[] = [];

  constructor(options: BrokerConnectionOptions) {
    this.#options = options;
  }

  /** It stands and can be sent to. */
  get isOpen(): boolean {
    return this.#isOpen && this.#death === undefined;
  }

  /** It broke, or was destroyed: make another. */
  get isDead(): boolean {
    return this.#death !== undefined;
  }

  get bytesRead(): number {
    return this.#connection?.socket?.bytesRead ?? 0;
  }

  /**
   * @throws KafkaConnectionError it broke, or no answer came in time: the connection is dead, and so is all that waited on it
   * @throws KafkaAuthenticationError the login was refused
   */
  async send<T>(request: ApiRequest<T>): Promise<T> {
    if (!this.#isOpen) await (this.#opening ??= this.#open());
    if (this.#death !== undefined) throw this.#death;
    const connection = this.#connection!;
    if (connection.sasl != null && !connection.isAuthenticated()) await this.#authenticate(connection);
    this.#checkVersion(request);
    try {
      return await this.#exchange(connection, request);
    } catch (error) {
      throw translate(error, this.#options.where);
    }
  }

  /** Ends it; what waits fails. What the system has taken may still be sent. */
  destroy(why: string): void {
    this.#die(new KafkaConnectionError(`The connection to ${this.#options.where} is closed (${why}).`), false);
  }

  /** Ends it; what waits fails, and what was not yet sent is never delivered, even where the system had taken it. */
  reset(why: string): void {
    this.#die(new KafkaConnectionError(`The connection to ${this.#options.where} was reset (${why}).`), true);
  }

  async #open(): Promise<void> {
    const { openMs, where } = this.#options;
    try {
      await this.#within(openMs, 'connecting', this.#connect());
      this.#isOpen = true;
    } catch (error) {
      // A login that was refused leaves kafkajs' socket open.
      this.#die(translate(error, where), false);
      throw this.#death;
    }
  }

  async #connect(): Promise<void> {
    const { cluster, address } = this.#options;
    const connectionPool = await cluster.connectionPoolBuilder.build(address);
    if (this.#death !== undefined) throw this.#death;
    // A pool has two connections, for Fetch and for all else; each of ours is a pool's first.
    const connection = connectionPool.pool[0]!;
    takeWholeResponses(connection);
    restWithoutRequests(connection.requestQueue);
    this.#refuseWhenDead(connection);
    this.#connection = connection;
    this.#broker = cluster.brokerPool.createBroker({ connectionPool, logger: cluster.rootLogger, nodeId: null });
    await this.#broker.connect();
    const { socket } = connection;
    for (const event of ['end', 'close', 'error'])
      socket!.once(event, (error?: unknown) =>
        this.#die(error instanceof Error ? translate(error, this.#options.where) : this.#closed(), false),
      );
    if (socket!.destroyed) throw this.#closed();
  }

  /** It may die before kafkajs has made its socket: that one would be nobody's. */
  #refuseWhenDead(connection: Connection): void {
    const { connect } = connection;
    connection.connect = () => (this.#death === undefined ? connect.call(connection) : Promise.reject(this.#death));
  }

  async #authenticate(connection: Connection): Promise<void> {
    try {
      await this.#within(this.#options.authenticationMs, 'renewing the login', connection.authenticate());
    } catch (error) {
      this.#die(translate(error, this.#options.where), false);
      throw this.#death;
    }
  }

  /** Not for each request: every call leaves something behind until the connection ends. */
  #within(ms: number, what: string, step: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#die(this.#overdue(what, ms), false), ms);
      this.#onDeath.push((error) => {
        clearTimeout(timer);
        reject(error);
      });
      step.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  #checkVersion({ apiKey, apiVersion, apiName }: ApiRequest<unknown>): void {
    const has = this.#broker!.versions?.[apiKey];
    if (has !== undefined && apiVersion >= has.minVersion && apiVersion <= has.maxVersion) return;
    throw new KafkaProtocolError(
      ErrorCode.UNSUPPORTED_VERSION,
      `${apiName} version ${apiVersion} at ${this.#options.where}`,
      {},
      `The broker has ${has === undefined ? 'no version of it' : `versions ${has.minVersion} to ${has.maxVersion}`}: use Kafka 3.6 or later.`,
    );
  }

  /**
   * What kafkajs' `Connection#send` does, but for its two copies of the body: header and parts go to the socket as they
   * are. kafkajs' own time-outs are off: they leave the socket open, and cannot be shorter than its default.
   *
   *     size int32 | api key int16 | api version int16 | correlation id int32 | client id string | [tags] | body
   */
  async #exchange<T>(connection: Connection, request: ApiRequest<T>): Promise<T> {
    const { apiKey, apiVersion, apiName } = request;
    const correlationId = connection.nextCorrelationId();
    const parts = partsOf(request);
    const header = new ByteWriter(64).int32(0).int16(apiKey).int16(apiVersion).int32(correlationId);
    writeString(header, connection.clientId);
    if (request.flexible === true) header.int8(0);
    const bodyBytes = parts.reduce((sum, part) => sum + part.length, 0);
    header.buffer.writeInt32BE(header.position - 4 + bodyBytes, 0);
    const watch = new AnswerWatch(
      () => connection.socket!.bytesRead,
      request.timeoutMs ?? (request.holdMs ?? 0) + this.#options.requestMs,
      // What the request asks for is asked again elsewhere: once the network is back, the system must not deliver it late.
      (ms) => this.#die(this.#overdue(apiName, ms), true),
    );
    const queue = connection.requestQueue;
    // The clock was set back: the broker did not ask for that long.
    if (queue.throttledUntil - Date.now() > this.#throttleMs) queue.throttledUntil = -1;
    try {
      const { payload } = await new Promise<{ payload: Buffer }>((resolve, reject) => {
        queue.push({
          entry: { apiKey, apiName, apiVersion, correlationId, resolve, reject },
          expectResponse: true,
          requestTimeout: null,
          sendRequest: () => {
            this.#unanswered.add(correlationId);
            const socket = connection.socket!;
            socket.cork();
            socket.write(header.copy());
            for (const part of parts) socket.write(part);
            socket.uncork();
            // From here: a request that the broker asked to hold back is not late.
            watch.start();
          },
        });
      });
      this.#checkOrder(correlationId);
      const reader = new WireReader(payload);
      if (request.flexible === true) reader.skipTags();
      const answer = request.read(reader);
      this.#throttle(queue, (answer as { throttleTimeMs?: number }).throttleTimeMs ?? 0);
      return answer;
    } finally {
      watch.stop();
    }
  }

  /**
   * A broker answers in the order of the requests, so that an answer that was passed over will not come: its request must
   * not wait for as long as bytes of other answers come.
   */
  #checkOrder(correlationId: number): void {
    const [first] = this.#unanswered;
    this.#unanswered.delete(correlationId);
    if (first !== correlationId) this.reset('an answer came before that of an earlier request');
  }

  /** The longest that was asked for and is not over. */
  #throttle(queue: RequestQueue, ms: number): void {
    this.#throttleMs = queue.throttledUntil > Date.now() ? Math.max(this.#throttleMs, ms) : ms;
    queue.maybeThrottle(ms);
  }

  #closed(): KafkaConnectionError {
    return new KafkaConnectionError(`The broker at ${this.#options.where} closed the connection.`);
  }

  #overdue(what: string, ms: number): KafkaConnectionError {
    return new KafkaConnectionError(
      `No answer from the broker at ${this.#options.where} (${what}, ${Math.round(ms)} ms); the connection is given up.`,
    );
  }

  #die(error: KafkaError, reset: boolean): void {
    if (this.#death !== undefined) return;
    this.#death = error;
    const connection = this.#connection;
    if (connection !== undefined) {
      connection.rejectRequests(error);
      connection.requestQueue.destroy();
      connection.authHandlers?.onError();
      const { socket } = connection;
      // While kafkajs connects, an error is what ends its wait and its timer.
      if (!this.#isOpen) socket?.destroy(error);
      else if (reset) resetSocket(socket!);
      else socket!.destroy();
    }
    for (const tell of this.#onDeath.splice(0)) tell(error);
  }
}

/** Counts the time of an answer, anew while bytes come: a large answer over a slow line is not late. */
class AnswerWatch {
  readonly #bytesRead: () => number | undefined;
  readonly #timeoutMs: number;
  readonly #onLate: (ms: number) => void;
  #timer: NodeJS.Timeout | undefined;
  #seen: number | undefined;
  #rounds = 0;
  #dueMs = 0;

  constructor(bytesRead: () => number | undefined, timeoutMs: number, onLate: (ms: number) => void) {
    this.#bytesRead = bytesRead;
    this.#timeoutMs = Math.min(timeoutMs, MOST_TIMER_MS);
    this.#onLate = onLate;
  }

  start(): void {
    this.#seen = this.#bytesRead();
    this.#dueMs = monotonicMs() + this.#timeoutMs;
    this.#timer = setTimeout(() => this.#look(), this.#timeoutMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    this.#rounds++;
    // Timers come before sockets are read: where user code has held the thread up, the answer may be there.
    const wasHeldUp = monotonicMs() - this.#dueMs > HELD_UP_MS;
    if ((wasHeldUp || this.#bytesRead() !== this.#seen) && this.#rounds <= MOST_EXTENSIONS) this.start();
    else this.#onLate(this.#rounds * this.#timeoutMs);
  }
}

/**
 * Behind each response kafkajs keeps the rest of the chunk, and copies what comes next together with it, even if the rest
 * is empty, as it is where every chunk is a response (response-socket.ts).
 */
function takeWholeResponses(connection: Connection): void {
  const { processData } = connection;
  connection.processData = (data) => {
    if (connection.chunks.length === 1 && connection.chunks[0]!.length === 0) connection.chunks = [];
    processData.call(connection, data);
  };
}

/** kafkajs looks for throttled requests by a timer of 1 ms that renews itself for ever: a twentieth of a core, idle. */
function restWithoutRequests(queue: RequestQueue): void {
  const { scheduleCheckPendingRequests } = queue;
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length > 0) scheduleCheckPendingRequests.call(queue);
  };
}

/** The body in order; large runs of bytes stand alone, so that they are not copied. */
function partsOf(request: ApiRequest<unknown>): Buffer[] {
  if (request.parts !== undefined) return request.parts();
  const out = new ByteWriter();
  request.write(out);
  return [out.buffer.subarray(0, out.position)];
}

export function translate(error: unknown, where: string): KafkaError {
  if (error instanceof KafkaError) return error;
  const name = error instanceof Error ? error.name : '';
  const message = messageOf(error);
  if (name === 'KafkaJSSASLAuthenticationError' || /SASL|authenticat/i.test(message)) {
    return new KafkaAuthenticationError(
      `The broker at ${where} refused the login (${message}). Check the SASL mechanism, user name and password.`,
      error,
    );
  }
  const tls = /certificate|self.signed|SSL|TLS|altname/i.test(message)
    ? ' Check that TLS is on or off at both ends, and the certificate authority.'
    : '';
  return new KafkaConnectionError(`No answer from the broker at ${where} (${message}).${tls}`, error);
}
