/**
 * A Kafka broker in this process, for development and tests, not for production: real protocol over TCP, one log, no
 * quotas, no ACLs; one node, or several that show the same log. What is left out stands in docs/embedded.md. Read
 * connection.ts for the way of a request, apis/ for what each does, log/partition-log.ts for storage, cluster.ts for what
 * becomes of nodes.
 */
import { randomUUID } from 'node:crypto';
import { loadZstd } from '../../kafka/index.ts';
import { type Logger, silentLogger } from '../../logger.ts';
import { Clock } from './clock.ts';
import { Cluster } from './cluster.ts';
import { Faults } from './faults.ts';
import { lockFolder } from './folder-lock.ts';
import { GroupCoordinator } from './groups/group-coordinator.ts';
import { NodeListener } from './node-listener.ts';
import { StateStore } from './state-store.ts';
import { isStorageFault, storageFault } from './storage.ts';
import { type Topic, Topics } from './topics.ts';
import { TransactionCoordinator } from './transaction-coordinator.ts';

export interface EmbeddedBrokerOptions {
  /** Nodes of the cluster, 1 to 100, with the ids 1, 2, …: for tests of what moves between them. Default 1. */
  readonly nodes?: number;
  /** Of node 1; the others have the ports behind it. Default 0: any that are free. */
  readonly port?: number;
  /** Where to listen, and what clients are told to connect to. Default 127.0.0.1: this machine only. */
  readonly host?: string;
  /** What clients are told to connect to, where that is not `host`. */
  readonly advertisedHost?: string;
  /** Folder that keeps everything over restarts. Default: in memory. */
  readonly dataDir?: string;
  /** auto.create.topics.enable. Default false. */
  readonly autoCreateTopics?: boolean;
  /** num.partitions: of topics that do not say. Default 1. */
  readonly defaultPartitions?: number;
  /** Users and passwords of SASL PLAIN. Default: no login. */
  readonly users?: Readonly<Record<string, string>>;
  /** group.initial.rebalance.delay.ms. Default 0; Apache Kafka's is 3000. */
  readonly groupInitialRebalanceDelayMs?: number;
  /** group.min.session.timeout.ms. Default 6000, as Apache Kafka's. */
  readonly groupMinSessionTimeoutMs?: number;
  /** For a message on a port in use: which setting moves the broker. */
  readonly portSetting?: string;
  readonly logger?: Logger;
}

const CLUSTER = 'cluster-id';
/** ms between looks at retention, compaction and transactions that took too long. */
const HOUSEKEEPING_MS = 1_000;
const RETENTION_EVERY = 60;

export class EmbeddedBroker {
  readonly faults = new Faults();
  readonly cluster: Cluster;
  readonly clock = new Clock();
  readonly logger: Logger;
  topics!: Topics;
  groups!: GroupCoordinator;
  transactions!: TransactionCoordinator;
  readonly #options: EmbeddedBrokerOptions;
  #store!: StateStore;
  readonly #listeners: readonly NodeListener[];
  #unlock: (() => void) | undefined;
  #isRunning = false;
  #housekeeping: NodeJS.Timeout | undefined;
  #turns = 0;

  /** @throws EmbeddedError MILLRACE_EMBEDDED_INVALID_ARGUMENT */
  constructor(options: EmbeddedBrokerOptions) {
    this.#options = options;
    this.logger = options.logger ?? silentLogger;
    this.cluster = new Cluster(options.nodes ?? 1, this);
    const { port = 0 } = options;
    this.#listeners = this.cluster.view.nodeIds.map(
      (node) => new NodeListener(this, node, port === 0 ? 0 : port + node - 1),
    );
  }

  get clusterId(): string {
    return this.#store.get<string>(CLUSTER)!;
  }

  /** What clients are told to connect to. */
  addressOf(node: number): { readonly host: string; readonly port: number } {
    return { host: this.advertisedHost, port: this.listener(node).port };
  }

  listener(node: number): NodeListener {
    return this.#listeners[node - 1]!;
  }

  get advertisedHost(): string {
    return this.#options.advertisedHost ?? this.#options.host ?? '127.0.0.1';
  }

  get requiresLogin(): boolean {
    return this.#options.users !== undefined;
  }

  /** True where name and password belong together. */
  isUser(name: string, password: string): boolean {
    const { users } = this.#options;
    return users !== undefined && Object.hasOwn(users, name) && users[name] === password;
  }

  get defaultPartitions(): number {
    return this.#options.defaultPartitions ?? 1;
  }

  get autoCreatesTopics(): boolean {
    return this.#options.autoCreateTopics ?? false;
  }

  /** Opens what is stored, finishes what was left open, listens: all nodes that were not stopped, on the same ports. */
  async start(): Promise<void> {
    await loadZstd();
    const { dataDir } = this.#options;
    try {
      this.#open();
      this.#isRunning = true;
      for (const node of this.cluster.view.nodeIds) if (this.cluster.isUp(node)) await this.listen(node);
    } catch (error) {
      await this.stop();
      throw dataDir !== undefined && isStorageFault(error) ? storageFault(dataDir, error) : error;
    }
    this.#housekeeping = setInterval(() => this.#keepHouse(), HOUSEKEEPING_MS);
    this.#housekeeping.unref();
    this.logger.info(
      { host: this.advertisedHost, ports: this.#listeners.map(({ port }) => port), dataDir: dataDir ?? 'memory' },
      'embedded Kafka broker started: for development and tests, not for production',
    );
  }

  /** A node's port opens, unless all of them are stopped. */
  async listen(node: number): Promise<void> {
    if (!this.#isRunning) return;
    const { host = '127.0.0.1', portSetting = 'the option port' } = this.#options;
    await this.listener(node).listen(host, portSetting);
  }

  #open(): void {
    const { dataDir, groupInitialRebalanceDelayMs = 0, groupMinSessionTimeoutMs = 6_000 } = this.#options;
    if (dataDir !== undefined) this.#unlock = lockFolder(dataDir);
    const nowMs = (): number => this.clock.nowMs();
    // In memory, everything stays where it is.
    if (dataDir !== undefined || this.#store === undefined) {
      this.#store = new StateStore(dataDir);
      this.topics = new Topics(this.#store, dataDir, nowMs, (partition) => this.cluster.view.leaderFor(partition));
    }
    if (this.#store.get(CLUSTER) === undefined)
      this.#store.set(CLUSTER, Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url'));
    this.groups = new GroupCoordinator(this.#store, {
      initialRebalanceDelayMs: groupInitialRebalanceDelayMs,
      minSessionTimeoutMs: groupMinSessionTimeoutMs,
    });
    this.transactions = new TransactionCoordinator(this.#store, this.topics, this.groups, {
      nowMs,
      isUp: (node) => this.cluster.isUp(node),
    });
    this.cluster.opened();
  }

  /** Closes all connections and files; what was acknowledged stays. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    clearInterval(this.#housekeeping);
    if (this.groups !== undefined) this.cluster.close();
    this.groups?.close();
    const closed = Promise.all(this.#listeners.map((listener) => listener.close()));
    this.#wakeWaiting();
    await closed;
    if (this.#options.dataDir === undefined) return;
    this.topics?.close();
    this.#store?.close();
    this.#unlock?.();
    this.#unlock = undefined;
  }

  /** Closes every connection, as a network that fails does. */
  disconnectClients(): void {
    for (const listener of this.#listeners) listener.cut();
    this.#wakeWaiting();
  }

  /** Moves the broker's time on: retention, tombstones and transactions that are due then are dealt with at once. */
  advanceTime(ms: number): void {
    this.clock.advance(ms);
    this.#expireTransactions();
    this.#applyRetention();
  }

  /** Compacts a topic now, its active segment as well. */
  compact(topic: string): void {
    for (const log of this.topics.get(topic)?.partitions ?? []) log.compact(true);
  }

  deleteTopic(topic: Topic): void {
    this.topics.delete(topic.name);
    this.groups.topicDeleted(topic.name);
    // Markers for it are not needed any more.
    this.transactions.resume();
  }

  /** Parked fetches look up and find their connection gone. */
  #wakeWaiting(): void {
    for (const topic of this.topics?.all() ?? []) for (const log of topic.partitions) log.changed();
  }

  #expireTransactions(): void {
    this.transactions.expire((id) => this.cluster.isCoordinated({ type: 'transaction', id }));
  }

  #keepHouse(): void {
    try {
      this.#expireTransactions();
      if (++this.#turns % RETENTION_EVERY === 0) this.#applyRetention();
    } catch (error) {
      if (!isStorageFault(error)) throw error;
      this.logger.error({ error: error.message }, 'housekeeping could not write; it is tried again');
    }
  }

  #applyRetention(): void {
    for (const topic of this.topics.all()) {
      const before = topic.partitions.map((log) => log.startOffset).join();
      for (const log of topic.partitions) {
        log.applyRetention();
        log.compact();
      }
      if (topic.partitions.map((log) => log.startOffset).join() !== before) this.topics.save(topic);
    }
  }
}
