/** The programs' configuration, from environment variables. A fault names the variable and says what to do. */
import type { KafkaConfig, SASLOptions } from 'kafkajs';
import { type Logger, pino } from 'pino';
import { ConfigurationError, type Environment, readCa, text } from '../settings/environment.ts';

export { ConfigurationError, registryOptions, text } from '../settings/environment.ts';

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

/**
 * An http or https address.
 * @param fallback undefined: it may be left out
 */
export function address<F extends string | undefined>(env: Environment, name: string, fallback: F): string | F {
  const value = env[name];
  if (value === undefined || value === '') return fallback;
  // Not quoted: it may hold a password or a token.
  if (!URL.canParse(value) || !/^https?:/i.test(value))
    throw new ConfigurationError(`${name} must be an http or https address.`);
  return value;
}

export function flag(env: Environment, name: string): boolean {
  return /^(1|true|yes|on)$/i.test(env[name] ?? '');
}

/** @returns milliseconds ≥ `least` */
export function milliseconds(env: Environment, name: string, fallback: number, least = 0): number {
  const given = env[name];
  if (given === undefined || given === '') return fallback;
  const value = Number(given);
  if (!Number.isSafeInteger(value) || value < least)
    throw new ConfigurationError(`${name} must be a whole number of milliseconds from ${least} on, not '${given}'.`);
  return value;
}

export function createLogger(env: Environment): Logger {
  const level = text(env, 'LOG_LEVEL', 'info');
  if (!['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].includes(level)) {
    throw new ConfigurationError('LOG_LEVEL must be trace, debug, info, warn, error, fatal or silent.');
  }
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true }));
}

/** @returns a whole number ≥ 1 */
export function count(env: Environment, name: string, fallback: number): number {
  const given = env[name];
  if (given === undefined || given === '') return fallback;
  const value = Number(given);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new ConfigurationError(`${name} must be a whole number ≥ 1, not '${given}'.`);
  return value;
}
