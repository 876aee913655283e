/**
 * The base of every error that millrace throws. Each room derives its own in its `errors.ts`; codes have the form
 * `MILLRACE_<ROOM>_<WHAT>`, are stable across releases and never reused.
 */

/** Where an error happened. Never holds keys, values or credentials: these fields are enumerable and end in logs. */
export interface ErrorContext {
  readonly topic?: string;
  readonly partition?: number;
  readonly offset?: number;
  readonly store?: string;
  readonly node?: string;
  readonly taskId?: string;
}

export interface MillraceErrorOptions {
  /** True where the same call may succeed later without anything being changed. Default false. */
  readonly retriable?: boolean;
  readonly cause?: unknown;
  readonly context?: ErrorContext;
}

export class MillraceError extends Error {
  /** Stable identifier, e.g. `MILLRACE_STATE_STORE_CLOSED`. */
  readonly code: string;
  readonly retriable: boolean;
  declare readonly topic?: string;
  declare readonly partition?: number;
  declare readonly offset?: number;
  declare readonly store?: string;
  declare readonly node?: string;
  declare readonly taskId?: string;

  constructor(code: string, message: string, options: MillraceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retriable = options.retriable ?? false;
    Object.assign(this, options.context);
  }
}

/** The message of anything thrown, for use inside another message. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Anything thrown, as an error: what is none becomes one of its text. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(messageOf(thrown));
}
