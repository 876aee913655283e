/** The services of one machine: embedded Kafka and schema registry with the platform's topics, from environment variables. */
import { join, resolve } from 'node:path';
import { type EmbeddedKafka, type EmbeddedRegistry, startKafka, startRegistry } from '../embedded/index.ts';
import type { Logger } from '../index.ts';
import { ConfigurationError, flag, text } from './environment.ts';

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
  /** Where everything is kept. */
  readonly dataDir: string;
  close(): Promise<void>;
}

export async function startLocalStack(env: NodeJS.ProcessEnv, logger: Logger): Promise<LocalStack> {
  const dataDir = resolve(text(env, 'DATA_DIR', '.millrace'));
  const kafka = await startKafka({
    port: port(env, 'KAFKA_PORT', 9092),
    portSetting: 'KAFKA_PORT',
    dataDir: join(dataDir, 'kafka'),
    autoCreateTopics: flag(env, 'KAFKA_AUTO_CREATE_TOPICS'),
    defaultPartitions: PARTITIONS,
    topics: TOPICS.map((topic) => ({ topic, partitions: PARTITIONS })),
    logger,
  });
  try {
    const registry = await startRegistry({
      kafka: { brokers: kafka.brokers },
      port: port(env, 'SCHEMA_REGISTRY_PORT', 8081),
      portSetting: 'SCHEMA_REGISTRY_PORT',
      logger,
    });
    return {
      kafka,
      registry,
      dataDir,
      async close() {
        await registry.close();
        await kafka.close();
      },
    };
  } catch (error) {
    await kafka.close();
    throw error;
  }
}

function port(env: NodeJS.ProcessEnv, name: string, fallback: number): number {
  const given = Number(text(env, name, String(fallback)));
  if (!Number.isInteger(given) || given < 0 || given > 65_535)
    throw new ConfigurationError(`${name} must be a port, 0 to 65535 (0: any that is free), not '${env[name]}'.`);
  return given;
}
