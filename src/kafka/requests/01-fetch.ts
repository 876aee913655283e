/** Fetch v11 (KIP-392: the rack of the client), without a fetch session (session id 0, epoch −1). */

import { writeArray, writeString } from '../wire.ts';
import type { ApiRequest, Throttled } from './request.ts';

export interface FetchPartition {
  readonly partition: number;
  /** As the metadata has it: a broker of another epoch refuses (KIP-320). −1: not checked. */
  readonly currentLeaderEpoch: number;
  readonly fetchOffset: number;
  readonly maxBytes: number;
}

export interface FetchPartitionResponse {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  readonly logStartOffset: number;
  readonly abortedTransactions: readonly { readonly producerId: number; readonly firstOffset: number }[];
  /** The record set: a view of the response. */
  readonly records: Buffer;
}

export interface FetchResponse extends Throttled {
  readonly errorCode: number;
  readonly partitions: readonly FetchPartitionResponse[];
}

export interface FetchOptions {
  readonly maxWaitMs: number;
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly isolationLevel: 'read_uncommitted' | 'read_committed';
}

export function fetchRequest(
  topics: readonly { readonly topic: string; readonly partitions: readonly FetchPartition[] }[],
  options: FetchOptions,
): ApiRequest<FetchResponse> {
  return {
    apiKey: 1,
    apiVersion: 11,
    apiName: 'Fetch',
    holdMs: options.maxWaitMs,
    write(out) {
      out.int32(-1).int32(options.maxWaitMs).int32(options.minBytes).int32(options.maxBytes);
      out
        .int8(options.isolationLevel === 'read_committed' ? 1 : 0)
        .int32(0)
        .int32(-1);
      writeArray(out, topics, ({ topic, partitions }) => {
        writeString(out, topic);
        writeArray(out, partitions, ({ partition, currentLeaderEpoch, fetchOffset, maxBytes }) =>
          out.int32(partition).int32(currentLeaderEpoch).int64(fetchOffset).int64(-1).int32(maxBytes),
        );
      });
      out.int32(0); // forgotten topics
      writeString(out, ''); // rack
    },
    read(reader) {
      const throttleTimeMs = reader.int32();
      const errorCode = reader.int16();
      reader.int32(); // session id
      const partitions: FetchPartitionResponse[] = [];
      reader.array(() => {
        const topic = reader.string();
        reader.array(() => {
          const partition = reader.int32();
          const partitionError = reader.int16();
          const highWatermark = reader.int64();
          const lastStableOffset = reader.int64();
          const logStartOffset = reader.int64();
          const abortedTransactions = reader.array(() => ({ producerId: reader.int64(), firstOffset: reader.int64() }));
          reader.int32(); // preferred read replica
          const records = reader.bytes();
          partitions.push({
            topic,
            partition,
            errorCode: partitionError,
            highWatermark,
            lastStableOffset,
            logStartOffset,
            abortedTransactions,
            records,
          });
        });
      });
      return { throttleTimeMs, errorCode, partitions };
    },
  };
}
