/** The programs' configuration, from environment variables. A fault names the variable and says what to do. */
import { readFileSync } from 'node:fs';
import type { KafkaConfig, SASLOptions } from 'kafkajs';
import { type Logger, pino } from 'pino';
import { messageOf } from '../errors.ts';
import type { SchemaRegistryOptions } from '../index.ts';

export class ConfigurationError extends Error {}

type Environment = Readonly<Record<string, string | undefined>>;

/** Kafka's client options from KAFKA_BROKERS, KAFKA_SSL, KAFKA_SSL_CA and KAFKA_SASL_*. */
export function kafkaConfig(env: Environment): KafkaConfig {
  const brokers = text(env, 'KAFKA_BROKERS', 'localhost:9092')
    .split(',')
    .map((broker) => broker.trim())
    .filter((broker) => broker !== '');
  if (brokers.length === 0 || brokers.some((broker) => !/^\S+:\d+$/.test(broker))) {
    throw new ConfigurationError('KAFKA_BROKERS must be a comma list of host:port.');
  }
  const sasl = saslOptions(env);
  const ssl = flag(env, 'KAFKA_SSL') || env['KAFKA_SSL_CA'] !== undefined;
  const ca = env['KAFKA_SSL_CA'];
  return {
    brokers,
    ...(ssl ? { ssl: ca === undefined ? true : { ca: [readCa('KAFKA_SSL_CA', ca)] } } : {}),
    ...(sasl === undefined ? {} : { sasl }),
  };
}

/** The registry's address and login from SCHEMA_REGISTRY_URL, _USERNAME, _PASSWORD and _SSL_CA. */
export function registryOptions(env: Environment): SchemaRegistryOptions {
  const url = text(env, 'SCHEMA_REGISTRY_URL', 'http://localhost:8081');
  if (!URL.canParse(url) || !/^https?:/.test(url))
    throw new ConfigurationError('SCHEMA_REGISTRY_URL must be an http or https address.');
  const username = env['SCHEMA_REGISTRY_USERNAME'];
  const password = env['SCHEMA_REGISTRY_PASSWORD'] ?? '';
  const ca = env['SCHEMA_REGISTRY_SSL_CA'];
  return {
    url,
    ...(username === undefined || username === '' ? {} : { auth: { username, password } }),
    ...(ca === undefined ? {} : { ca: readCa('SCHEMA_REGISTRY_SSL_CA', ca) }),
  };
}

function readCa(variable: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigurationError(`${variable}: the file cannot be read (${messageOf(error)}).`);
  }
}

function saslOptions(env: Environment): SASLOptions | undefined {
  const mechanism = env['KAFKA_SASL_MECHANISM']?.toLowerCase();
  if (mechanism === undefined || mechanism === '') return undefined;
  if (mechanism !== 'plain' && mechanism !== 'scram-sha-256' && mechanism !== 'scram-sha-512') {
    throw new ConfigurationError('KAFKA_SASL_MECHANISM must be plain, scram-sha-256 or scram-sha-512.');
  }
  const username = env['KAFKA_SASL_USERNAME'];
  const password = env['KAFKA_SASL_PASSWORD'];
  if (username === undefined || password === undefined) {
    throw new ConfigurationError('KAFKA_SASL_MECHANISM needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD.');
  }
  return { mechanism, username, password } as SASLOptions;
}

export function text(env: Environment, name: string, fallback: string): string {
  const value = env[name];
  return value === undefined || value === '' ? fallback : value;
}

export function flag(env: Environment, name: string): boolean {
  return /^(1|true|yes|on)$/i.test(env[name] ?? '');
}

/** @returns milliseconds ≥ 0 */
export function milliseconds(env: Environment, name: string, fallback: number): number {
  const given = env[name];
  if (given === undefined || given === '') return fallback;
  const value = Number(given);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new ConfigurationError(`${name} must be a whole number of milliseconds, not '${given}'.`);
  return value;
}

export function createLogger(env: Environment): Logger {
  const level = text(env, 'LOG_LEVEL', 'info');
  if (!['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].includes(level)) {
    throw new ConfigurationError('LOG_LEVEL must be trace, debug, info, warn, error, fatal or silent.');
  }
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true }));
}
