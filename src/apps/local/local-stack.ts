/**
 * The services of one machine, from environment variables: embedded Kafka and schema registry with the platform's topics, and
 * a database.
 */
import { join, resolve } from 'node:path';
import { type EmbeddedKafka, type EmbeddedRegistry, startKafka, startRegistry } from '../../embedded/index.ts';
import { MillraceError } from '../../errors.ts';
import type { Logger } from '../../index.ts';
import { ConfigurationError, flag, text } from '../environment.ts';
import { type LocalPostgres, startLocalPostgres } from './local-postgres.ts';

/** What the platform's programs read and write, with their partitions. */
const TOPICS: readonly string[] = [
  'metrics',
  'metrics-aggregated',
  'metrics-dlq',
  'logs',
  'events',
  'traces',
  'predictions',
  'anomalies',
  'anomalies-dlq',
  'remediations',
  'infrastructure_changes',
  'alerts',
];
const PARTITIONS = 3;

export interface LocalStack {
  readonly kafka: EmbeddedKafka;
  readonly registry: EmbeddedRegistry;
  /** DATABASE_URL, else a PostgreSQL of this machine's own; undefined where there can be none, as the log says. */
  readonly databaseUrl: string | undefined;
  /** Where everything is kept. */
  readonly dataDir: string;
  close(): Promise<void>;
}

export async function startLocalStack(env: NodeJS.ProcessEnv, logger: Logger): Promise<LocalStack> {
  const dataDir = resolve(text(env, 'DATA_DIR', '.millrace'));
  const closing: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const step of closing.splice(0).reverse()) await step();
  };
  // It takes seconds where the others take milliseconds.
  const starting = startDatabase(env, join(dataDir, 'postgres'), logger);
  starting.catch(() => undefined);
  try {
    const kafka = await startKafka({
      port: port(env, 'KAFKA_PORT', 9092),
      portSetting: 'KAFKA_PORT',
      dataDir: join(dataDir, 'kafka'),
      autoCreateTopics: flag(env, 'KAFKA_AUTO_CREATE_TOPICS'),
      defaultPartitions: PARTITIONS,
      topics: TOPICS.map((topic) => ({ topic, partitions: PARTITIONS })),
      logger,
    });
    closing.push(() => kafka.close());
    const registry = await startRegistry({
      kafka: { brokers: kafka.brokers },
      port: port(env, 'SCHEMA_REGISTRY_PORT', 8081),
      portSetting: 'SCHEMA_REGISTRY_PORT',
      logger,
    });
    closing.push(() => registry.close());
    const database = await starting;
    if (typeof database === 'object') closing.push(() => database.close());
    const databaseUrl = typeof database === 'object' ? database.url : database;
    return { kafka, registry, databaseUrl, dataDir, close };
  } catch (error) {
    const database = await starting.catch(() => undefined);
    if (typeof database === 'object') await database.close();
    await close();
    throw error;
  }
}

/** @returns an address that is given, a server that was started, or undefined: what needs one is left out */
async function startDatabase(
  env: NodeJS.ProcessEnv,
  dataDir: string,
  logger: Logger,
): Promise<string | LocalPostgres | undefined> {
  const given = text(env, 'DATABASE_URL', '');
  if (given !== '') return given;
  try {
    return await startLocalPostgres({
      dataDir,
      port: port(env, 'POSTGRES_PORT', 0),
      portSetting: 'POSTGRES_PORT',
      logger,
    });
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'MILLRACE_APPS_POSTGRES_START') throw error;
    logger.warn({ code: error.code }, error.message);
    return undefined;
  }
}

function port(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const given = Number(text(env, name, String(fallback)));
  if (!Number.isInteger(given) || given < 0 || given > 65_535)
    throw new ConfigurationError(`${name} must be a port, 0 to 65535 (0: any that is free), not '${env[name]}'.`);
  return given;
}
