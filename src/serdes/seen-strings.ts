/**
 * Strings seen lately, found by their bytes. Keys repeat, and so do names in values: comparing some twenty bytes is cheaper
 * than the call that decodes them, and the string that comes back has its hash already when a Map asks for it.
 */

const SLOTS = 4096;
const MAX_BYTES = 32;

const lengths = new Uint8Array(SLOTS);
const bytes = new Uint8Array(SLOTS * MAX_BYTES);
const strings: string[] = new Array<string>(SLOTS).fill('');

/** Hot. The UTF-8 string of bytes `start` to `end`. */
export function seenString(buffer: Buffer, start: number, end: number): string {
  const length = end - start;
  if (length > MAX_BYTES || length === 0) return buffer.toString('utf8', start, end);
  let hash = length;
  let next = start;
  for (; next + 4 <= end; next += 4) {
    const word = buffer[next]! | (buffer[next + 1]! << 8) | (buffer[next + 2]! << 16) | (buffer[next + 3]! << 24);
    hash = Math.imul(hash ^ word, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  for (; next < end; next++) hash = Math.imul(hash ^ buffer[next]!, 0x9e3779b1);
  const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
  const at = slot * MAX_BYTES;
  if (lengths[slot] === length) {
    let i = 0;
    while (i < length && bytes[at + i] === buffer[start + i]) i++;
    if (i === length) return strings[slot]!;
  }
  const text = buffer.toString('utf8', start, end);
  lengths[slot] = length;
  for (let i = 0; i < length; i++) bytes[at + i] = buffer[start + i]!;
  strings[slot] = text;
  return text;
}
