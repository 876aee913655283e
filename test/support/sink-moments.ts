/** Moments of the sink's batches at which a test does something to the program. */
import type { EmbeddedKafka } from '../../src/embedded/index.ts';
import { GROUP } from './sink-job.ts';
import type { Piece, TcpProxy } from './tcp-proxy.ts';

/** Bytes that go no further until they are passed. */
export type Held = Pick<Piece, 'pass'>;

/** Arranges for something to be done at a moment, once. @param database what the program reaches its database through */
export type Moment = (database: TcpProxy, then: (held: Held) => void) => void;

/** The question where the database remembers to begin is on its way to it. */
export const loading: Moment = (database, then) => onStatement(database, 'SELECT topic, partition, position', then);

/** The statement of a batch is on its way to the database. */
export const sending: Moment = (database, then) => onStatement(database, BATCH, then);

/** The batch is stored, and the answer on its way. */
export const stored: Moment = (database, then) =>
  onStatement(database, BATCH, (statement, line) => {
    onAnswer(database, line, then);
    statement.pass();
  });

/**
 * The program has the database's answer, and its positions are on their way to the group; or the group's answer is. Where the
 * commit interval is long, positions go out behind batches only.
 */
export type OnCommit = (when: 'before' | 'after', then: () => void) => void;

export const committing =
  (onCommit: OnCommit, when: 'before' | 'after'): Moment =>
  (database, then) =>
    stored(database, (answer) => {
      onCommit(when, () => then(answer));
      answer.pass();
    });

/** On the embedded broker. */
export const onCommitAt =
  (kafka: EmbeddedKafka): OnCommit =>
  (when, run) =>
    void kafka.inject({
      api: 'OffsetCommit',
      when: () => {
        if (when === 'before') run();
        return true;
      },
      // What is run before a request does not keep it from being handled.
      action: when === 'before' ? { kind: 'half-open' } : { kind: 'run', when, run },
    });

const OFFSET_COMMIT = 8;

/** On any broker that clients reach through the proxy only. */
export const onCommitThrough =
  (proxy: TcpProxy): OnCommit =>
  (when, then) => {
    let asked: object | undefined;
    proxy.intercept = ({ from, bytes, line }) => {
      if (from === 'client' && bytes.length > 6 && bytes.readInt16BE(4) === OFFSET_COMMIT) asked = line;
      if (asked !== line || from !== (when === 'before' ? 'client' : 'server')) return false;
      proxy.intercept = undefined;
      then();
      return true;
    };
  };

const END_OF_STATEMENT = Buffer.from('S\0\0\0\x04');

const BATCH = 'INSERT INTO metrics';

/** With an application id: the statement that sees at the start whether rows can be written has none. */
function onStatement(database: TcpProxy, words: string, then: (statement: Held, line: object) => void): void {
  const texts = new Map<object, string>();
  let statement: { readonly line: object; readonly pieces: Piece[] } | undefined;
  database.intercept = (piece) => {
    const { from, line, bytes } = piece;
    if (from === 'server') texts.delete(line);
    else if (statement === undefined) {
      const text = (texts.get(line) ?? '') + bytes.toString('latin1');
      texts.set(line, text);
      if (text.includes(words) && text.includes(GROUP)) statement = { line, pieces: [] };
    }
    if (from === 'server' || statement?.line !== line) return false;
    const { pieces } = statement;
    pieces.push(piece);
    if (!bytes.subarray(-END_OF_STATEMENT.length).equals(END_OF_STATEMENT)) return true;
    database.intercept = undefined;
    const pass = (): void => {
      for (const one of pieces) one.pass();
    };
    then({ pass }, line);
    return true;
  };
}

/** The database's next answer over that connection. */
export function onAnswer(database: TcpProxy, line: object, then: (answer: Held) => void): void {
  database.intercept = (piece) => {
    if (piece.from !== 'server' || piece.line !== line) return false;
    database.intercept = undefined;
    then(piece);
    return true;
  };
}
