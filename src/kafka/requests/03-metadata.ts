/**
 * Metadata v12 (KIP-516: topic ids; flexible). Asks without auto-creation: programs create no external topic by looking at
 * it.
 */
import { writeCompactString, writeNoTags, writeUnsignedVarint } from '../wire.ts';
import type { ApiRequest, Throttled } from './request.ts';

export interface PartitionMetadata {
  readonly partition: number;
  readonly errorCode: number;
  /** Node id; −1 while there is none. */
  readonly leader: number;
  /** How often the partition has changed its leader; −1 where the broker does not say (KIP-320). */
  readonly leaderEpoch: number;
}

export interface TopicMetadata {
  readonly topic: string;
  readonly errorCode: number;
  /** Hex; another one where a topic was deleted and created again. Zeros where it is not known, as behind an error. */
  readonly topicId: string;
  readonly isInternal: boolean;
  /** By number: partition n is the nth, once the metadata was taken over (metadata.ts). */
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

const NO_ID = Buffer.alloc(16);

/** @param topics null asks for all topics, an empty list for none */
export function metadataRequest(topics: readonly string[] | null): ApiRequest<MetadataResponse> {
  return {
    apiKey: 3,
    apiVersion: 12,
    apiName: 'Metadata',
    flexible: true,
    write(out) {
      writeUnsignedVarint(out, topics === null ? 0 : topics.length + 1);
      for (const topic of topics ?? []) {
        out.bytes(NO_ID);
        writeCompactString(out, topic);
        writeNoTags(out);
      }
      out.int8(0).int8(0); // no auto-creation, no authorised operations
      writeNoTags(out);
    },
    read(reader) {
      const throttleTimeMs = reader.int32();
      const brokers = reader.compactArray(() => {
        const nodeId = reader.int32();
        const host = reader.compactString();
        const port = reader.int32();
        const rack = reader.compactNullableString();
        reader.skipTags();
        return { nodeId, host, port, rack };
      });
      const clusterId = reader.compactNullableString();
      const controllerId = reader.int32();
      const list = reader.compactArray(() => {
        const errorCode = reader.int16();
        const topic = reader.compactString();
        const topicId = reader.uuid();
        const isInternal = reader.bool();
        const partitions = reader.compactArray(() => {
          const partitionError = reader.int16();
          const partition = reader.int32();
          const leader = reader.int32();
          const leaderEpoch = reader.int32();
          for (let i = 0; i < 3; i++) reader.compactArray(() => reader.int32()); // replicas, in-sync, offline
          reader.skipTags();
          return { partition, errorCode: partitionError, leader, leaderEpoch };
        });
        reader.int32(); // authorised operations
        reader.skipTags();
        return { topic, errorCode, topicId, isInternal, partitions };
      });
      reader.skipTags();
      return { throttleTimeMs, brokers, clusterId, controllerId, topics: list };
    },
  };
}
