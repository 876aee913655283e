/**
 * Connections to brokers, on kafkajs: sockets, TLS, SASL, API versions, correlation and time-outs are its work; requests
 * and answers are ours, as bytes. This is the only file that touches kafkajs' inside; `test/kafka/connections.test.ts`
 * names what it relies on, and kafkajs is pinned to the exact version.
 *
 * A pool has two sockets to a broker: Fetch goes out on one, everything else on the other. `connect()` is not shared
 * there (two callers open two sockets into one receive buffer), so every connect here runs behind one promise.
 */
import type { Socket } from 'node:net';
import { Kafka, type KafkaConfig, logLevel } from 'kafkajs';
import { ByteWriter } from '../bytes.ts';
import { messageOf } from '../errors.ts';
import { KafkaAuthenticationError, KafkaConnectionError, KafkaError } from './errors.ts';
import type { ApiRequest } from './requests/request.ts';
import { responseSocketFactory } from './response-socket.ts';
import { WireReader, writeString } from './wire.ts';

interface Connection {
  readonly clientId: string;
  readonly socket: Socket;
  readonly requestQueue: {
    push(request: object): void;
    /** Holds later requests back (KIP-219). */
    maybeThrottle(throttleTimeMs: number): void;
  };
  isConnected(): boolean;
  connect(): Promise<unknown>;
  /** Does nothing without SASL, or within the session's lifetime. */
  authenticate(): Promise<void>;
  failIfNotConnected(): void;
  nextCorrelationId(): number;
  rejectRequests(error: Error): void;
  /** What came in and is not yet a whole response. */
  chunks: Buffer[];
  processData(data: Buffer): void;
}

interface ConnectionPool {
  readonly pool: readonly Connection[];
  destroy(): Promise<void>;
}

interface Broker {
  readonly connectionPool: ConnectionPool;
  isConnected(): boolean;
  connect(): Promise<void>;
}

interface Cluster {
  readonly connectionPoolBuilder: {
    build(destination?: { host: string; port: number; rack: string | null }): Promise<ConnectionPool>;
  };
  readonly brokerPool: { createBroker(options: object): Broker };
  readonly rootLogger: object;
}

export interface BrokerAddress {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
  readonly rack: string | null;
}

interface Node {
  readonly address: BrokerAddress | undefined;
  readonly broker: Broker;
  connecting: Promise<void> | undefined;
  readonly socketConnecting: (Promise<unknown> | undefined)[];
}

const FETCH_KEY = 1;
const FETCH_SOCKET = 1;
const OTHER_SOCKET = 0;

export class KafkaConnections {
  /** The brokers as configured, for messages. */
  readonly seeds: string;
  readonly #cluster: Cluster;
  readonly #nodes = new Map<number, Node>();
  readonly #seedCount: number;
  #seed: Node | undefined;
  #closed = false;

  constructor(config: KafkaConfig) {
    const kafka = new Kafka({ logLevel: logLevel.NOTHING, socketFactory: responseSocketFactory, ...config });
    this.#cluster = createCluster(kafka);
    this.seeds = Array.isArray(config.brokers) ? config.brokers.join(',') : 'the configured brokers';
    this.#seedCount = Array.isArray(config.brokers) ? config.brokers.length : 1;
  }

  get nodeIds(): number[] {
    return [...this.#nodes.keys()];
  }

  /** Takes over the addresses of a metadata answer; pools of brokers that moved or went are closed. */
  async update(addresses: readonly BrokerAddress[]): Promise<void> {
    const wanted = new Map(addresses.map((address) => [address.nodeId, address]));
    for (const [nodeId, node] of this.#nodes) {
      const next = wanted.get(nodeId);
      if (next !== undefined && next.host === node.address?.host && next.port === node.address.port)
        wanted.delete(nodeId);
      else {
        this.#nodes.delete(nodeId);
        void destroy(node);
      }
    }
    for (const address of wanted.values()) {
      const { host, port, rack } = address;
      const pool = await this.#cluster.connectionPoolBuilder.build({ host, port, rack });
      if (!this.#nodes.has(address.nodeId)) this.#nodes.set(address.nodeId, this.#node(pool, address));
    }
  }

  /** Sends to a broker known by a metadata answer. */
  async send<T>(nodeId: number, request: ApiRequest<T>): Promise<T> {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) throw new KafkaConnectionError(`Broker ${nodeId} is not in the cluster's metadata.`);
    return this.#sendTo(node, request);
  }

  /** Sends to any broker: connected ones first, then the configured addresses in turn. */
  async sendToAny<T>(request: ApiRequest<T>): Promise<T> {
    const nodes = [...this.#nodes.values()].sort(
      (a, b) => Number(b.broker.isConnected()) - Number(a.broker.isConnected()),
    );
    let last: unknown;
    for (const node of nodes) {
      try {
        return await this.#sendTo(node, request);
      } catch (error) {
        if (!(error instanceof KafkaConnectionError)) throw error;
        last = error;
      }
    }
    for (let attempt = 0; attempt < this.#seedCount; attempt++) {
      try {
        this.#seed ??= this.#node(await this.#cluster.connectionPoolBuilder.build(), undefined);
        return await this.#sendTo(this.#seed, request);
      } catch (error) {
        if (this.#seed !== undefined) void destroy(this.#seed);
        this.#seed = undefined;
        last = translate(error, this.seeds);
        if (!(last instanceof KafkaConnectionError)) throw last;
      }
    }
    throw last;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const nodes = [...this.#nodes.values(), ...(this.#seed === undefined ? [] : [this.#seed])];
    this.#nodes.clear();
    this.#seed = undefined;
    await Promise.all(nodes.map(destroy));
  }

  #node(connectionPool: ConnectionPool, address: BrokerAddress | undefined): Node {
    connectionPool.pool.forEach(takeWholeResponses);
    const broker = this.#cluster.brokerPool.createBroker({
      connectionPool,
      logger: this.#cluster.rootLogger,
      nodeId: address?.nodeId ?? null,
    });
    return { address, broker, connecting: undefined, socketConnecting: [] };
  }

  async #sendTo<T>(node: Node, request: ApiRequest<T>): Promise<T> {
    const where = node.address === undefined ? this.seeds : `${node.address.host}:${node.address.port}`;
    if (this.#closed) throw new KafkaConnectionError(`The connection to ${where} is closed.`);
    try {
      await connect(node);
      const isFetch = request.apiKey === FETCH_KEY;
      await connectSocket(node, isFetch ? FETCH_SOCKET : OTHER_SOCKET);
      return await send(node.broker.connectionPool.pool[isFetch ? FETCH_SOCKET : OTHER_SOCKET]!, request);
    } catch (error) {
      throw translate(error, where);
    }
  }
}

function createCluster(kafka: Kafka): Cluster {
  const symbol = Object.getOwnPropertySymbols(kafka).find((s) => s.description === 'private:Kafka:createCluster');
  const create = symbol === undefined ? undefined : Reflect.get(kafka, symbol);
  if (typeof create !== 'function') {
    throw new KafkaError(
      'MILLRACE_KAFKA_KAFKAJS_VERSION',
      'This kafkajs is not version 2.2.4, which millrace relies on.',
    );
  }
  return create({ metadataMaxAge: 300_000, allowAutoTopicCreation: false }) as Cluster;
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

async function connect(node: Node): Promise<void> {
  if (node.broker.isConnected()) return;
  node.connecting ??= node.broker.connect().finally(() => {
    node.connecting = undefined;
  });
  await node.connecting;
}

/** A pool's second socket, and a first one that was lost, are connected on their own. */
async function connectSocket(node: Node, index: number): Promise<void> {
  const connection = node.broker.connectionPool.pool[index]!;
  if (connection.isConnected()) return;
  node.socketConnecting[index] ??= connection.connect().finally(() => {
    node.socketConnecting[index] = undefined;
  });
  await node.socketConnecting[index];
}

async function destroy(node: Node): Promise<void> {
  // A parked request (JoinGroup, Fetch) would hold the close up until it is answered.
  for (const connection of node.broker.connectionPool.pool) connection.rejectRequests(new Error('closed'));
  await node.broker.connectionPool.destroy().catch(() => undefined);
}

/**
 * What kafkajs' `Connection#send` does, but for its two copies of the body: header and parts go to the socket as they are.
 *
 *     size int32 | api key int16 | api version int16 | correlation id int32 | client id string | body
 */
async function send<T>(connection: Connection, request: ApiRequest<T>): Promise<T> {
  await connection.authenticate();
  connection.failIfNotConnected();
  const { apiKey, apiVersion, apiName } = request;
  const correlationId = connection.nextCorrelationId();
  const parts = partsOf(request);
  const header = new ByteWriter(64).int32(0).int16(apiKey).int16(apiVersion).int32(correlationId);
  writeString(header, connection.clientId);
  const bodyBytes = parts.reduce((sum, part) => sum + part.length, 0);
  header.buffer.writeInt32BE(header.position - 4 + bodyBytes, 0);
  const { payload } = await new Promise<{ payload: Buffer }>((resolve, reject) => {
    connection.requestQueue.push({
      entry: { apiKey, apiName, apiVersion, correlationId, resolve, reject },
      expectResponse: true,
      requestTimeout: request.timeoutMs ?? null,
      sendRequest: () => {
        const { socket } = connection;
        socket.cork();
        socket.write(header.copy());
        for (const part of parts) socket.write(part);
        socket.uncork();
      },
    });
  });
  const answer = request.read(new WireReader(payload));
  connection.requestQueue.maybeThrottle((answer as { throttleTimeMs?: number }).throttleTimeMs ?? 0);
  return answer;
}

/** The body in order; large runs of bytes stand alone, so that they are not copied. */
function partsOf(request: ApiRequest<unknown>): Buffer[] {
  if (request.parts !== undefined) return request.parts();
  const out = new ByteWriter();
  request.write(out);
  return [out.buffer.subarray(0, out.position)];
}

function translate(error: unknown, where: string): KafkaError {
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
