/** What programs and commands read of the environment alike. A fault names the variable and says what to do. */
import { readFileSync } from 'node:fs';
import { messageOf } from '../errors.ts';
import type { SchemaRegistryOptions } from '../index.ts';

export class ConfigurationError extends Error {}

export type Environment = Readonly<Record<string, string | undefined>>;

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

/** @throws ConfigurationError */
export function readCa(variable: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigurationError(`${variable}: the file cannot be read (${messageOf(error)}).`);
  }
}

export function text(env: Environment, name: string, fallback: string): string {
  const value = env[name];
  return value === undefined || value === '' ? fallback : value;
}
