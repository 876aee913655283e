/** Metadata v7. Asks without auto-creation: programs create no external topic by looking at it. */

import { writeString } from '../wire.ts';
import type { ApiRequest, Throttled } from './request.ts';

export interface PartitionMetadata {
  readonly partition: number;
  readonly errorCode: number;
  /** Node id; −1 while there is none. */
  readonly leader: number;
  readonly leaderEpoch: number;
}

export interface TopicMetadata {
  readonly topic: string;
  readonly errorCode: number;
  readonly isInternal: boolean;
  readonly partitions: readonly PartitionMetadata[];
}

export interface MetadataResponse extends Throttled {
  readonly brokers: readonly {
    readonly nodeId: number;
    readonly host: string;
    readonly port: number;
    readonly rack: string | null;
  }[];
  readonly clusterId: string | null;
  readonly controllerId: number;
  readonly topics: readonly TopicMetadata[];
}

/** @param topics null asks for all topics, an empty list for none */
export function metadataRequest(topics: readonly string[] | null): ApiRequest<MetadataResponse> {
  return {
    apiKey: 3,
    apiVersion: 7,
    apiName: 'Metadata',
    write(out) {
      out.int32(topics === null ? -1 : topics.length);
      for (const topic of topics ?? []) writeString(out, topic);
      out.int8(0);
    },
    read(reader) {
      const throttleTimeMs = reader.int32();
      const brokers = reader.array(() => ({
        nodeId: reader.int32(),
        host: reader.string(),
        port: reader.int32(),
        rack: reader.nullableString(),
      }));
      const clusterId = reader.nullableString();
      const controllerId = reader.int32();
      const list = reader.array(() => {
        const errorCode = reader.int16();
        const topic = reader.string();
        const isInternal = reader.bool();
        const partitions = reader.array(() => {
          const partitionError = reader.int16();
          const partition = reader.int32();
          const leader = reader.int32();
          const leaderEpoch = reader.int32();
          for (let i = 0; i < 3; i++) reader.array(() => reader.int32()); // replicas, in-sync, offline
          return { partition, errorCode: partitionError, leader, leaderEpoch };
        });
        return { topic, errorCode, isInternal, partitions };
      });
      return { throttleTimeMs, brokers, clusterId, controllerId, topics: list };
    },
  };
}
