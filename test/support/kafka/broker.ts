/**
 * Apache Kafka for tests and benchmarks: fetched by Maven into .cache, started on loopback in KRaft mode, stopped with
 * the test. One node or several; any node can be killed, stopped and started again on its port.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../free-port.ts';

const run = promisify(execFile);
/** Suites and benchmarks run in the repository's root. */
const ROOT = process.cwd();
const CLUSTER_ID = 'MkU3OEVBNTcwNTJENDM2Qk';

export const DEFAULT_KAFKA_VERSION = '3.6.2';
export const NEWEST_KAFKA_VERSION = '4.4.0';

export interface BrokerOptions {
  readonly version?: string;
  /** Default 1. */
  readonly nodes?: number;
  /** Additional lines of server.properties. */
  readonly properties?: Readonly<Record<string, string>>;
  /** Listen with SASL_SSL and this SCRAM-SHA-256 user. */
  readonly saslSsl?: { readonly user: string; readonly password: string };
  readonly heap?: string;
  /** Run the JVM's full compiler: for benchmarks; tests start faster without. */
  readonly optimised?: boolean;
}

export interface TestBroker {
  /** host:port of every node. */
  readonly brokers: string[];
  /** PEM file of the certificate authority, with saslSsl. */
  readonly caFile: string | undefined;
  /** The folder with Kafka's jars. */
  readonly libs: string;
  stopNode(index: number, signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  startNode(index: number): Promise<void>;
  close(): Promise<void>;
}

/** Fetches Apache Kafka's jars unless they are there; returns their folder. */
export async function kafkaLibs(version = DEFAULT_KAFKA_VERSION): Promise<string> {
  const libs = join(ROOT, '.cache/kafka', version, 'libs');
  if (!existsSync(join(libs, `kafka_2.13-${version}.jar`))) {
    mkdirSync(libs, { recursive: true });
    await run('mvn', [
      '-q',
      '-B',
      '-f',
      join(ROOT, 'test/support/kafka/pom.xml'),
      `-Dkafka.version=${version}`,
      'dependency:copy-dependencies',
      '-DincludeScope=runtime',
      `-DoutputDirectory=${libs}`,
    ]);
  }
  return libs;
}

export async function startKafka(options: BrokerOptions = {}): Promise<TestBroker> {
  const version = options.version ?? DEFAULT_KAFKA_VERSION;
  const libs = await kafkaLibs(version);
  const folder = mkdtempSync(join(tmpdir(), 'millrace-kafka-'));
  const count = options.nodes ?? 1;
  const ports = await Promise.all(Array.from({ length: count * 2 }, freePort));
  const caFile = options.saslSsl === undefined ? undefined : await createCertificates(folder);
  const voters = Array.from({ length: count }, (_, i) => `${i + 1}@127.0.0.1:${ports[count + i]}`).join(',');
  const nodes = Array.from(
    { length: count },
    (_, i) => new Node(i, ports[i]!, ports[count + i]!, voters, folder, libs, options),
  );
  for (const node of nodes) await node.format();
  await Promise.all(nodes.map((node) => node.start()));
  const onExit = (): void => {
    for (const node of nodes) node.killNow();
  };
  process.once('exit', onExit);
  return {
    brokers: nodes.map((node) => `127.0.0.1:${node.port}`),
    caFile,
    libs,
    stopNode: (index, signal = 'SIGTERM') => nodes[index]!.stop(signal),
    startNode: (index) => nodes[index]!.start(),
    async close() {
      process.off('exit', onExit);
      await Promise.all(nodes.map((node) => node.stop('SIGKILL')));
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

class Node {
  readonly port: number;
  readonly #config: string;
  readonly #log: string;
  readonly #libs: string;
  readonly #options: BrokerOptions;
  #process: ChildProcess | undefined;

  constructor(
    index: number,
    port: number,
    controllerPort: number,
    voters: string,
    folder: string,
    libs: string,
    options: BrokerOptions,
  ) {
    this.port = port;
    this.#libs = libs;
    this.#options = options;
    const data = join(folder, `node-${index + 1}`);
    mkdirSync(data, { recursive: true });
    this.#config = join(data, 'server.properties');
    this.#log = join(data, 'server.log');
    const replicas = String(Math.min(options.nodes ?? 1, 3));
    const protocol = options.saslSsl === undefined ? 'PLAINTEXT' : 'SASL_SSL';
    const properties: Record<string, string> = {
      'process.roles': 'broker,controller',
      'node.id': String(index + 1),
      'controller.quorum.voters': voters,
      'controller.listener.names': 'CONTROLLER',
      listeners: `${protocol}://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
      'advertised.listeners': `${protocol}://127.0.0.1:${port}`,
      'listener.security.protocol.map': `CONTROLLER:PLAINTEXT,${protocol}:${protocol}`,
      'inter.broker.listener.name': protocol,
      'log.dirs': join(data, 'log'),
      'auto.create.topics.enable': 'false',
      'num.partitions': '1',
      'default.replication.factor': replicas,
      'offsets.topic.replication.factor': replicas,
      'offsets.topic.num.partitions': '4',
      'transaction.state.log.replication.factor': replicas,
      'transaction.state.log.min.isr': '1',
      'transaction.state.log.num.partitions': '4',
      'group.initial.rebalance.delay.ms': '0',
      'log.flush.interval.messages': '9223372036854775807',
      ...(options.saslSsl === undefined ? {} : saslSslProperties(folder, options.saslSsl)),
      ...options.properties,
    };
    writeFileSync(
      this.#config,
      Object.entries(properties)
        .map(([k, v]) => `${k}=${v}\n`)
        .join(''),
    );
  }

  async format(): Promise<void> {
    const scram = this.#options.saslSsl;
    const users =
      scram === undefined ? [] : ['--add-scram', `SCRAM-SHA-256=[name=${scram.user},password=${scram.password}]`];
    await run('java', [
      '-Xshare:auto',
      '-XX:TieredStopAtLevel=1',
      '-cp',
      `${this.#libs}/*`,
      'kafka.tools.StorageTool',
      'format',
      '-t',
      CLUSTER_ID,
      '-c',
      this.#config,
      ...users,
    ]);
  }

  async start(): Promise<void> {
    const log = openSync(this.#log, 'a');
    const heap = this.#options.heap ?? '512m';
    this.#process = spawn(
      'java',
      [
        `-Xmx${heap}`,
        `-Xms${heap}`,
        ...(this.#options.optimised ? [] : ['-XX:TieredStopAtLevel=1']),
        '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
        '-cp',
        `${this.#libs}/*`,
        'kafka.Kafka',
        this.#config,
      ],
      { stdio: ['ignore', log, log] },
    );
    const deadline = Date.now() + 60_000;
    while (!(await accepts(this.port))) {
      if (this.#process.exitCode !== null || Date.now() > deadline) {
        throw new Error(`Kafka did not start:\n${readFileSync(this.#log, 'utf8').slice(-3000)}`);
      }
      await sleep(100);
    }
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await exited;
  }

  killNow(): void {
    this.#process?.kill('SIGKILL');
  }
}

function saslSslProperties(
  folder: string,
  { user, password }: { user: string; password: string },
): Record<string, string> {
  const login = `org.apache.kafka.common.security.scram.ScramLoginModule required username="${user}" password="${password}";`;
  return {
    'sasl.enabled.mechanisms': 'SCRAM-SHA-256',
    'sasl.mechanism.inter.broker.protocol': 'SCRAM-SHA-256',
    'listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config': login,
    'ssl.keystore.location': join(folder, 'broker.p12'),
    'ssl.keystore.password': 'changeit',
    'ssl.keystore.type': 'PKCS12',
    'ssl.endpoint.identification.algorithm': '',
    'ssl.truststore.location': join(folder, 'trust.p12'),
    'ssl.truststore.password': 'changeit',
    'ssl.truststore.type': 'PKCS12',
  };
}

/** A self-signed certificate for 127.0.0.1, made by the JDK's keytool: `broker.p12` in the folder; returns its PEM file. */
export async function createCertificates(folder: string): Promise<string> {
  const keystore = join(folder, 'broker.p12');
  const pem = join(folder, 'ca.pem');
  const store = ['-storepass', 'changeit', '-storetype', 'PKCS12'];
  await run('keytool', [
    '-genkeypair',
    '-alias',
    'broker',
    '-keyalg',
    'RSA',
    '-keysize',
    '2048',
    '-validity',
    '30',
    '-dname',
    'CN=127.0.0.1',
    '-ext',
    'san=ip:127.0.0.1,dns:localhost',
    '-ext',
    'bc:c',
    '-keystore',
    keystore,
    ...store,
  ]);
  await run('keytool', ['-exportcert', '-rfc', '-alias', 'broker', '-file', pem, '-keystore', keystore, ...store]);
  await run('keytool', [
    '-importcert',
    '-noprompt',
    '-alias',
    'ca',
    '-file',
    pem,
    '-keystore',
    join(folder, 'trust.p12'),
    ...store,
  ]);
  return pem;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
