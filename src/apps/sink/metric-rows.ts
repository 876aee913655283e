/** Rows of the table metrics as parameters of its statement, and what cannot be one, found before it is sent. */
import { messageOf } from '../../errors.ts';
import { RowRefusedError } from './database-errors.ts';
import { float8Array, jsonbArray, MAX_TIME_MS, MIN_TIME_MS, textArray, timestamptzArray } from './pg-array.ts';

/** A row of the table metrics. */
export interface MetricRow {
  /** ms since 1970. */
  readonly time: number;
  readonly serviceName: string | null;
  readonly metricName: string | null;
  readonly value: number | null;
  readonly labels: Readonly<Record<string, unknown>> | null;
  readonly node: string | null;
}

/** Of a statement's rows, as text: more in one would come near the gigabyte that a message and a value end at. */
const MAX_STATEMENT_LENGTH = 16 * 1024 * 1024;

/** A batch of rows, each checked and with its labels as JSON. */
export class MetricRows {
  readonly #rows: readonly MetricRow[];
  readonly #labels: (string | null)[] = [];
  readonly #lengths: number[] = [];
  /** Index and error of each row that no table can hold. */
  readonly refused = new Map<number, RowRefusedError>();
  /** Indexes of the others, in runs that are not too large for a statement. */
  readonly runs: number[][] = [];

  constructor(rows: readonly MetricRow[]) {
    this.#rows = rows;
    let run: number[] = [];
    let length = 0;
    for (let i = 0; i < rows.length; i++) {
      const what = this.#check(rows[i]!, i);
      if (what !== undefined) {
        this.refused.set(i, new RowRefusedError(what));
        continue;
      }
      length += this.#lengths[i]!;
      if (length > MAX_STATEMENT_LENGTH && run.length > 0) {
        this.runs.push(run);
        run = [];
        length = this.#lengths[i]!;
      }
      run.push(i);
    }
    if (run.length > 0) this.runs.push(run);
  }

  /** The columns of these rows, in the order of COLUMNS. */
  parameters(indexes: readonly number[]): Buffer[] {
    const rows = this.#rows;
    return [
      timestamptzArray(indexes.map((i) => rows[i]!.time)),
      textArray(indexes.map((i) => rows[i]!.serviceName)),
      textArray(indexes.map((i) => rows[i]!.metricName)),
      float8Array(indexes.map((i) => rows[i]!.value)),
      jsonbArray(indexes.map((i) => this.#labels[i]!)),
      textArray(indexes.map((i) => rows[i]!.node)),
    ];
  }

  /** @returns why the row cannot be stored */
  #check(row: MetricRow, index: number): string | undefined {
    const { time, serviceName, metricName, node } = row;
    let labels: string | null = null;
    try {
      labels = row.labels === null ? null : JSON.stringify(row.labels);
    } catch (error) {
      return `labels are no JSON (${error instanceof TypeError ? 'a cycle or a bigint' : messageOf(error)})`;
    }
    this.#labels[index] = labels;
    this.#lengths[index] =
      100 + (serviceName?.length ?? 0) + (metricName?.length ?? 0) + (node?.length ?? 0) + (labels?.length ?? 0);
    if (!Number.isInteger(time) || time < MIN_TIME_MS || time > MAX_TIME_MS)
      return 'time is no whole number of ms, or beyond what timestamptz holds';
    if (isUnstorable(serviceName)) return `service_name ${UNSTORABLE}`;
    if (isUnstorable(metricName)) return `metric_name ${UNSTORABLE}`;
    if (isUnstorable(node)) return `node ${UNSTORABLE}`;
    if (labels?.includes('\\u') && UNSTORABLE_ESCAPE.test(labels)) return `labels ${UNSTORABLE}`;
    return undefined;
  }
}

/** The table's columns that are written, with the types they are sent as. */
export const COLUMNS = [
  ['time', 'timestamptz'],
  ['service_name', 'text'],
  ['metric_name', 'text'],
  ['value', 'float8'],
  ['labels', 'jsonb'],
  ['node', 'text'],
] as const;

const UNSTORABLE = 'has the character NUL, or half of a surrogate pair, which text in PostgreSQL cannot have';
const UNSTORABLE_CHARACTER = /[\0\p{Surrogate}]/u;
/** The same as JSON.stringify writes it: behind an even number of backslashes. */
const UNSTORABLE_ESCAPE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;

/** UTF-8 would turn half of a surrogate pair into another character without a word. */
function isUnstorable(text: string | null): boolean {
  return text !== null && UNSTORABLE_CHARACTER.test(text);
}
