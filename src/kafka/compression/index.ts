/**
 * The compression codecs of record batches, both ways and synchronous. Every decompressor works out a bound of its
 * output from the input's own structure and refuses before allocating more than the caller's limit.
 */
import { constants, gunzipSync, gzipSync } from 'node:zlib';
import { messageOf } from '../../errors.ts';
import { KafkaError } from '../errors.ts';
import { lz4Compress, lz4Decompress } from './lz4.ts';
import { snappyCompress, snappyDecompress } from './snappy.ts';
import { zstdCompress, zstdDecompress } from './zstd.ts';

export { loadZstd } from './zstd.ts';

export type CompressionType = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';

/** Bits 0 to 2 of a batch's attributes. */
export const COMPRESSION_IDS: Readonly<Record<CompressionType, number>> = {
  none: 0,
  gzip: 1,
  snappy: 2,
  lz4: 3,
  zstd: 4,
};

const TYPES: readonly CompressionType[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

/** Why bytes could not be decompressed; the batch decoder turns it into a CorruptRecordError with the place. */
export class DecompressionError extends KafkaError {
  constructor(message: string) {
    super('MILLRACE_KAFKA_CORRUPT_RECORD', message);
  }
}

export function compressionTypeOf(attributes: number): CompressionType | undefined {
  return TYPES[attributes & 7];
}

/** @throws DecompressionError damaged input, or output above `maxOutputBytes` */
export function decompress(type: CompressionType, input: Buffer, maxOutputBytes: number): Buffer {
  try {
    switch (type) {
      case 'none':
        return input;
      case 'gzip':
        return gunzipSync(input, { maxOutputLength: maxOutputBytes });
      case 'snappy':
        return snappyDecompress(input, maxOutputBytes);
      case 'lz4':
        return lz4Decompress(input, maxOutputBytes);
      case 'zstd':
        return zstdDecompress(input, maxOutputBytes);
    }
  } catch (error) {
    if (error instanceof DecompressionError) throw error;
    throw new DecompressionError(`${type}: ${messageOf(error)}`);
  }
}

export function compress(type: CompressionType, input: Buffer): Buffer {
  switch (type) {
    case 'none':
      return input;
    case 'gzip':
      return gzipSync(input, { level: constants.Z_DEFAULT_COMPRESSION });
    case 'snappy':
      return snappyCompress(input);
    case 'lz4':
      return lz4Compress(input);
    case 'zstd':
      return zstdCompress(input);
  }
}
