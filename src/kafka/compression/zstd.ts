/**
 * Zstandard (RFC 8878): Node's own from 22.15, WebAssembly on Node 20. The walk over a frame's blocks bounds its
 * output: a frame may announce gigabytes in its header, but each block gives at most 128 KB.
 */
import * as zlib from 'node:zlib';
import { DecompressionError } from './index.ts';

interface NodeZstd {
  zstdCompressSync(input: Buffer): Buffer;
  zstdDecompressSync(input: Buffer, options: { maxOutputLength: number }): Buffer;
}

interface WasmZstd {
  init(): Promise<void>;
  compress(input: Uint8Array, level?: number): Uint8Array;
  decompress(input: Uint8Array, options: { defaultHeapSize: number }): Uint8Array;
}

const node = 'zstdCompressSync' in zlib ? (zlib as unknown as NodeZstd) : undefined;
let wasm: WasmZstd | undefined;

const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAX_BLOCK_BYTES = 128 * 1024;
const LEVEL = 3;

/** Loads WebAssembly where Node has no zstd. Fetcher and producer await it before their first request. */
export async function loadZstd(): Promise<void> {
  if (node !== undefined || wasm !== undefined) return;
  const module = (await import('@bokuweb/zstd-wasm')) as unknown as WasmZstd;
  await module.init();
  wasm = module;
}

export function zstdCompress(input: Buffer): Buffer {
  if (node !== undefined) return node.zstdCompressSync(input);
  return asBuffer(loaded().compress(input, LEVEL));
}

export function zstdDecompress(input: Buffer, maxOutputBytes: number): Buffer {
  const frames = walkFrames(input);
  let total = 0;
  for (const frame of frames) total += frame.maxOutputBytes;
  if (total > maxOutputBytes) {
    // The blocks only give an upper bound; refuse where the announced sizes, if any, are too large as well.
    const announced = frames.reduce((sum, frame) => sum + (frame.announcedBytes ?? frame.maxOutputBytes), 0);
    if (announced > maxOutputBytes) throw new DecompressionError(`zstd: more than ${maxOutputBytes} bytes`);
  }
  if (node !== undefined) return node.zstdDecompressSync(input, { maxOutputLength: maxOutputBytes });
  const parts = frames.map(({ start, end, maxOutputBytes: bound, announcedBytes }) => {
    if (announcedBytes !== undefined && announcedBytes > bound) {
      throw new DecompressionError(`zstd: ${announcedBytes} bytes announced, the blocks give at most ${bound}`);
    }
    return asBuffer(loaded().decompress(input.subarray(start, end), { defaultHeapSize: Math.max(bound, 1) }));
  });
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

function loaded(): WasmZstd {
  if (wasm === undefined) throw new DecompressionError('zstd: loadZstd() was not awaited');
  return wasm;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

interface Frame {
  readonly start: number;
  readonly end: number;
  readonly announcedBytes: number | undefined;
  readonly maxOutputBytes: number;
}

function walkFrames(input: Buffer): Frame[] {
  const frames: Frame[] = [];
  let position = 0;
  const need = (bytes: number): void => {
    if (position + bytes > input.length) throw new DecompressionError('zstd: frame cut off');
  };
  while (position < input.length) {
    const start = position;
    need(5);
    const magic = input.readUInt32LE(position);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      need(8);
      position += 8 + input.readUInt32LE(position + 4);
      if (position > input.length) throw new DecompressionError('zstd: frame cut off');
      continue;
    }
    if (magic !== FRAME_MAGIC) throw new DecompressionError('zstd: not a frame');
    const descriptor = input[position + 4]!;
    const singleSegment = (descriptor & 32) !== 0;
    const sizeFlag = descriptor >> 6;
    const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag;
    position += 5 + (singleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!;
    need(sizeBytes);
    const announcedBytes = readContentSize(input, position, sizeBytes);
    position += sizeBytes;
    let maxOutputBytes = 0;
    for (let last = false; !last; ) {
      need(3);
      const header = input.readUIntLE(position, 3);
      position += 3;
      last = (header & 1) === 1;
      const type = (header >> 1) & 3;
      const size = header >> 3;
      if (type === 3) throw new DecompressionError('zstd: reserved block type');
      if (type !== 2 && size > MAX_BLOCK_BYTES) throw new DecompressionError(`zstd: block of ${size} bytes`);
      maxOutputBytes += type === 2 ? MAX_BLOCK_BYTES : size;
      const stored = type === 1 ? 1 : size;
      need(stored);
      position += stored;
    }
    if (descriptor & 4) {
      need(4);
      position += 4;
    }
    frames.push({ start, end: position, announcedBytes, maxOutputBytes });
  }
  return frames;
}

function readContentSize(input: Buffer, at: number, bytes: number): number | undefined {
  switch (bytes) {
    case 0:
      return undefined;
    case 1:
      return input[at]!;
    case 2:
      return input.readUInt16LE(at) + 256;
    case 4:
      return input.readUInt32LE(at);
    default:
      return Number(input.readBigUInt64LE(at));
  }
}
