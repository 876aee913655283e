/**
 * LZ4 frames (lz4_Frame_format.md 1.6). Writing is the native package's; reading walks the frame here, so that each
 * block lands in a buffer whose size the frame's own descriptor bounds.
 *
 *     04224d18 | FLG | BD | [content size 8] | [dict id 4] | HC | { block size 4 | block | [checksum 4] }* | 0 | [checksum 4]
 */
import { compressFrameSync } from 'lz4-napi';
import { DecompressionError } from './index.ts';

const MAGIC = 0x184d2204;
const BLOCK_MAX_BYTES: Readonly<Record<number, number>> = { 4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22 };
/** A byte of a match length gives at most 255 bytes of output. */
const MAX_EXPANSION = 255;

export function lz4Compress(input: Buffer): Buffer {
  return compressFrameSync(input);
}

export function lz4Decompress(input: Buffer, maxOutputBytes: number): Buffer {
  const fail = (why: string): never => {
    throw new DecompressionError(`lz4: ${why}`);
  };
  const output = new BoundedOutput(Math.min(maxOutputBytes, Math.max(input.length * 4, 1024)), maxOutputBytes);
  let position = 0;
  while (position < input.length) {
    if (input.length - position < 7) fail('frame header cut off');
    if (input.readUInt32LE(position) !== MAGIC) fail('not a frame');
    const flags = input[position + 4]!;
    if (flags >> 6 !== 1) fail(`frame version ${flags >> 6}`);
    const blockMax = BLOCK_MAX_BYTES[(input[position + 5]! >> 4) & 7] ?? fail('block size');
    position += 6 + (flags & 8 ? 8 : 0) + (flags & 1 ? 4 : 0) + 1;
    const independent = (flags & 32) !== 0;
    const frameStart = output.length;
    for (;;) {
      if (position + 4 > input.length) fail('block header cut off');
      const header = input.readUInt32LE(position);
      position += 4;
      if (header === 0) break;
      const length = header & 0x7fffffff;
      if (position + length > input.length) fail('block cut off');
      if (length > blockMax + 16) fail(`block of ${length} bytes`);
      if (header >>> 31) output.append(input, position, length);
      else decodeBlock(input, position, length, output, independent ? output.length : frameStart, blockMax);
      position += length + (flags & 16 ? 4 : 0);
    }
    position += flags & 4 ? 4 : 0;
  }
  return output.result();
}

function decodeBlock(
  input: Buffer,
  start: number,
  length: number,
  output: BoundedOutput,
  floor: number,
  blockMax: number,
): void {
  const end = start + length;
  output.reserve(Math.min(blockMax, length * MAX_EXPANSION));
  const blockEnd = output.length + blockMax;
  let position = start;
  const extended = (nibble: number): number => {
    let value = nibble;
    if (nibble !== 15) return value;
    for (;;) {
      if (position >= end) throw new DecompressionError('lz4: length cut off');
      const byte = input[position++]!;
      value += byte;
      if (byte !== 255) return value;
    }
  };
  while (position < end) {
    const token = input[position++]!;
    const literals = extended(token >> 4);
    if (position + literals > end) throw new DecompressionError('lz4: literals cut off');
    output.append(input, position, literals);
    position += literals;
    if (position === end) break;
    if (position + 2 > end) throw new DecompressionError('lz4: match offset cut off');
    const distance = input[position]! | (input[position + 1]! << 8);
    position += 2;
    const matchLength = extended(token & 15) + 4;
    if (distance === 0 || output.length - distance < floor) throw new DecompressionError('lz4: match before the start');
    if (output.length + matchLength > blockEnd) throw new DecompressionError('lz4: block larger than announced');
    output.repeat(distance, matchLength);
  }
  if (output.length > blockEnd) throw new DecompressionError('lz4: block larger than announced');
}

class BoundedOutput {
  length = 0;
  #buffer: Buffer;
  readonly #limit: number;

  constructor(initial: number, limit: number) {
    this.#buffer = Buffer.allocUnsafeSlow(initial);
    this.#limit = limit;
  }

  reserve(bytes: number): void {
    const wanted = Math.min(this.length + bytes, this.#limit);
    if (wanted <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#limit, Math.max(wanted, this.#buffer.length * 2)));
    this.#buffer.copy(grown, 0, 0, this.length);
    this.#buffer = grown;
  }

  append(source: Buffer, start: number, bytes: number): void {
    this.#fit(bytes);
    source.copy(this.#buffer, this.length, start, start + bytes);
    this.length += bytes;
  }

  /** Copies from the output itself; the ranges may overlap, byte by byte as LZ4 means it. */
  repeat(distance: number, bytes: number): void {
    this.#fit(bytes);
    const buffer = this.#buffer;
    let to = this.length;
    let from = to - distance;
    for (let i = 0; i < bytes; i++) buffer[to++] = buffer[from++]!;
    this.length = to;
  }

  result(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }

  #fit(bytes: number): void {
    if (this.length + bytes > this.#limit) throw new DecompressionError(`lz4: more than ${this.#limit} bytes`);
    if (this.length + bytes > this.#buffer.length) this.reserve(bytes);
  }
}
