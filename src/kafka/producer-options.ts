/** How a producer builds batches, and how long it tries. */
import type { CompressionType } from './compression/index.ts';

/**
 * `stop`: the first record that cannot be delivered stops the producer for good, since nothing behind it may count as
 * written. `goOn`: it is given up, its listener is told, and the producer goes on with all others.
 */
export type AfterFailure = 'stop' | 'goOn';

export interface ProducerOptions {
  /** ms a batch waits for more records (linger.ms). Default 20. */
  readonly lingerMs?: number;
  /** Bytes at which a batch is closed (batch.size). Default 256 KiB. */
  readonly batchBytes?: number;
  /** Default none. */
  readonly compression?: CompressionType;
  /** Bytes not yet acknowledged above which `isFull` (buffer.memory). Default 32 MiB. */
  readonly bufferBytes?: number;
  /** ms for the answer to a request, of which the broker may wait two thirds for its replicas (request.timeout.ms). Default 30000. */
  readonly requestTimeoutMs?: number;
  /** ms after which a topic that does not exist is an error (max.block.ms). Default 60000. */
  readonly unknownTopicTimeoutMs?: number;
  /**
   * ms from when a record was sent to its acknowledgement, tries and waits included, after which that is an error,
   * MILLRACE_KAFKA_DELIVERY_TIMEOUT (delivery.timeout.ms). Default 120000: three requests that time out. Lower: trouble is
   * told sooner; raise where outages are to be ridden out.
   */
  readonly deliveryTimeoutMs?: number;
  /** ms after which the topics are looked at again, though nothing failed: they may have grown (metadata.max.age.ms). Default 300000. */
  readonly metadataMaxAgeMs?: number;
  /** Default stop. */
  readonly afterFailure?: AfterFailure;
}

export const PRODUCER_DEFAULTS: Required<ProducerOptions> = {
  lingerMs: 20,
  batchBytes: 256 * 1024,
  compression: 'none',
  bufferBytes: 32 * 1024 * 1024,
  requestTimeoutMs: 30_000,
  unknownTopicTimeoutMs: 60_000,
  deliveryTimeoutMs: 120_000,
  metadataMaxAgeMs: 300_000,
  afterFailure: 'stop',
};
