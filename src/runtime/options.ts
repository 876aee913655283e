/**
 * Configuration of an application, in Kafka Streams' names, camelCase. Each option stands once in `NUMERIC_OPTIONS` or
 * `resolveOptions`; docs/options.md is compared with it by a test.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KafkaConfig } from 'kafkajs';
import type { Header } from '../headers.ts';
import type { CompressionType } from '../kafka/index.ts';
import { type Logger, silentLogger } from '../logger.ts';
import { StreamsError } from './errors.ts';

/** A record that a source's serdes could not read. Its bytes are views: copy what you keep. */
export interface UndecodableRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly Header[];
  readonly error: Error;
}

/** 'fail' stops the task with the error; 'continue' drops the record, counted, to the dead letter topic if one is set. */
export type HandlerResponse = 'fail' | 'continue';

interface NumericOption {
  readonly name: NumericOptionName;
  /** In Kafka Streams or its clients; undefined: only here. */
  readonly kafkaName: string | undefined;
  readonly default: number;
  readonly min: number;
}

type NumericOptionName =
  | 'commitIntervalMs'
  | 'cacheMaxBytes'
  | 'maxUncommittedBytes'
  | 'maxTaskIdleMs'
  | 'replicationFactor'
  | 'lingerMs'
  | 'sessionTimeoutMs'
  | 'heartbeatIntervalMs'
  | 'maxPollIntervalMs'
  | 'repartitionPurgeIntervalMs'
  | 'windowStoreChangelogAdditionalRetentionMs'
  | 'deliveryTimeoutMs'
  | 'taskTimeoutMs'
  | 'drainTimeoutMs'
  | 'metadataMaxAgeMs'
  | 'startTimeoutMs';

const MIB = 1024 * 1024;

/** Every option that is a number: units are in the names, ms or bytes. */
export const NUMERIC_OPTIONS: readonly NumericOption[] = [
  { name: 'commitIntervalMs', kafkaName: 'commit.interval.ms', default: 30_000, min: 0 },
  { name: 'cacheMaxBytes', kafkaName: 'statestore.cache.max.bytes', default: 10 * MIB, min: 0 },
  { name: 'maxUncommittedBytes', kafkaName: 'statestore.uncommitted.max.bytes', default: 64 * MIB, min: 0 },
  { name: 'maxTaskIdleMs', kafkaName: 'max.task.idle.ms', default: 0, min: -1 },
  { name: 'replicationFactor', kafkaName: 'replication.factor', default: -1, min: -1 },
  { name: 'lingerMs', kafkaName: 'linger.ms', default: 20, min: 0 },
  { name: 'sessionTimeoutMs', kafkaName: 'session.timeout.ms', default: 45_000, min: 1 },
  { name: 'heartbeatIntervalMs', kafkaName: 'heartbeat.interval.ms', default: 3_000, min: 1 },
  { name: 'maxPollIntervalMs', kafkaName: 'max.poll.interval.ms', default: 300_000, min: 1 },
  { name: 'repartitionPurgeIntervalMs', kafkaName: 'repartition.purge.interval.ms', default: 30_000, min: 0 },
  {
    name: 'windowStoreChangelogAdditionalRetentionMs',
    kafkaName: 'windowstore.changelog.additional.retention.ms',
    default: 86_400_000,
    min: 0,
  },
  { name: 'deliveryTimeoutMs', kafkaName: 'delivery.timeout.ms', default: 120_000, min: 1 },
  { name: 'taskTimeoutMs', kafkaName: 'task.timeout.ms', default: 300_000, min: 0 },
  { name: 'drainTimeoutMs', kafkaName: undefined, default: 5_000, min: 0 },
  { name: 'metadataMaxAgeMs', kafkaName: 'metadata.max.age.ms', default: 60_000, min: 1 },
  { name: 'startTimeoutMs', kafkaName: undefined, default: 10_000, min: 0 },
];

export interface StreamsOptions {
  /** Group id, and prefix of internal topics (application.id). */
  readonly applicationId: string;
  /** kafkajs client options, passed through as they are. */
  readonly kafka: KafkaConfig;
  /** Folder of local state, one per process (state.dir). Default: a folder of the system's temporary one. */
  readonly stateDir?: string;
  /** ms between commits (commit.interval.ms). Default 30000. Lower: less to repeat after a crash, more writes. */
  readonly commitIntervalMs?: number;
  /** Bytes of live objects over all stores (statestore.cache.max.bytes). Default 10 MiB. */
  readonly cacheMaxBytes?: number;
  /** Bytes of uncommitted changes above which a commit comes early (KIP-892). Default 64 MiB. */
  readonly maxUncommittedBytes?: number;
  /**
   * ms a task with data on some partitions waits for the others (max.task.idle.ms). Default 0: only for partitions
   * known to have data. −1: waits for none.
   */
  readonly maxTaskIdleMs?: number;
  /** Where to begin without a committed position (auto.offset.reset). Default earliest. */
  readonly offsetReset?: 'earliest' | 'latest' | 'none';
  /** Default 'fail', as in Kafka Streams. */
  readonly deserializationExceptionHandler?: HandlerResponse | ((record: UndecodableRecord) => HandlerResponse);
  /** Where records that were dropped by 'continue' go, untouched, with headers that say why (KIP-1034). */
  readonly deadLetterTopic?: string;
  /** Copies of internal topics (replication.factor). Default −1: the broker's. */
  readonly replicationFactor?: number;
  /** Compression of what is written (compression.type). Default none. */
  readonly compression?: CompressionType;
  /** ms a batch waits for more records (linger.ms). Default 20. */
  readonly lingerMs?: number;
  /** ms without a heartbeat after which the group goes on without this process (session.timeout.ms). Default 45000. */
  readonly sessionTimeoutMs?: number;
  /** ms between heartbeats, at most half of the session's time-out (heartbeat.interval.ms). Default 3000. */
  readonly heartbeatIntervalMs?: number;
  /** ms without progress after which this process leaves the group (max.poll.interval.ms). Default 300000. */
  readonly maxPollIntervalMs?: number;
  /** ms between deletions of what is committed from repartition topics (repartition.purge.interval.ms). Default 30000. */
  readonly repartitionPurgeIntervalMs?: number;
  /** ms kept on top of a window store's retention in its changelog topic. Default one day. */
  readonly windowStoreChangelogAdditionalRetentionMs?: number;
  /**
   * ms that a record may wait to be acknowledged, tries included, before that is an error (delivery.timeout.ms). Default
   * 120000.
   */
  readonly deliveryTimeoutMs?: number;
  /**
   * ms that a task may get no further because of brokers, a commit or a restore that fails, before that is an error
   * (task.timeout.ms). Default 300000.
   */
  readonly taskTimeoutMs?: number;
  /**
   * ms that asynchronous calls and batches under way are waited for before tasks are handed back, in a rebalance and in
   * close(). What is not done by then is the next owner's, or done again. Default 5000.
   */
  readonly drainTimeoutMs?: number;
  /** ms between two looks at the cluster's topics for what came, grew or went (metadata.max.age.ms). Default 60000. */
  readonly metadataMaxAgeMs?: number;
  /** ms that start() tries to reach the cluster. Default 10000. */
  readonly startTimeoutMs?: number;
  /** pino's call shape. Default: nothing is logged. */
  readonly logger?: Logger;
}

export type ResolvedOptions = Required<Omit<StreamsOptions, 'deadLetterTopic'>> & {
  readonly deadLetterTopic: string | undefined;
};

/** Options that are one of some words; a handler may be a function besides. */
const ENUMERATIONS: Readonly<Record<string, readonly string[]>> = {
  offsetReset: ['earliest', 'latest', 'none'],
  deserializationExceptionHandler: ['fail', 'continue'],
  compression: ['none', 'gzip', 'snappy', 'lz4', 'zstd'],
};

/** An option that is undefined counts as absent. @throws StreamsError MILLRACE_RUNTIME_INVALID_OPTIONS, naming every fault */
export function resolveOptions(options: StreamsOptions): ResolvedOptions {
  const given = Object.fromEntries(
    Object.entries(options ?? {}).filter(([, value]) => value !== undefined),
  ) as unknown as StreamsOptions;
  const numbers = Object.fromEntries(NUMERIC_OPTIONS.map((option) => [option.name, option.default])) as Record<
    NumericOptionName,
    number
  >;
  const resolved: ResolvedOptions = {
    ...numbers,
    stateDir: join(tmpdir(), 'millrace'),
    offsetReset: 'earliest',
    deserializationExceptionHandler: 'fail',
    compression: 'none',
    logger: silentLogger,
    deadLetterTopic: undefined,
    ...given,
  };
  const faults = [...requiredFaults(resolved), ...enumerationFaults(resolved), ...rangeFaults(resolved)];
  const { heartbeatIntervalMs, sessionTimeoutMs } = resolved;
  if (heartbeatIntervalMs * 2 > sessionTimeoutMs) {
    faults.push(
      `heartbeatIntervalMs ${heartbeatIntervalMs} must be at most half of sessionTimeoutMs ${sessionTimeoutMs}`,
    );
  }
  if (faults.length > 0)
    throw new StreamsError('MILLRACE_RUNTIME_INVALID_OPTIONS', `Invalid options: ${faults.join('; ')}.`);
  return resolved;
}

/** What JavaScript, or a variable of the environment that is not set, can leave out. */
function requiredFaults({ applicationId, kafka, stateDir, deadLetterTopic, logger }: ResolvedOptions): string[] {
  const faults: string[] = [];
  if (typeof applicationId !== 'string' || !/^[A-Za-z0-9._-]{1,200}$/.test(applicationId)) {
    faults.push(
      `applicationId '${applicationId}' must be 1 to 200 letters, digits, '.', '_' or '-': topic names begin with it`,
    );
  }
  const brokers: unknown = kafka?.brokers;
  if (typeof brokers !== 'function' && !(Array.isArray(brokers) && brokers.length > 0))
    faults.push('kafka.brokers is missing: a list of host:port');
  if (typeof stateDir !== 'string' || stateDir === '') faults.push('stateDir must be the path of a folder');
  if (deadLetterTopic === '') faults.push("deadLetterTopic is '', leave it out for none");
  const missing = (['debug', 'info', 'warn', 'error'] as const).filter((level) => typeof logger[level] !== 'function');
  if (missing.length > 0) faults.push(`logger lacks ${missing.join(', ')}()`);
  return faults;
}

function enumerationFaults(resolved: ResolvedOptions): string[] {
  return Object.entries(ENUMERATIONS).flatMap(([name, values]) => {
    const value: unknown = resolved[name as keyof ResolvedOptions];
    const isHandler = name === 'deserializationExceptionHandler' && typeof value === 'function';
    return isHandler || values.includes(String(value)) ? [] : [`${name} is ${value}, it must be ${values.join(', ')}`];
  });
}

function rangeFaults(resolved: ResolvedOptions): string[] {
  return NUMERIC_OPTIONS.filter(({ name, min }) => !(Number.isFinite(resolved[name]) && resolved[name] >= min)).map(
    ({ name, min }) => `${name} is ${resolved[name]}, it must be ≥ ${min}`,
  );
}
