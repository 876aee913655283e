/** What millrace logs through: pino's call shape, so that a pino logger can be passed as it is. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const nothing = (): void => {};

/** Logs nothing: the default of the library; the programs pass pino. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
