/**
 * Strings seen lately, found by their bytes. Keys repeat, and so do names in values: comparing some twenty bytes is cheaper
 * than the call that decodes them, and the string that comes back has its hash already when a Map asks for it.
 *
 * A set has two places, so that two strings of one hash do not put each other out at every turn.
 */
import { knownView } from '../byte-views.ts';

const SETS = 4096;
const MAX_BYTES = 32;
const WORDS = MAX_BYTES / 4;

const lengths = new Uint8Array(SETS * 2);
const words = new Int32Array(SETS * 2 * WORDS);
const strings: string[] = new Array<string>(SETS * 2).fill('');

/** Hot. The UTF-8 string of bytes `start` to `end`. */
export function seenString(buffer: Buffer, start: number, end: number): string {
  const length = end - start;
  const view = knownView(buffer);
  if (length > MAX_BYTES || length === 0 || view === undefined) return buffer.toString('utf8', start, end);
  let hash = length;
  let next = start;
  for (; next + 4 <= end; next += 4) {
    hash = Math.imul(hash ^ view.getInt32(next), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  if (next < end) hash = Math.imul(hash ^ tail(view, next, end), 0x9e3779b1);
  const first = ((hash ^ (hash >>> 15)) & (SETS - 1)) << 1;
  if (lengths[first] === length && isAt(first, view, start, end)) return strings[first]!;
  const second = first + 1;
  if (lengths[second] === length && isAt(second, view, start, end)) return strings[second]!;
  return remember(first, buffer.toString('utf8', start, end), view, start, end);
}

function isAt(place: number, view: DataView, start: number, end: number): boolean {
  let word = place * WORDS;
  let next = start;
  for (; next + 4 <= end; next += 4) if (words[word++] !== view.getInt32(next)) return false;
  return next === end || words[word] === tail(view, next, end);
}

/** The one to three bytes behind the last whole word. */
function tail(view: DataView, start: number, end: number): number {
  let bits = 0;
  for (let next = start; next < end; next++) bits = (bits << 8) | view.getUint8(next);
  return bits;
}

/** The newest takes the first place, the one that had it the second. */
function remember(first: number, text: string, view: DataView, start: number, end: number): string {
  const second = first + 1;
  lengths[second] = lengths[first]!;
  strings[second] = strings[first]!;
  words.copyWithin(second * WORDS, first * WORDS, second * WORDS);
  lengths[first] = end - start;
  strings[first] = text;
  let word = first * WORDS;
  let next = start;
  for (; next + 4 <= end; next += 4) words[word++] = view.getInt32(next);
  if (next < end) words[word] = tail(view, next, end);
  return text;
}
