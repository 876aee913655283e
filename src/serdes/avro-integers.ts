/**
 * Avro's integers: zigzag, seven bits a byte, the lowest first, ten bytes at most. JavaScript counts exactly up to ±2^53, so
 * they are put together and taken apart in two pieces: the lowest 28 bits, of which one is the sign, and the rest.
 */

/** Where a helper leaves the position behind what it read. */
export const after = { p: 0, empty: 0 };

/** Ends with an error that names the field. */
export type Fail = (why: string, path: string) => never;

/** The most that an integer takes. */
export const LONG_BYTES = 10;

/** Hot. Reads a zigzag integer and leaves the position behind it in `after.p`; one that is not exact is refused. */
export function readLong(b: Buffer, start: number, e: number, path: string, fail: Fail): number {
  let p = start;
  if (p >= e) fail('cut off', path);
  let byte = b[p++]!;
  let value = byte & 0x7f;
  for (let shift = 7; byte > 0x7f && shift < 28; shift += 7) {
    if (p >= e) fail('cut off', path);
    byte = b[p++]!;
    value |= (byte & 0x7f) << shift;
  }
  if (byte < 0x80) {
    after.p = p;
    return (value >>> 1) ^ -(value & 1);
  }
  // Above 28 bits: the sign is the lowest bit, and what remains is exact in a double up to 2^53.
  const magnitude = readHigh(b, p, e, path, fail) * 2 ** 27 + (value >>> 1);
  if (magnitude > Number.MAX_SAFE_INTEGER - (value & 1)) fail('an integer beyond ±2^53', path);
  return value & 1 ? -magnitude - 1 : magnitude;
}

/** The bits above the lowest 28, which are at most 42. */
function readHigh(b: Buffer, start: number, e: number, path: string, fail: Fail): number {
  let p = start;
  let high = 0;
  let byte = 0x80;
  for (let scale = 1; byte > 0x7f; scale *= 128) {
    if (p >= e || scale > 2 ** 35) fail('cut off, or an integer of more than 10 bytes', path);
    byte = b[p++]!;
    high += (byte & 0x7f) * scale;
  }
  after.p = p;
  return high;
}

/** The same as `readLong`, rounded beyond ±2^53. */
export function readRounded(b: Buffer, start: number, e: number, path: string, fail: Fail): number {
  if (start + 4 > e || (b[start]! & b[start + 1]! & b[start + 2]! & b[start + 3]!) < 0x80)
    return readLong(b, start, e, path, fail);
  const low =
    (b[start]! & 0x7f) |
    ((b[start + 1]! & 0x7f) << 7) |
    ((b[start + 2]! & 0x7f) << 14) |
    ((b[start + 3]! & 0x7f) << 21);
  const high = readHigh(b, start + 4, e, path, fail);
  const rough = high * 2 ** 27 + (low >>> 1);
  if (rough < Number.MAX_SAFE_INTEGER) return low & 1 ? -rough - 1 : rough;
  const magnitude = (BigInt(high) << 27n) + BigInt(low >>> 1);
  return Number(low & 1 ? -magnitude - 1n : magnitude);
}

/** Hot. A safe integer as a zigzag integer; returns the position behind it. */
export function writeLong(b: Buffer, at: number, value: number): number {
  let p = at;
  const sign = value < 0 ? 1 : 0;
  // Two integers of 32 bits at most: twice a number near 2^53 is not exact, and its lowest bit is the sign.
  const magnitude = value < 0 ? -1 - value : value;
  let low = (magnitude % 0x800_0000) * 2 + sign;
  let high = Math.floor(magnitude / 0x800_0000);
  if (high === 0) {
    for (; low > 0x7f; low >>>= 7) b[p++] = (low & 0x7f) | 0x80;
    b[p++] = low;
    return p;
  }
  for (let i = 0; i < 4; i++, low >>>= 7) b[p++] = (low & 0x7f) | 0x80;
  for (; high > 0x7f; high >>>= 7) b[p++] = (high & 0x7f) | 0x80;
  b[p++] = high;
  return p;
}
