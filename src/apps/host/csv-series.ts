/** A CSV of `timestamp,value` (UTC), as cloud providers export metrics. */
import { ConfigurationError } from '../environment.ts';

export interface Sample {
  /** ms since the epoch. */
  readonly timestamp: number;
  readonly value: number;
}

/**
 * Reads the samples in the order of the file; a first line that is no sample is a header.
 * @throws ConfigurationError naming the first line that cannot be read
 */
export function parseSeries(text: string): Sample[] {
  const samples: Sample[] = [];
  text.split(/\r?\n/).forEach((line, index) => {
    if (line.trim() === '') return;
    const [time = '', number = ''] = line.split(',').map((field) => field.trim().replace(/^"|"$/g, ''));
    const timestamp = parseTime(time);
    const value = Number(number);
    if (Number.isFinite(timestamp) && number !== '' && Number.isFinite(value)) samples.push({ timestamp, value });
    else if (index > 0) throw new ConfigurationError(`Line ${index + 1} of the CSV is not 'timestamp,value'.`);
  });
  if (samples.length === 0) throw new ConfigurationError("The CSV has no line of the form 'timestamp,value'.");
  return samples;
}

/** `2014-02-14 14:30:00`, ISO 8601, or a number of seconds or milliseconds. Without a zone it is UTC. */
export function parseTime(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * (Number(text) < 1e11 ? 1000 : 1);
  const iso = text.replace(' ', 'T');
  return Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(iso) ? iso : `${iso}Z`);
}

/** Moves a series so that its last sample is at `endMs`. */
export function shiftToEnd(samples: readonly Sample[], endMs: number): Sample[] {
  const offset = endMs - Math.max(...samples.map((sample) => sample.timestamp));
  return samples.map(({ timestamp, value }) => ({ timestamp: timestamp + offset, value }));
}
