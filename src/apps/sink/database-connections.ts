/** A few connections to one PostgreSQL: every wait has a bound, and a signal ends what is under way. */
import pg from 'pg';
import { messageOf } from '../../errors.ts';
import { type Logger, silentLogger } from '../../logger.ts';
import { ConfigurationError } from '../environment.ts';
import { databaseError } from './database-errors.ts';

export interface DatabaseOptions {
  /** postgres://user:password@host:port/database, with libpq's parameters (`sslmode`) behind it. */
  readonly url: string;
  /** At most, default 4: as many batches are under way at once, the others wait. */
  readonly connections?: number;
  /** ms that a statement may take, default 30,000. */
  readonly statementTimeoutMs?: number;
  /** ms that connecting, or waiting for a connection, may take, default 10,000. */
  readonly connectTimeoutMs?: number;
  readonly logger?: Logger;
}

/** ms, at most, that the server has to say that it ended a statement by its time-out, before the connection counts as lost. */
const MAX_ANSWER_MS = 5_000;
/** ms after which the server ends a transaction whose client is gone without a word, and its locks. */
const IDLE_IN_TRANSACTION_MS = 60_000;
const IDLE_CONNECTION_MS = 60_000;
const KEEP_ALIVE_DELAY_MS = 10_000;

export class DatabaseConnections {
  /** host:port/database, for messages. */
  readonly address: string;
  readonly #pool: pg.Pool;
  #closing: Promise<void> | undefined;

  /** @throws ConfigurationError where the address is none */
  constructor({
    url,
    connections = 4,
    statementTimeoutMs = 30_000,
    connectTimeoutMs = 10_000,
    logger = silentLogger,
  }: DatabaseOptions) {
    this.address = addressOf(url);
    this.#pool = new pg.Pool({
      connectionString: url,
      application_name: 'millrace',
      max: connections,
      connectionTimeoutMillis: connectTimeoutMs,
      idleTimeoutMillis: IDLE_CONNECTION_MS,
      query_timeout: statementTimeoutMs + Math.min(statementTimeoutMs, MAX_ANSWER_MS),
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
      // Not in the startup message, which poolers refuse.
      onConnect: (connection) =>
        connection.query(
          `SET statement_timeout = ${statementTimeoutMs}; SET idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MS}`,
        ),
    });
    this.#pool.on('error', (error) => logger.debug({ error: error.message }, 'a database connection was lost'));
  }

  /**
   * Runs `work` with a connection. One whose work failed, was aborted or left a transaction open is closed, never used again.
   *
   * @param doing for messages: "could not … in the database"
   * @param signal ends the wait at once, and the connection; what `work` does afterwards fails
   * @throws DatabaseError; the signal's reason; what `work` throws that is no answer of a database or a connection
   */
  async use<T>(doing: string, work: (connection: pg.PoolClient) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    let abort = (): void => {};
    const aborted = new Promise<never>((_resolve, reject) => {
      abort = () => reject(signal?.reason);
    });
    aborted.catch(ignore);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const connection = await this.#connect(aborted);
      return await this.#work(connection, work, aborted);
    } catch (error) {
      throw signal?.aborted ? signal.reason : databaseError(error, `${doing} in the database ${this.address}`);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Resolves when what is under way has ended; nothing new begins. */
  close(): Promise<void> {
    this.#closing ??= this.#pool.end();
    return this.#closing;
  }

  async #connect(aborted: Promise<never>): Promise<pg.PoolClient> {
    const connecting = this.#pool.connect();
    try {
      return await Promise.race([connecting, aborted]);
    } catch (error) {
      // One that comes after the abort.
      connecting.then((connection) => connection.release(), ignore);
      throw error;
    }
  }

  async #work<T>(connection: pg.PoolClient, work: (connection: pg.PoolClient) => Promise<T>, aborted: Promise<never>) {
    // Of a connection that is lost between two statements; the next one fails.
    connection.on('error', ignore);
    let isFit = false;
    try {
      const working = work(connection);
      working.catch(ignore);
      const result = await Promise.race([working, aborted]);
      isFit = connection.getTransactionStatus() === 'I';
      return result;
    } finally {
      connection.release(!isFit);
      connection.off('error', ignore);
    }
  }
}

function addressOf(url: string): string {
  let reason = '';
  // The errors of both would carry the address, password included; the driver reads the files of `sslrootcert` and the like.
  try {
    if (/^postgres(ql)?:\/\//.test(url)) {
      new pg.Client({ connectionString: url });
      const { hostname, port, pathname } = new URL(url);
      return `${hostname}:${port === '' ? 5432 : port}${pathname}`;
    }
  } catch (error) {
    reason = `: ${messageOf(error)}`;
  }
  throw new ConfigurationError(`DATABASE_URL must be postgres://user:password@host:port/database${reason}.`);
}

function ignore(): void {}
