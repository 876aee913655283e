/**
 * A single-node Kafka broker in this process, for development and tests, not for production: real protocol over TCP, one
 * replica, no quotas, no ACLs. What is left out stands in docs/embedded-kafka.md. Read connection.ts for the way of a
 * request, apis/ for what each does, log/partition-log.ts for storage.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join, resolve } from 'node:path';
import { loadZstd } from '../../kafka/index.ts';
import { type Logger, silentLogger } from '../../logger.ts';
import { EmbeddedError, isAddressInUse, portInUse } from '../errors.ts';
import { Clock } from './clock.ts';
import { Connection } from './connection.ts';
import { Faults } from './faults.ts';
import { GroupCoordinator } from './groups/group-coordinator.ts';
import { StateStore } from './state-store.ts';
import { isStorageFault, storageFault } from './storage.ts';
import { type Topic, Topics } from './topics.ts';
import { TransactionCoordinator } from './transaction-coordinator.ts';

export interface EmbeddedBrokerOptions {
  /** Default 0: any that is free. */
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

export const NODE_ID = 1;
const CLUSTER = 'cluster-id';
/** ms between looks at retention, compaction and transactions that took too long. */
const HOUSEKEEPING_MS = 1_000;
const RETENTION_EVERY = 60;

export class EmbeddedBroker {
  readonly faults = new Faults();
  readonly clock = new Clock();
  readonly logger: Logger;
  topics!: Topics;
  groups!: GroupCoordinator;
  transactions!: TransactionCoordinator;
  readonly #options: EmbeddedBrokerOptions;
  #store!: StateStore;
  #server: Server | undefined;
  #port: number;
  #lock: number | undefined;
  #housekeeping: NodeJS.Timeout | undefined;
  #turns = 0;
  readonly #connections = new Set<Connection>();

  constructor(options: EmbeddedBrokerOptions) {
    this.#options = options;
    this.#port = options.port ?? 0;
    this.logger = options.logger ?? silentLogger;
  }

  get clusterId(): string {
    return this.#store.get<string>(CLUSTER)!;
  }

  get port(): number {
    return this.#port;
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

  /** Opens what is stored, finishes what was left open, listens. The same port after a `stop`. */
  async start(): Promise<void> {
    await loadZstd();
    const { dataDir } = this.#options;
    try {
      this.#open();
      await this.#listen();
    } catch (error) {
      await this.stop();
      throw dataDir !== undefined && isStorageFault(error) ? storageFault(dataDir, error) : error;
    }
    this.#housekeeping = setInterval(() => this.#keepHouse(), HOUSEKEEPING_MS);
    this.#housekeeping.unref();
    this.logger.info(
      { host: this.advertisedHost, port: this.#port, dataDir: dataDir ?? 'memory' },
      'embedded Kafka broker started: for development and tests, not for production',
    );
  }

  #open(): void {
    const { dataDir, groupInitialRebalanceDelayMs = 0, groupMinSessionTimeoutMs = 6_000 } = this.#options;
    if (dataDir !== undefined) this.#lock = lockFolder(dataDir);
    const nowMs = (): number => this.clock.nowMs();
    // In memory, everything stays where it is.
    if (dataDir !== undefined || this.#store === undefined) {
      this.#store = new StateStore(dataDir);
      this.topics = new Topics(this.#store, dataDir, nowMs);
    }
    if (this.#store.get(CLUSTER) === undefined)
      this.#store.set(CLUSTER, Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url'));
    this.groups = new GroupCoordinator(this.#store, {
      initialRebalanceDelayMs: groupInitialRebalanceDelayMs,
      minSessionTimeoutMs: groupMinSessionTimeoutMs,
    });
    this.transactions = new TransactionCoordinator(this.#store, this.topics, this.groups, nowMs);
  }

  /** Closes all connections and files; what was acknowledged stays. */
  async stop(): Promise<void> {
    clearInterval(this.#housekeeping);
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise<void>((done) => (server === undefined ? done() : server.close(() => done())));
    this.groups?.close();
    this.disconnectClients();
    await closed;
    if (this.#options.dataDir === undefined) return;
    this.topics?.close();
    this.#store?.close();
    if (this.#lock !== undefined) unlockFolder(this.#options.dataDir, this.#lock);
    this.#lock = undefined;
  }

  /** Closes every connection, as a network that fails does. */
  disconnectClients(): void {
    for (const connection of this.#connections) connection.close();
    // Parked fetches look up and find their connection gone.
    for (const topic of this.topics?.all() ?? []) for (const log of topic.partitions) log.changed();
  }

  /** Moves the broker's time on: retention, tombstones and transactions that are due then are dealt with at once. */
  advanceTime(ms: number): void {
    this.clock.advance(ms);
    this.transactions.expire();
    this.#applyRetention();
  }

  /** Compacts a topic now, its active segment as well. */
  compact(topic: string): void {
    for (const log of this.topics.get(topic)?.partitions ?? []) log.compact(true);
  }

  deleteTopic(topic: Topic): void {
    this.topics.delete(topic.name);
    this.groups.topicDeleted(topic.name);
  }

  async #listen(): Promise<void> {
    const server = createServer((socket) => {
      const connection = new Connection(this, socket);
      this.#connections.add(connection);
      connection.onClose(() => this.#connections.delete(connection));
    });
    const host = this.#options.host ?? '127.0.0.1';
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => {
        const setting = this.#options.portSetting ?? 'the option port';
        reject(isAddressInUse(error) ? portInUse('Kafka broker', host, this.#port, setting, error) : error);
      });
      server.listen(this.#port, host, resolve);
    });
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.#port = address.port;
    this.#server = server;
  }

  #keepHouse(): void {
    try {
      this.transactions.expire();
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

/** Of this process. */
const lockedFolders = new Set<string>();

/**
 * One process a folder; the lock of one that was killed is taken over, even if it had the id that this one has now, as
 * processes in containers do.
 */
function lockFolder(dataDir: string): number {
  mkdirSync(dataDir, { recursive: true });
  const path = join(dataDir, 'broker.pid');
  for (;;) {
    try {
      const file = openSync(path, 'wx');
      writeSync(file, String(process.pid));
      lockedFolders.add(resolve(dataDir));
      return file;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      const owner = Number(readFileSync(path, 'utf8'));
      if (owner === process.pid ? lockedFolders.has(resolve(dataDir)) : isRunning(owner)) {
        throw new EmbeddedError(
          'MILLRACE_EMBEDDED_DATA_IN_USE',
          `The folder ${dataDir} is in use by the broker of process ${owner}. Stop it, or give each broker its own folder.`,
        );
      }
      rmSync(path, { force: true });
    }
  }
}

function unlockFolder(dataDir: string, lock: number): void {
  closeSync(lock);
  rmSync(join(dataDir, 'broker.pid'), { force: true });
  lockedFolders.delete(resolve(dataDir));
}

function isRunning(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
