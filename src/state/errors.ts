/** What stores and their databases throw. */
import { MillraceError, type MillraceErrorOptions, messageOf } from '../errors.ts';

export class StateError extends MillraceError {}

export class StateStoreClosedError extends StateError {
  constructor(store: string) {
    super(
      'MILLRACE_STATE_STORE_CLOSED',
      `Store ${store} is closed: its task has moved, or the application is stopped.`,
      {
        context: { store },
      },
    );
  }
}

/** A store that cannot be as it is described. */
export class InvalidStoreError extends StateError {
  constructor(store: string, what: string) {
    super('MILLRACE_STATE_INVALID_STORE', `Store ${store}: ${what}`, { context: { store } });
  }
}

/** A put for a window that starts at no time. */
export class InvalidWindowStartError extends StateError {
  constructor(store: string, windowStartMs: unknown) {
    const what = typeof windowStartMs === 'number' ? String(windowStartMs) : `a ${typeof windowStartMs}`;
    super(
      'MILLRACE_STATE_INVALID_WINDOW_START',
      `Store ${store}: a window cannot start at ${what}. Give the ms since the epoch as a whole number ≥ 0; the value comes before it in put(key, value, windowStartMs).`,
      { context: { store } },
    );
  }
}

/** Another process, or another instance in this one, uses the state directory. */
export class StateDirectoryLockedError extends StateError {
  constructor(directory: string, cause?: unknown) {
    super(
      'MILLRACE_STATE_DIRECTORY_LOCKED',
      `The state directory ${directory} is in use by another process. Give each process its own (stateDir, STATE_DIR), or stop the other one.`,
      { cause },
    );
  }
}

/** The database cannot be read. The runtime deletes it and rebuilds it from the changelog. */
export class CorruptStateError extends StateError {
  constructor(directory: string, cause: unknown) {
    super(
      'MILLRACE_STATE_CORRUPT',
      `The state database in ${directory} is damaged (${messageOf(cause)}). It is rebuilt from the changelog topics.`,
      { cause },
    );
  }
}

export class StateWriteError extends StateError {
  constructor(directory: string, cause: unknown, options: MillraceErrorOptions = {}) {
    const full = /no space|ENOSPC/i.test(messageOf(cause));
    super(
      full ? 'MILLRACE_STATE_DISK_FULL' : 'MILLRACE_STATE_WRITE',
      full
        ? `The disk that holds the state directory ${directory} is full. Make room and restart: nothing committed is lost.`
        : `Writing to the state database in ${directory} failed (${messageOf(cause)}).`,
      { ...options, cause },
    );
  }
}

/** Turns what LevelDB threw into a typed error. */
export function translateLevelError(directory: string, error: unknown): StateError {
  if (error instanceof StateError) return error;
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
  if (/^LEVEL_(DATABASE|ITERATOR|BATCH|SNAPSHOT)_NOT_OPEN$/.test(code)) return new StateStoreClosedError(directory);
  const message = `${messageOf(error)} ${messageOf(cause)}`;
  if (code === 'LEVEL_LOCKED' || /\block \S*LOCK\b/.test(message))
    return new StateDirectoryLockedError(directory, error);
  if (code === 'LEVEL_CORRUPTION' || /corrupt|checksum|missing files|not a valid|truncated|CURRENT/i.test(message)) {
    return new CorruptStateError(directory, cause);
  }
  return new StateWriteError(directory, cause);
}
