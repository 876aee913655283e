/**
 * Snappy as Kafka has it: written raw by librdkafka and us, framed by Java (`SnappyOutputStream` of xerial).
 *
 *     xerial: 82 "SNAPPY" 00 | version int32 | compatible int32 | { length int32 | raw snappy block }*
 */
import { compressSync, uncompressSync } from 'snappy';
import { DecompressionError } from './index.ts';

const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const XERIAL_HEADER_BYTES = 16;
/** Raw snappy cannot unfold further than this: a copy element of three bytes gives 64. */
const MAX_EXPANSION = 24;

export function snappyCompress(input: Buffer): Buffer {
  return compressSync(input);
}

export function snappyDecompress(input: Buffer, maxOutputBytes: number): Buffer {
  if (input.length < XERIAL_HEADER_BYTES || input.compare(XERIAL_MAGIC, 0, 8, 0, 8) !== 0) {
    return uncompressBlock(input, maxOutputBytes);
  }
  const blocks: Buffer[] = [];
  let left = maxOutputBytes;
  let position = XERIAL_HEADER_BYTES;
  while (position < input.length) {
    if (position + 4 > input.length) throw new DecompressionError('snappy: block length cut off');
    const length = input.readInt32BE(position);
    position += 4;
    if (length < 0 || position + length > input.length)
      throw new DecompressionError(`snappy: block of ${length} bytes`);
    const block = uncompressBlock(input.subarray(position, position + length), left);
    left -= block.length;
    blocks.push(block);
    position += length;
  }
  return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks);
}

function uncompressBlock(block: Buffer, maxOutputBytes: number): Buffer {
  const announced = uncompressedLength(block);
  if (announced > maxOutputBytes) {
    throw new DecompressionError(`snappy: ${announced} bytes announced, ${maxOutputBytes} allowed`);
  }
  if (announced > block.length * MAX_EXPANSION) {
    throw new DecompressionError(`snappy: ${announced} bytes announced by a block of ${block.length}`);
  }
  return uncompressSync(block, { asBuffer: true }) as Buffer;
}

function uncompressedLength(block: Buffer): number {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    if (i >= block.length) throw new DecompressionError('snappy: length cut off');
    const byte = block[i]!;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return value;
  }
  throw new DecompressionError('snappy: length of more than 5 bytes');
}
