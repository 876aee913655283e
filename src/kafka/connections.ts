/**
 * Connections to brokers, on kafkajs: sockets, TLS, SASL, API versions, correlation and time-outs are its work; requests
 * and answers are ours, as bytes. This is the only file that touches kafkajs' inside; `test/kafka/connections.test.ts`
 * names what it relies on, and kafkajs is pinned to the exact version.
 *
 * A pool has two sockets to a broker: Fetch goes out on one, everything else on the other. `connect()` is not shared
 * there (two callers open two sockets into one receive buffer), so every connect here runs behind one promise.
 */
import { Kafka, type KafkaConfig, logLevel } from 'kafkajs';
import { ByteWriter } from '../bytes.ts';
import { messageOf } from '../errors.ts';
import { KafkaAuthenticationError, KafkaConnectionError, KafkaError } from './errors.ts';
import type { ApiRequest } from './requests/request.ts';
import { WireReader } from './wire.ts';

interface Connection {
  isConnected(): boolean;
  connect(): Promise<unknown>;
  rejectRequests(error: Error): void;
}

interface ConnectionPool {
  readonly pool: readonly Connection[];
  send(protocol: object): Promise<unknown>;
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
  fetchConnecting: Promise<unknown> | undefined;
}

const FETCH_KEY = 1;
const FETCH_SOCKET = 1;

export class KafkaConnections {
  /** The brokers as configured, for messages. */
  readonly seeds: string;
  readonly #cluster: Cluster;
  readonly #nodes = new Map<number, Node>();
  readonly #seedCount: number;
  #seed: Node | undefined;
  #closed = false;

  constructor(config: KafkaConfig) {
    const kafka = new Kafka({ logLevel: logLevel.NOTHING, ...config });
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
    const broker = this.#cluster.brokerPool.createBroker({
      connectionPool,
      logger: this.#cluster.rootLogger,
      nodeId: address?.nodeId ?? null,
    });
    return { address, broker, connecting: undefined, fetchConnecting: undefined };
  }

  async #sendTo<T>(node: Node, request: ApiRequest<T>): Promise<T> {
    const where = node.address === undefined ? this.seeds : `${node.address.host}:${node.address.port}`;
    if (this.#closed) throw new KafkaConnectionError(`The connection to ${where} is closed.`);
    try {
      await connect(node);
      if (request.apiKey === FETCH_KEY) await connectFetchSocket(node);
      return (await node.broker.connectionPool.send(protocolOf(request))) as T;
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

async function connect(node: Node): Promise<void> {
  if (node.broker.isConnected()) return;
  node.connecting ??= node.broker.connect().finally(() => {
    node.connecting = undefined;
  });
  await node.connecting;
}

async function connectFetchSocket(node: Node): Promise<void> {
  const connection = node.broker.connectionPool.pool[FETCH_SOCKET]!;
  if (connection.isConnected()) return;
  node.fetchConnecting ??= connection.connect().finally(() => {
    node.fetchConnecting = undefined;
  });
  await node.fetchConnecting;
}

async function destroy(node: Node): Promise<void> {
  // A parked request (JoinGroup, Fetch) would hold the close up until it is answered.
  for (const connection of node.broker.connectionPool.pool) connection.rejectRequests(new Error('closed'));
  await node.broker.connectionPool.destroy().catch(() => undefined);
}

/** kafkajs' own form of a request: the body is handed over as a ready buffer, the answer comes back as bytes. */
function protocolOf<T>(request: ApiRequest<T>): object {
  const { apiKey, apiVersion, apiName } = request;
  return {
    request: {
      apiKey,
      apiVersion,
      apiName,
      encode: async () => {
        const out = new ByteWriter(request.sizeHint);
        request.write(out);
        const body = out.buffer.subarray(0, out.position);
        return { buf: body, buffer: body };
      },
    },
    response: {
      decode: async (raw: Buffer) => {
        const answer = request.read(new WireReader(raw));
        // kafkajs holds later requests back for this long (KIP-219).
        return { answer, clientSideThrottleTime: (answer as { throttleTimeMs?: number }).throttleTimeMs ?? 0 };
      },
      parse: async (decoded: { answer: T }) => decoded.answer,
    },
    requestTimeout: request.timeoutMs ?? null,
    logResponseError: false,
  };
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
