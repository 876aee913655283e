/**
 * Columns as PostgreSQL's binary arrays, what `unnest` takes as parameters: nothing needs to be escaped, times and floats are
 * exact, and a batch is encoded in a third of the time that text takes.
 *
 * ```
 * int32 dimensions, 1 │ int32 has nulls │ int32 element type │ int32 elements │ int32 first index, 1
 * for each element: int32 bytes, −1 for null │ the element in its type's binary form
 *   text         UTF-8
 *   jsonb        int8 version, 1 │ JSON text in UTF-8
 *   float8       IEEE 754
 *   timestamptz  int64 µs since 2000-01-01 UTC
 * ```
 *
 * @see PostgreSQL 18 array_recv, textrecv, jsonb_recv, float8recv, timestamptz_recv
 */
import { ByteWriter } from '../../bytes.ts';

const TEXT = 25;
const FLOAT8 = 701;
const TIMESTAMPTZ = 1184;
const JSONB = 3802;

const JSONB_VERSION = 1;
const EPOCH_2000_MS = 946_684_800_000;
/** The times that timestamptz has: from 4714-11-24 BC to before the year 294277, less where safe integers end. */
export const MIN_TIME_MS = -210_866_803_200_000;
export const MAX_TIME_MS = Number.MAX_SAFE_INTEGER;

// One for all: what is encoded is copied out before anybody else gets a turn.
const out = new ByteWriter(64 * 1024);

export function textArray(values: readonly (string | null)[]): Buffer {
  begin(TEXT, values.length);
  for (const value of values) {
    const start = out.int32(-1).position;
    if (value !== null) endElement(start, out.utf8(value).position);
  }
  return out.copy();
}

/** @param texts JSON */
export function jsonbArray(texts: readonly (string | null)[]): Buffer {
  begin(JSONB, texts.length);
  for (const text of texts) {
    const start = out.int32(-1).position;
    if (text !== null) endElement(start, out.int8(JSONB_VERSION).utf8(text).position);
  }
  return out.copy();
}

export function float8Array(values: readonly (number | null)[]): Buffer {
  begin(FLOAT8, values.length);
  for (const value of values) {
    if (value === null) out.int32(-1);
    else out.int32(8).doubleBE(value);
  }
  return out.copy();
}

/** @param times whole ms since 1970, within MIN_TIME_MS and MAX_TIME_MS */
export function timestamptzArray(times: readonly number[]): Buffer {
  begin(TIMESTAMPTZ, times.length);
  for (const ms of times) {
    out.int32(8);
    const us = (ms - EPOCH_2000_MS) * 1000;
    if (Number.isSafeInteger(us)) out.int64(us);
    else {
      // Before 1715 and after 2285.
      out.ensure(8);
      out.position = out.buffer.writeBigInt64BE((BigInt(ms) - BigInt(EPOCH_2000_MS)) * 1000n, out.position);
    }
  }
  return out.copy();
}

function begin(type: number, length: number): void {
  out.reset();
  // Without elements an array has no dimensions.
  out
    .int32(length === 0 ? 0 : 1)
    .int32(1)
    .int32(type);
  if (length > 0) out.int32(length).int32(1);
}

function endElement(start: number, end: number): void {
  out.buffer.writeInt32BE(end - start, start - 4);
}
