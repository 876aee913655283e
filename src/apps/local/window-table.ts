/** The latest window of each key, as lines of text: a table on a terminal, a line for each update elsewhere. */
import type { AggregatedMetric } from '../aggregation/metric-aggregate.ts';

const COLUMNS = ['key', 'window', 'count', 'min', 'avg', 'max', 'p95', 'p99'] as const;

export class WindowTable {
  readonly #latest = new Map<string, AggregatedMetric>();

  /** Takes a result over; one of an earlier window than is shown is left out. Returns whether it shows. */
  update(row: AggregatedMetric): boolean {
    const shown = this.#latest.get(row.key);
    if (shown !== undefined && shown.window_start > row.window_start) return false;
    this.#latest.set(row.key, row);
    return true;
  }

  get size(): number {
    return this.#latest.size;
  }

  /** The table, widths fitted to what is in it. */
  lines(): string[] {
    const rows = [...this.#latest.values()].sort((a, b) => (a.key < b.key ? -1 : 1)).map(cells);
    const table = [[...COLUMNS], ...rows];
    const widths = COLUMNS.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
    return table.map((row) =>
      row
        .map((cell, column) => (column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join('  '),
    );
  }
}

/** One result as a line. */
export function windowLine(row: AggregatedMetric): string {
  const [key, window, ...numbers] = cells(row);
  return `${key} ${window} ${numbers.map((text, i) => `${COLUMNS[i + 2]}=${text}`).join(' ')}`;
}

function cells({ key, window_start, count, min, avg, max, p95, p99 }: AggregatedMetric): string[] {
  const window = new Date(window_start).toISOString().slice(11, 16);
  return [key, window, String(count), ...[min, avg, max, p95, p99].map(short)];
}

/** At most about six digits, large numbers with a unit. */
export function short(value: number): string {
  const magnitude = Math.abs(value);
  for (const [limit, unit] of [
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
  ] as const)
    if (magnitude >= limit) return `${(value / limit).toFixed(2)} ${unit}`;
  return magnitude >= 1000 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(2);
}
