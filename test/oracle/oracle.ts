/** Runs Oracle.java and speaks its line protocol: one JVM for all cases. */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { temporaryFolder } from '../support/programs.ts';

const run = promisify(execFile);
const LIBS = join(process.cwd(), '.cache/oracle/libs');
const FOLDER = join(process.cwd(), 'test/oracle');
export const DEFAULT_CACHE_BYTES = 10 * 1024 * 1024;

export interface Input {
  readonly topic: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: number;
  /** The value of a header named `h`; null: none. */
  readonly header: Buffer | null;
}

export interface Verdict {
  readonly describe: string;
  /** By topic, in order: key, value (hex, `-` for null), timestamp, headers. */
  readonly records: Readonly<Record<string, string[]>>;
  /** By store, sorted: key, window start (0: none), value, timestamp (−1: none). */
  readonly stores: Readonly<Record<string, string[]>>;
  readonly dropped: number;
}

/** What is judged: a case of Oracle.java by name, or the lines of a program. */
export type Subject = string | readonly string[];

export class Oracle {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#process = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.on('data', (chunk) => {
      this.#errors += String(chunk);
    });
  }

  static async start(): Promise<Oracle> {
    if (!existsSync(join(LIBS, 'kafka-streams-test-utils-3.6.2.jar'))) {
      mkdirSync(LIBS, { recursive: true });
      await run('mvn', [
        '-q',
        '-B',
        '-f',
        join(FOLDER, 'pom.xml'),
        'dependency:copy-dependencies',
        '-DincludeScope=runtime',
        `-DoutputDirectory=${LIBS}`,
      ]);
    }
    const classes = temporaryFolder();
    await run('javac', [
      ...['-d', classes, '-cp', `${LIBS}/*`, '-nowarn', '-Xlint:none'],
      ...['Oracle.java', 'Program.java'].map((file) => join(FOLDER, file)),
    ]);
    return new Oracle(
      spawn('java', ['-XX:TieredStopAtLevel=1', '-cp', `${classes}:${LIBS}/*`, 'Oracle', temporaryFolder()]),
    );
  }

  /** @returns undefined where Kafka Streams refuses the program */
  async judge(
    subject: Subject,
    inputs: readonly Input[],
    cacheBytes = DEFAULT_CACHE_BYTES,
  ): Promise<Verdict | undefined> {
    const hex = (bytes: Buffer | null): string => (bytes === null ? '-' : bytes.toString('hex'));
    const lines = [
      ...(typeof subject === 'string' ? [`CASE ${subject}`] : [`PROGRAM ${subject.length}`, ...subject]),
      `CACHE ${cacheBytes}`,
      `RUN ${inputs.length}`,
      ...inputs.map(
        ({ topic, key, value, timestamp, header }) =>
          `${topic}\t${hex(key)}\t${hex(value)}\t${timestamp}\t${hex(header)}`,
      ),
    ];
    this.#process.stdin.write(`${lines.join('\n')}\n`);
    let refused = false;
    let describe = '';
    let dropped = 0;
    const records: Record<string, string[]> = {};
    const stores: Record<string, string[]> = {};
    for (;;) {
      const { value: line, done } = await this.#lines.next();
      if (done === true) throw new Error(`The oracle ended:\n${this.#errors}`);
      if (line === 'DONE') {
        if (refused) return undefined;
        for (const entries of Object.values(stores)) entries.sort();
        return { describe, records, stores, dropped };
      }
      const [kind, rest] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)];
      if (kind === 'DESCRIBE') describe = Buffer.from(rest, 'hex').toString('utf8');
      else if (kind === 'DROPPED') dropped = Number(rest);
      else if (kind === 'REFUSED') refused = true;
      else {
        const [name, ...fields] = rest.split('\t');
        ((kind === 'STORE' ? stores : records)[name!] ??= []).push(fields.join(' '));
      }
    }
  }

  async close(): Promise<void> {
    this.#process.stdin.end();
    this.#process.kill();
  }
}
