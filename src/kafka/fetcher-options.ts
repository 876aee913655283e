/** How much is fetched at once, and what becomes of positions that the log does not have. */
import type { OffsetResetPolicy } from './offsets.ts';
import type { BatchOptions, TopicPartition } from './record-batch.ts';

export interface FetcherOptions extends BatchOptions {
  /** Default read_uncommitted, as Kafka's consumer. */
  readonly isolationLevel?: 'read_uncommitted' | 'read_committed';
  /** Bytes a request brings at most, over all partitions (fetch.max.bytes). Default 8 MiB. */
  readonly maxBytes?: number;
  /** Bytes a request brings of one partition at most; a larger batch still comes whole (KIP-74). Default 512 KiB. */
  readonly maxBytesPerPartition?: number;
  /** The broker answers when it has this many bytes. Default 1. */
  readonly minBytes?: number;
  /** ms the broker waits for minBytes. Default 500. */
  readonly maxWaitMs?: number;
  /** A partition with more bytes than this waiting is not asked for. Default 256 KiB. */
  readonly maxBufferedBytesPerPartition?: number;
  /** Bytes waiting over all partitions above which only empty partitions are asked for. Default 64 MiB. */
  readonly maxBufferedBytes?: number;
  /** Where to go on when a position is out of range. */
  readonly resetPolicy?: (topic: string) => OffsetResetPolicy;
  /** A position was reset; 'latest' positions are to be committed at once. */
  readonly onReset?: (at: TopicPartition, offset: number, policy: OffsetResetPolicy) => void;
  /**
   * The log was truncated below what was handed out: records from `offset` up to `position` are gone from it, others come
   * in their place, and fetching goes on there (KIP-320).
   */
  readonly onTruncated?: (at: TopicPartition, position: number, offset: number) => void;
  /** Data has come, or what stopped the fetching: for a caller that waits for more than this fetcher. */
  readonly onData?: () => void;
  /** ms after which leaders are looked up again, though nothing failed (metadata.max.age.ms). Default 300000. */
  readonly metadataMaxAgeMs?: number;
}

export const FETCHER_DEFAULTS: Required<
  Omit<FetcherOptions, 'onReset' | 'onTruncated' | 'onData' | 'checkCrc' | 'maxDecompressedBytes'>
> = {
  isolationLevel: 'read_uncommitted',
  maxBytes: 8 * 1024 * 1024,
  maxBytesPerPartition: 512 * 1024,
  minBytes: 1,
  maxWaitMs: 500,
  maxBufferedBytesPerPartition: 256 * 1024,
  maxBufferedBytes: 64 * 1024 * 1024,
  resetPolicy: () => 'none',
  metadataMaxAgeMs: 300_000,
};
