/**
 * Connections to the brokers of a cluster: two to each, Fetch goes out on one and everything else on the other, made when
 * they are needed and again when they broke. With broker-connection.ts the only file that touches kafkajs' inside;
 * kafkajs is pinned to the exact version.
 */
import { Kafka, type KafkaConfig, logLevel } from 'kafkajs';
import { BrokerConnection, type KafkajsCluster } from './broker-connection.ts';
import { withDefaults } from './defaults.ts';
import { KafkaConnectionError, KafkaError } from './errors.ts';
import type { ApiRequest } from './requests/request.ts';
import { responseSocketFactory } from './response-socket.ts';

export interface BrokerAddress {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
  readonly rack: string | null;
}

/** A broker's connections, by use; a dead one is replaced when it is needed. */
interface Node {
  readonly address: BrokerAddress | undefined;
  readonly sockets: (BrokerConnection | undefined)[];
}

const FETCH_KEY = 1;
const FETCH_SOCKET = 1;
const OTHER_SOCKET = 0;
/**
 * ms for the answer to a request that the broker need not hold back, unless `requestTimeout` of the kafkajs options says
 * another. Brokers answer those in milliseconds, so that ten seconds ride out a long pause of theirs, and after three of
 * them a connection that died in silence is still found within a session. kafkajs and Kafka have 30 s for all requests.
 */
export const DEFAULT_REQUEST_MS = 10_000;
/** As kafkajs. */
const DEFAULT_CONNECT_MS = 1_000;

export class KafkaConnections {
  /** The brokers as configured, for messages. */
  readonly seeds: string;
  readonly #cluster: KafkajsCluster;
  readonly #nodes = new Map<number, Node>();
  readonly #seedCount: number;
  readonly #requestMs: number;
  readonly #authenticationMs: number;
  readonly #openMs: number;
  #seed: Node | undefined;
  #closed = false;

  constructor(config: KafkaConfig) {
    const defaults = { logLevel: logLevel.NOTHING, socketFactory: responseSocketFactory };
    const kafka = new Kafka({ ...withDefaults(defaults, config), enforceRequestTimeout: false });
    this.#cluster = createCluster(kafka);
    this.seeds = Array.isArray(config.brokers) ? config.brokers.join(',') : 'the configured brokers';
    this.#seedCount = Array.isArray(config.brokers) ? config.brokers.length : 1;
    this.#requestMs = config.requestTimeout ?? DEFAULT_REQUEST_MS;
    this.#authenticationMs = config.authenticationTimeout ?? this.#requestMs;
    this.#openMs = (config.connectionTimeout ?? DEFAULT_CONNECT_MS) + this.#requestMs + this.#authenticationMs;
  }

  /** The brokers of the last metadata answer. */
  get nodeIds(): number[] {
    return [...this.#nodes.keys()];
  }

  has(nodeId: number): boolean {
    return this.#nodes.has(nodeId);
  }

  /** Bytes that have come on the broker's present connection for Fetch; 0 without one. */
  fetchedBytes(nodeId: number): number {
    return this.#nodes.get(nodeId)?.sockets[FETCH_SOCKET]?.bytesRead ?? 0;
  }

  /** Takes over the addresses of a metadata answer; connections to brokers that moved or went are destroyed. */
  update(addresses: readonly BrokerAddress[]): void {
    if (this.#closed) return;
    const wanted = new Map(addresses.map((address) => [address.nodeId, address]));
    for (const [nodeId, node] of this.#nodes) {
      const next = wanted.get(nodeId);
      if (next !== undefined && next.host === node.address?.host && next.port === node.address.port) continue;
      this.#nodes.delete(nodeId);
      for (const socket of node.sockets) socket?.destroy('the broker has left, or another address');
    }
    for (const [nodeId, address] of wanted) {
      if (!this.#nodes.has(nodeId)) this.#nodes.set(nodeId, { address, sockets: [] });
    }
  }

  /** Sends to a broker known by a metadata answer. @throws KafkaConnectionError */
  async send<T>(nodeId: number, request: ApiRequest<T>): Promise<T> {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) throw new KafkaConnectionError(`Broker ${nodeId} is not in the cluster's metadata.`);
    return this.#sendTo(node, request);
  }

  /** Sends to any broker: connected ones first, then the configured addresses in turn. @throws KafkaConnectionError */
  async sendToAny<T>(request: ApiRequest<T>): Promise<T> {
    const isOpen = ({ sockets }: Node): boolean => sockets[OTHER_SOCKET]?.isOpen === true;
    const nodes = [...this.#nodes.values()].sort((a, b) => Number(isOpen(b)) - Number(isOpen(a)));
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
        this.#seed ??= { address: undefined, sockets: [] };
        return await this.#sendTo(this.#seed, request);
      } catch (error) {
        if (!(error instanceof KafkaConnectionError)) throw error;
        last = error;
      }
    }
    throw last;
  }

  /**
   * Destroys every connection such that what waits in them is never delivered; what was sent on them fails. The next
   * request connects anew.
   */
  reset(): void {
    for (const socket of this.#sockets()) socket.reset('what it carried is not to be sent any more');
  }

  async close(): Promise<void> {
    this.#closed = true;
    const sockets = this.#sockets();
    this.#nodes.clear();
    this.#seed = undefined;
    for (const socket of sockets) socket.destroy('the client is closed');
  }

  #sockets(): BrokerConnection[] {
    const nodes = [...this.#nodes.values(), ...(this.#seed === undefined ? [] : [this.#seed])];
    return nodes.flatMap(({ sockets }) => sockets.filter((socket) => socket !== undefined));
  }

  async #sendTo<T>({ address, sockets }: Node, request: ApiRequest<T>): Promise<T> {
    const where = address === undefined ? this.seeds : `${address.host}:${address.port}`;
    if (this.#closed) throw new KafkaConnectionError(`The connection to ${where} is closed.`);
    const index = request.apiKey === FETCH_KEY ? FETCH_SOCKET : OTHER_SOCKET;
    let socket = sockets[index];
    if (socket === undefined || socket.isDead) {
      const { host, port, rack } = address ?? {};
      socket = new BrokerConnection({
        cluster: this.#cluster,
        address: host === undefined ? undefined : { host, port: port!, rack: rack ?? null },
        where,
        openMs: this.#openMs,
        authenticationMs: this.#authenticationMs,
        requestMs: this.#requestMs,
      });
      sockets[index] = socket;
    }
    return socket.send(request);
  }
}

function createCluster(kafka: Kafka): KafkajsCluster {
  const symbol = Object.getOwnPropertySymbols(kafka).find((s) => s.description === 'private:Kafka:createCluster');
  const create = symbol === undefined ? undefined : Reflect.get(kafka, symbol);
  if (typeof create !== 'function') {
    throw new KafkaError(
      'MILLRACE_KAFKA_KAFKAJS_VERSION',
      'This kafkajs is not version 2.2.4, which millrace relies on.',
    );
  }
  return create({ metadataMaxAge: 300_000, allowAutoTopicCreation: false }) as KafkajsCluster;
}
