/** OffsetForLeaderEpoch v3 (KIP-320): where an epoch of a partition's log ends, so that a client sees a truncation. */

import { writeArray, writeString } from '../wire.ts';
import type { ApiRequest, Throttled } from './request.ts';

/** What consumers say they are. */
const CONSUMER_REPLICA = -1;

export interface EpochEndOffset {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
  /** The largest epoch of the leader's log that is not above the one asked for; −1: it has none. */
  readonly leaderEpoch: number;
  /** The offset behind that epoch's last record; −1: it has none. */
  readonly endOffset: number;
}

export interface OffsetForLeaderEpochResponse extends Throttled {
  readonly partitions: readonly EpochEndOffset[];
}

export function offsetForLeaderEpochRequest(
  topics: readonly {
    readonly topic: string;
    readonly partitions: readonly {
      readonly partition: number;
      /** As the metadata has it. */
      readonly currentLeaderEpoch: number;
      /** The epoch asked for: of the last record before the position. */
      readonly leaderEpoch: number;
    }[];
  }[],
): ApiRequest<OffsetForLeaderEpochResponse> {
  return {
    apiKey: 23,
    apiVersion: 3,
    apiName: 'OffsetForLeaderEpoch',
    write(out) {
      out.int32(CONSUMER_REPLICA);
      writeArray(out, topics, ({ topic, partitions }) => {
        writeString(out, topic);
        writeArray(out, partitions, ({ partition, currentLeaderEpoch, leaderEpoch }) =>
          out.int32(partition).int32(currentLeaderEpoch).int32(leaderEpoch),
        );
      });
    },
    read(reader) {
      const throttleTimeMs = reader.int32();
      const partitions: EpochEndOffset[] = [];
      reader.array(() => {
        const topic = reader.string();
        reader.array(() => {
          const errorCode = reader.int16();
          const partition = reader.int32();
          const leaderEpoch = reader.int32();
          partitions.push({ topic, partition, errorCode, leaderEpoch, endOffset: reader.int64() });
        });
      });
      return { throttleTimeMs, partitions };
    },
  };
}
