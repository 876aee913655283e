/** ListOffsets v5 (KIP-320: leader epochs): the offset at a timestamp, or the log's ends. */

import { writeArray, writeString } from '../wire.ts';
import type { ApiRequest, Throttled } from './request.ts';

export const EARLIEST_TIMESTAMP = -2;
export const LATEST_TIMESTAMP = -1;

export interface ListOffsetsResponse extends Throttled {
  readonly partitions: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly errorCode: number;
    /** −1 where no record has that timestamp or a later one. */
    readonly offset: number;
    /** Of the leader that wrote the record at the offset; −1 where it is not known. */
    readonly leaderEpoch: number;
  }[];
}

export function listOffsetsRequest(
  topics: readonly {
    readonly topic: string;
    readonly partitions: readonly {
      readonly partition: number;
      /** As the metadata has it: a broker of another epoch refuses. −1: any broker answers as it sees the log. */
      readonly currentLeaderEpoch: number;
      readonly timestamp: number;
    }[];
  }[],
  isolationLevel: 'read_uncommitted' | 'read_committed',
): ApiRequest<ListOffsetsResponse> {
  return {
    apiKey: 2,
    apiVersion: 5,
    apiName: 'ListOffsets',
    write(out) {
      out.int32(-1).int8(isolationLevel === 'read_committed' ? 1 : 0);
      writeArray(out, topics, ({ topic, partitions }) => {
        writeString(out, topic);
        writeArray(out, partitions, ({ partition, currentLeaderEpoch, timestamp }) =>
          out.int32(partition).int32(currentLeaderEpoch).int64(timestamp),
        );
      });
    },
    read(reader) {
      const throttleTimeMs = reader.int32();
      const partitions: ListOffsetsResponse['partitions'][number][] = [];
      reader.array(() => {
        const topic = reader.string();
        reader.array(() => {
          const partition = reader.int32();
          const errorCode = reader.int16();
          reader.int64(); // timestamp
          const offset = reader.int64();
          partitions.push({ topic, partition, errorCode, offset, leaderEpoch: reader.int32() });
        });
      });
      return { throttleTimeMs, partitions };
    },
  };
}
