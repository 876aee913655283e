/** What serdes and the registry client throw. Messages never hold the bytes or the values. */
import { MillraceError, messageOf } from '../errors.ts';

export class SerdeError extends MillraceError {}

/** Bytes that are not what the serde reads. The deserialisation handler decides what happens. */
export class DeserializationError extends SerdeError {
  constructor(serde: string, what: string, cause?: unknown) {
    super('MILLRACE_SERDES_DESERIALIZATION', `Cannot read as ${serde}: ${what}.`, { cause });
  }
}

/** A value that the serde cannot write: a fault of the program, not of its input. */
export class SerializationError extends SerdeError {
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
  declare readonly resolve: () => Promise<void>;

  constructor(schemaId: number, resolve: () => Promise<void>) {
    super('MILLRACE_SERDES_SCHEMA_PENDING', `Schema ${schemaId} is not fetched yet.`, { retriable: true });
    Object.defineProperty(this, 'resolve', { value: resolve, enumerable: false });
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

/** Wraps what a user's codec threw, unless it is typed already. */
export function asDeserializationError(serde: string, error: unknown): SerdeError {
  return error instanceof SerdeError ? error : new DeserializationError(serde, messageOf(error), error);
}
