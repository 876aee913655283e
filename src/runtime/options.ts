/** Configuration of an application, in Kafka Streams' names, camelCase, with defaults and checks. */
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
  /** Compression of what is written. Default none. */
  readonly compression?: CompressionType;
  /** ms a batch waits for more records (linger.ms). Default 20. */
  readonly lingerMs?: number;
  /** Default 45000. */
  readonly sessionTimeoutMs?: number;
  /** Default 3000. */
  readonly heartbeatIntervalMs?: number;
  /** Default 300000. */
  readonly maxPollIntervalMs?: number;
  /** ms between deletions of what is committed from repartition topics (repartition.purge.interval.ms). Default 30000. */
  readonly repartitionPurgeIntervalMs?: number;
  /** ms kept on top of a window store's retention in its changelog topic. Default one day. */
  readonly windowStoreChangelogAdditionalRetentionMs?: number;
  /** ms that start() tries to reach the cluster. Default 10000. */
  readonly startTimeoutMs?: number;
  readonly logger?: Logger;
}

export type ResolvedOptions = Required<Omit<StreamsOptions, 'deadLetterTopic'>> & {
  readonly deadLetterTopic: string | undefined;
};

/** @throws StreamsError MILLRACE_RUNTIME_INVALID_OPTIONS, naming every contradiction */
export function resolveOptions(options: StreamsOptions): ResolvedOptions {
  const resolved: ResolvedOptions = {
    stateDir: join(tmpdir(), 'millrace'),
    commitIntervalMs: 30_000,
    cacheMaxBytes: 10 * 1024 * 1024,
    maxUncommittedBytes: 64 * 1024 * 1024,
    maxTaskIdleMs: 0,
    offsetReset: 'earliest',
    deserializationExceptionHandler: 'fail',
    replicationFactor: -1,
    compression: 'none',
    lingerMs: 20,
    sessionTimeoutMs: 45_000,
    heartbeatIntervalMs: 3_000,
    maxPollIntervalMs: 300_000,
    repartitionPurgeIntervalMs: 30_000,
    windowStoreChangelogAdditionalRetentionMs: 86_400_000,
    startTimeoutMs: 10_000,
    logger: silentLogger,
    deadLetterTopic: undefined,
    ...options,
  };
  const faults: string[] = [];
  if (!/^[A-Za-z0-9._-]{1,200}$/.test(resolved.applicationId)) {
    faults.push(
      `applicationId '${resolved.applicationId}' must be 1 to 200 letters, digits, '.', '_' or '-': topic names begin with it`,
    );
  }
  for (const name of [
    'commitIntervalMs',
    'cacheMaxBytes',
    'maxUncommittedBytes',
    'lingerMs',
    'repartitionPurgeIntervalMs',
    'startTimeoutMs',
  ] as const) {
    if (!(Number.isFinite(resolved[name]) && resolved[name] >= 0))
      faults.push(`${name} is ${resolved[name]}, it must be ≥ 0`);
  }
  if (!(resolved.maxTaskIdleMs >= -1)) faults.push(`maxTaskIdleMs is ${resolved.maxTaskIdleMs}, it must be ≥ -1`);
  if (resolved.heartbeatIntervalMs * 2 > resolved.sessionTimeoutMs) {
    faults.push(
      `heartbeatIntervalMs ${resolved.heartbeatIntervalMs} must be at most half of sessionTimeoutMs ${resolved.sessionTimeoutMs}`,
    );
  }
  if (faults.length > 0)
    throw new StreamsError('MILLRACE_RUNTIME_INVALID_OPTIONS', `Invalid options: ${faults.join('; ')}.`);
  return resolved;
}
