/** OffsetCommit v7 (8), OffsetFetch v5 (9) and FindCoordinator v1 (10): a group's committed positions. */

import { writeArray, writeNullableString, writeString } from '../wire.ts';
import type { ApiRequest, Throttled } from './request.ts';

export interface CommittedPosition {
  readonly partition: number;
  readonly offset: number;
  /** Of the last record before the offset (KIP-320); −1 where it is not known. */
  readonly leaderEpoch?: number | undefined;
  readonly metadata: string | null;
}

export interface OffsetCommitResponse extends Throttled {
  readonly partitions: readonly { readonly topic: string; readonly partition: number; readonly errorCode: number }[];
}

export function offsetCommitRequest(
  group: { readonly groupId: string; readonly generationId: number; readonly memberId: string },
  topics: readonly { readonly topic: string; readonly partitions: readonly CommittedPosition[] }[],
): ApiRequest<OffsetCommitResponse> {
  return {
    apiKey: 8,
    apiVersion: 7,
    apiName: 'OffsetCommit',
    write(out) {
      writeString(out, group.groupId);
      out.int32(group.generationId);
      writeString(out, group.memberId);
      writeNullableString(out, null); // group instance id
      writeArray(out, topics, ({ topic, partitions }) => {
        writeString(out, topic);
        writeArray(out, partitions, ({ partition, offset, leaderEpoch = -1, metadata }) => {
          out.int32(partition).int64(offset).int32(leaderEpoch);
          writeNullableString(out, metadata);
        });
      });
    },
    read(reader) {
      const throttleTimeMs = reader.int32();
      const partitions: { topic: string; partition: number; errorCode: number }[] = [];
      reader.array(() => {
        const topic = reader.string();
        reader.array(() => partitions.push({ topic, partition: reader.int32(), errorCode: reader.int16() }));
      });
      return { throttleTimeMs, partitions };
    },
  };
}

export interface OffsetFetchResponse extends Throttled {
  readonly errorCode: number;
  readonly partitions: readonly {
    readonly topic: string;
    readonly partition: number;
    /** −1: nothing is committed. */
    readonly offset: number;
    /** −1 where none was committed. */
    readonly leaderEpoch: number;
    readonly metadata: string | null;
    readonly errorCode: number;
  }[];
}

export function offsetFetchRequest(
  groupId: string,
  topics: readonly { readonly topic: string; readonly partitions: readonly number[] }[],
): ApiRequest<OffsetFetchResponse> {
  return {
    apiKey: 9,
    apiVersion: 5,
    apiName: 'OffsetFetch',
    write(out) {
      writeString(out, groupId);
      writeArray(out, topics, ({ topic, partitions }) => {
        writeString(out, topic);
        writeArray(out, partitions, (partition) => out.int32(partition));
      });
    },
    read(reader) {
      const throttleTimeMs = reader.int32();
      const partitions: OffsetFetchResponse['partitions'][number][] = [];
      reader.array(() => {
        const topic = reader.string();
        reader.array(() => {
          const partition = reader.int32();
          const offset = reader.int64();
          const leaderEpoch = reader.int32();
          const metadata = reader.nullableString();
          partitions.push({ topic, partition, offset, leaderEpoch, metadata, errorCode: reader.int16() });
        });
      });
      return { throttleTimeMs, errorCode: reader.int16(), partitions };
    },
  };
}

export interface FindCoordinatorResponse extends Throttled {
  readonly errorCode: number;
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

export function findCoordinatorRequest(
  key: string,
  keyType: 'group' | 'transaction',
): ApiRequest<FindCoordinatorResponse> {
  return {
    apiKey: 10,
    apiVersion: 1,
    apiName: 'FindCoordinator',
    write(out) {
      writeString(out, key);
      out.int8(keyType === 'group' ? 0 : 1);
    },
    read(reader) {
      const throttleTimeMs = reader.int32();
      const errorCode = reader.int16();
      reader.nullableString(); // error message
      return { throttleTimeMs, errorCode, nodeId: reader.int32(), host: reader.string(), port: reader.int32() };
    },
  };
}
