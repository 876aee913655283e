/**
 * What a database can answer, in three kinds: not now (wait and try again), not so (somebody must change something), and not
 * this row (the others can be stored).
 */
import pg from 'pg';
import { MillraceError, messageOf } from '../../errors.ts';

/** `retriable` tells whether the same call may succeed later. Messages hold no values of rows and no password. */
export class DatabaseError extends MillraceError {
  /** PostgreSQL's code, where it answered at all. */
  declare readonly sqlState?: string;

  constructor(code: string, message: string, options: { retriable: boolean; cause?: unknown; sqlState?: string }) {
    super(code, message, options);
    if (options.sqlState !== undefined) this.sqlState = options.sqlState;
  }
}

/** A row that the database cannot hold, or that a constraint or trigger of its table refuses. */
export class RowRefusedError extends DatabaseError {
  /** @param what the column or constraint, and why; no value */
  constructor(what: string, sqlState?: string) {
    // PostgreSQL's own error is no cause of this one: its detail has the row.
    super('MILLRACE_APPS_ROW_REFUSED', `The table metrics cannot hold the row: ${what}.`, {
      retriable: false,
      ...(sqlState === undefined ? {} : { sqlState }),
    });
  }
}

/**
 * Anything that a call to the database threw, as an error that says whether to wait.
 *
 * @param doing what was tried, with the database's address, to begin a sentence after "could not"
 * @returns what is no answer of a database or of a connection, a mistake in the code for example, as it is
 */
export function databaseError(error: unknown, doing: string): unknown {
  if (error instanceof MillraceError || !(error instanceof Error)) return error;
  if (error instanceof pg.DatabaseError && error.code !== undefined) return answered(error, error.code, doing);
  if (isLoginFailure(error)) return refused(error, doing, 'Check the password and TLS settings in DATABASE_URL.');
  if (!isConnectionFailure(error)) return error;
  return new DatabaseError(
    'MILLRACE_APPS_DATABASE_UNAVAILABLE',
    `Could not ${doing}: ${reasonOf(error)}. Check that it runs and can be reached; it is tried again.`,
    { retriable: true, cause: error },
  );
}

/** True where one of the statement's rows is to blame, so that it may succeed with fewer. */
export function isAboutRows(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && /^(22|23|54|44000$|P0001$)/.test(error.code ?? '');
}

/** @param error `isAboutRows`, from a statement of one row */
export function rowRefused(error: pg.DatabaseError): RowRefusedError {
  const { code = '', constraint } = error;
  // Class 23 names the constraint or column and keeps values to its detail; the others' messages quote them.
  const reason = code.startsWith('23') ? error.message : (ROW_REASONS[code] ?? 'see the code');
  const by = constraint === undefined || reason.includes(constraint) ? '' : `, constraint ${constraint}`;
  return new RowRefusedError(`${reason}${by} (SQLSTATE ${code})`, code);
}

const ROW_REASONS: Readonly<Record<string, string>> = {
  '22001': 'a string is too long for its column',
  '22003': 'a number is out of its column’s range',
  '22008': 'the time is out of range',
  '22021': 'a string has a character that the database’s encoding lacks',
  '22P02': 'a value cannot be read as its column’s type',
  '22P05': 'a string has a character that the database’s encoding lacks',
  '54000': 'a value is too large, for an index perhaps',
  '54001': 'labels are nested too deep',
  P0001: 'a trigger raised an exception',
};

/** Codes, and classes by their two characters, of what passes by itself or is an operator's business meanwhile. */
const RETRIABLE: ReadonlySet<string> = new Set([
  '08', // connection exceptions; a pooler's word for "no server now" as well
  '25006', // read-only: a standby before it takes over
  '25P03', // idle in a transaction for too long
  '25P04', // transaction time-out
  '40', // rolled back: serialization, deadlock
  '53', // resources: disk full, memory, too many connections
  '55006', // in use
  '55P03', // lock not available
  '57', // an operator's doing: shutdown, starting up, cancelled, statement time-out
  '58000', // system error
  '58030', // I/O error
]);

/** @param sqlState five characters */
export function isRetriable(sqlState: string): boolean {
  return RETRIABLE.has(sqlState) || RETRIABLE.has(sqlState.slice(0, 2));
}

function answered(error: pg.DatabaseError, sqlState: string, doing: string): DatabaseError {
  if (isRetriable(sqlState)) {
    return new DatabaseError(
      'MILLRACE_APPS_DATABASE_UNAVAILABLE',
      `Could not ${doing}: ${error.message} (SQLSTATE ${sqlState}). It is tried again.`,
      { retriable: true, cause: error, sqlState },
    );
  }
  return refused(error, doing, REMEDIES[sqlState.slice(0, 2)] ?? 'See the server’s log.', sqlState);
}

const REMEDIES: Readonly<Record<string, string>> = {
  '28': 'Check user name and password in DATABASE_URL, and pg_hba.conf.',
  '3D': 'Create the database, or correct its name in DATABASE_URL.',
  '42': 'Check the user’s rights and the columns of the tables metrics and millrace_positions.',
};

function refused(error: Error, doing: string, remedy: string, sqlState?: string): DatabaseError {
  const state = sqlState === undefined ? '' : ` (SQLSTATE ${sqlState})`;
  return new DatabaseError(
    'MILLRACE_APPS_DATABASE_REFUSED',
    `Could not ${doing}: ${reasonOf(error)}${state}. ${remedy}`,
    {
      retriable: false,
      cause: error,
      ...(sqlState === undefined ? {} : { sqlState }),
    },
  );
}

/** The driver's and TLS's words for an end that is not what DATABASE_URL says. */
function isLoginFailure(error: Error): boolean {
  return (
    /^(SASL|The server does not support SSL|There was an error establishing an SSL|Password must)/.test(
      error.message,
    ) || /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|EPROTO/.test(codeOf(error))
  );
}

function isConnectionFailure(error: Error): boolean {
  // The driver has no codes for its own.
  return (
    /^(Connection terminated|timeout e|Query read timeout|Client (has encountered|was closed)|Cannot use a pool)/.test(
      error.message,
    ) || /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|EADDRNOTAVAIL|ENOTFOUND|EAI_|EMFILE|ENFILE|ENOENT)/.test(codeOf(error))
  );
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** Node's error of several addresses that were all tried has no message of its own. */
function reasonOf(error: Error): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error.message === '' ? codeOf(error) : error.message;
}
