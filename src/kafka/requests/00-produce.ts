/** Produce v8 (KIP-467: the answer names the records that were refused). */

import { ByteWriter } from '../../bytes.ts';
import { writeArray, writeNullableString, writeString } from '../wire.ts';
import type { ApiRequest, Throttled } from './request.ts';

export interface ProducePartition {
  readonly partition: number;
  readonly batch: Buffer;
}

export interface ProducePartitionResponse {
  readonly topic: string;
  readonly partition: number;
  readonly errorCode: number;
  readonly baseOffset: number;
  readonly logAppendTimeMs: number;
  /** Position in the batch and reason of each record refused. */
  readonly recordErrors: readonly { readonly index: number; readonly message: string | null }[];
  readonly errorMessage: string | null;
}

export interface ProduceResponse extends Throttled {
  readonly partitions: readonly ProducePartitionResponse[];
}

export function produceRequest(
  topics: readonly { readonly topic: string; readonly partitions: readonly ProducePartition[] }[],
  options: {
    /** ms after which the connection is given up; the broker waits for its replicas two thirds of it. */
    readonly timeoutMs: number;
    readonly acks?: number;
    readonly transactionalId?: string | null;
    /** A connection stands, and the request goes out on it. */
    readonly onOut?: () => void;
  },
): ApiRequest<ProduceResponse> {
  return {
    apiKey: 0,
    apiVersion: 8,
    apiName: 'Produce',
    timeoutMs: options.timeoutMs,
    write(out) {
      for (const part of this.parts!()) out.bytes(part);
    },
    parts() {
      options.onOut?.();
      const parts: Buffer[] = [];
      let out = new ByteWriter();
      writeNullableString(out, options.transactionalId ?? null);
      out.int16(options.acks ?? -1).int32(Math.ceil((options.timeoutMs * 2) / 3));
      writeArray(out, topics, ({ topic, partitions }) => {
        writeString(out, topic);
        writeArray(out, partitions, ({ partition, batch }) => {
          out.int32(partition).int32(batch.length);
          parts.push(out.buffer.subarray(0, out.position), batch);
          out = new ByteWriter(64);
        });
      });
      parts.push(out.buffer.subarray(0, out.position));
      return parts;
    },
    read(reader) {
      const partitions: ProducePartitionResponse[] = [];
      reader.array(() => {
        const topic = reader.string();
        reader.array(() => {
          const partition = reader.int32();
          const errorCode = reader.int16();
          const baseOffset = reader.int64();
          const logAppendTimeMs = reader.int64();
          reader.int64(); // log start offset
          const recordErrors = reader.array(() => ({ index: reader.int32(), message: reader.nullableString() }));
          const errorMessage = reader.nullableString();
          partitions.push({ topic, partition, errorCode, baseOffset, logAppendTimeMs, recordErrors, errorMessage });
        });
      });
      return { partitions, throttleTimeMs: reader.int32() };
    },
  };
}
