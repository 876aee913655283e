/**
 * CRC-32C (Castagnoli, RFC 3720), the checksum of record batches v2. Slicing-by-8 in plain JavaScript for short
 * input; the native routine above about 1 KB, where the call into it is paid back.
 */
import { crc32c as nativeCrc32c } from '@node-rs/crc32';

const POLYNOMIAL = 0x82f63b78;
const NATIVE_FROM_BYTES = 1024;

const TABLES = buildTables();

function buildTables(): Int32Array[] {
  const tables = Array.from({ length: 8 }, () => new Int32Array(256));
  for (let n = 0; n < 256; n++) {
    let crc = n;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[0]![n] = crc;
  }
  for (let n = 0; n < 256; n++) {
    for (let t = 1; t < 8; t++) {
      const previous = tables[t - 1]![n]!;
      tables[t]![n] = (previous >>> 8) ^ tables[0]![previous & 0xff]!;
    }
  }
  return tables;
}

/** The checksum of bytes `start` to `end` as an unsigned 32-bit number. */
export function crc32c(buffer: Buffer, start = 0, end = buffer.length): number {
  if (end - start >= NATIVE_FROM_BYTES) return nativeCrc32c(buffer.subarray(start, end));
  return plainCrc32c(buffer, start, end);
}

/** Exported for the test that compares both routines. */
export function plainCrc32c(buffer: Uint8Array, start: number, end: number): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as [
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  let crc = -1;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    crc ^= buffer[i]! | (buffer[i + 1]! << 8) | (buffer[i + 2]! << 16) | (buffer[i + 3]! << 24);
    crc =
      t7[crc & 0xff]! ^
      t6[(crc >>> 8) & 0xff]! ^
      t5[(crc >>> 16) & 0xff]! ^
      t4[crc >>> 24]! ^
      t3[buffer[i + 4]!]! ^
      t2[buffer[i + 5]!]! ^
      t1[buffer[i + 6]!]! ^
      t0[buffer[i + 7]!]!;
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ t0[(crc ^ buffer[i]!) & 0xff]!;
  return ~crc >>> 0;
}
