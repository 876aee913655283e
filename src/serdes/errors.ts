/** What serdes and the registry client throw. Messages never hold the bytes or the values. */
import { MillraceError } from '../errors.ts';
import { kindOf } from './kinds.ts';

export class SerdeError extends MillraceError {}

/** Bytes that are not what the serde reads. The deserialisation handler decides what happens. */
export class DeserializationError extends SerdeError {
  /** @param cause what code of the user's threw; never what a parser says, which quotes what it could not parse */
  constructor(serde: string, what: string, cause?: unknown) {
    super('MILLRACE_SERDES_DESERIALIZATION', `Cannot read as ${serde}: ${what}.`, { cause });
  }
}

/** A value that the serde cannot write: a fault of the program, not of its input. */
export class SerializationError extends SerdeError {
  /** @param cause what code of the user's threw */
  constructor(serde: string, what: string, cause?: unknown) {
    super(
      'MILLRACE_SERDES_SERIALIZATION',
      `Cannot write as ${serde}: ${what}. Check that the topic's or store's serde fits the values.`,
      { cause },
    );
  }
}

/**
 * The schema of a record is not known yet and must be fetched: await `resolve()`, then read again. Not a bad record;
 * rejects with a RegistryError where the registry forbids access.
 */
export class SchemaPendingError extends SerdeError {
  /** @param signal ends the wait for a registry that is away */
  declare readonly resolve: (signal?: AbortSignal) => Promise<void>;

  constructor(schemaId: number, resolve: (signal?: AbortSignal) => Promise<void>) {
    super('MILLRACE_SERDES_SCHEMA_PENDING', `Schema ${schemaId} is not fetched yet.`, { retriable: true });
    Object.defineProperty(this, 'resolve', { value: resolve, enumerable: false });
  }
}

/** A schema that is none, or that lacks a field that is asked for. */
export class SchemaError extends SerdeError {
  constructor(what: string) {
    super('MILLRACE_SERDES_INVALID_SCHEMA', `Not an Avro schema to work with: ${what}.`);
  }
}

/** An option of a serde or of the registry's client that cannot be meant so. */
export class SerdeOptionError extends SerdeError {
  constructor(what: string) {
    super('MILLRACE_SERDES_INVALID_OPTION', what);
  }
}

/** The registry refused a request in a way that waiting will not change. */
export class RegistryError extends SerdeError {
  /** HTTP status; 0 where there was no answer. */
  readonly status: number;

  constructor(code: string, message: string, status: number, retriable = false, cause?: unknown) {
    super(code, message, { retriable, cause });
    this.status = status;
  }
}

/** What a serde's own code threw while reading, as a typed error with that as its cause; a typed one as it is. */
export function asDeserializationError(serde: string, error: unknown): SerdeError {
  return error instanceof SerdeError
    ? error
    : new DeserializationError(serde, `its code threw ${nameOf(error)}`, error);
}

/** What a serde's own code threw while writing, as a typed error with that as its cause; a typed one as it is. */
export function asSerializationError(serde: string, error: unknown): SerdeError {
  return error instanceof SerdeError ? error : new SerializationError(serde, `its code threw ${nameOf(error)}`, error);
}

/** The name of an error's class: its message may quote the value. */
export function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : kindOf(error);
}
