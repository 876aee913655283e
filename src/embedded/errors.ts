/** What the embedded services throw when they are started or asked for what they do not do. */
import { MillraceError } from '../errors.ts';

export class EmbeddedError extends MillraceError {}

/** @param setting the option or environment variable that moves the service */
export function portInUse(service: string, host: string, port: number, setting: string, cause: unknown): EmbeddedError {
  return new EmbeddedError(
    'MILLRACE_EMBEDDED_PORT_IN_USE',
    `The ${service} cannot listen on ${host}:${port}: the port is in use. Stop what uses it, or set ${setting} to another.`,
    { cause },
  );
}

/** @param what the option or control, what it got, and what it takes */
export function invalidArgument(what: string): EmbeddedError {
  return new EmbeddedError('MILLRACE_EMBEDDED_INVALID_ARGUMENT', what);
}

export function isAddressInUse(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
}
