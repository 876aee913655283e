/** What every program does around its work: a clear last word on errors, an orderly end on SIGTERM and SIGINT. */
import { MillraceError } from '../index.ts';
import { ConfigurationError } from './environment.ts';

const ADVICE: Readonly<Record<string, string>> = {
  MILLRACE_KAFKA_CONNECTION: 'Check KAFKA_BROKERS and that the broker runs; KAFKA_SSL where it wants TLS.',
  MILLRACE_KAFKA_AUTHENTICATION: 'Check KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD.',
  MILLRACE_SERDES_REGISTRY_UNREACHABLE: 'Check SCHEMA_REGISTRY_URL.',
  MILLRACE_SERDES_REGISTRY_FORBIDDEN: 'Check SCHEMA_REGISTRY_URL and its user name and password.',
  MILLRACE_STATE_DIRECTORY_LOCKED: 'Set STATE_DIR to a folder of its own for each process.',
  MILLRACE_EMBEDDED_DATA_IN_USE: 'Set DATA_DIR to another folder.',
  MILLRACE_EMBEDDED_STORAGE: 'Or set DATA_DIR to another folder.',
};

/** Runs `main`; an error ends the process with its message and exit code 1. */
export async function runProgram(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    fail(error);
  }
}

export function fail(error: unknown): never {
  process.stderr.write(`${explain(error)}\n`);
  process.exit(1);
}

/** The message of an expected error, with what to set; the stack of an unexpected one. */
export function explain(error: unknown): string {
  if (error instanceof ConfigurationError) return error.message;
  if (error instanceof MillraceError) {
    const advice = ADVICE[error.code];
    return `${error.message}${advice === undefined ? '' : ` ${advice}`} [${error.code}]`;
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Calls `stop` once, on the first SIGTERM or SIGINT; a second one ends the process at once. */
export function onStopSignal(stop: () => void): void {
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(1);
      stopping = true;
      stop();
    });
  }
}
