/** CreateTopics v4 (19), DeleteTopics v3 (20), DeleteRecords v1 (21), InitProducerId v1 (22), DescribeConfigs v2 (32). */

import { writeArray, writeNullableString, writeString } from '../wire.ts';
import type { ApiRequest, Throttled } from './request.ts';

export interface NewTopic {
  readonly topic: string;
  /** −1: the broker's default. */
  readonly partitions: number;
  /** −1: the broker's default. */
  readonly replicationFactor: number;
  readonly configs: Readonly<Record<string, string>>;
}

export interface TopicErrorsResponse extends Throttled {
  readonly topics: readonly { readonly topic: string; readonly errorCode: number; readonly message: string | null }[];
}

export function createTopicsRequest(topics: readonly NewTopic[], timeoutMs: number): ApiRequest<TopicErrorsResponse> {
  return {
    apiKey: 19,
    apiVersion: 4,
    apiName: 'CreateTopics',
    holdMs: timeoutMs,
    write(out) {
      writeArray(out, topics, ({ topic, partitions, replicationFactor, configs }) => {
        writeString(out, topic);
        out.int32(partitions).int16(replicationFactor).int32(0); // no manual assignment
        writeArray(out, Object.entries(configs), ([name, value]) => {
          writeString(out, name);
          writeNullableString(out, value);
        });
      });
      out.int32(timeoutMs).int8(0);
    },
    read: (reader) => ({
      throttleTimeMs: reader.int32(),
      topics: reader.array(() => ({
        topic: reader.string(),
        errorCode: reader.int16(),
        message: reader.nullableString(),
      })),
    }),
  };
}

export function deleteTopicsRequest(topics: readonly string[], timeoutMs: number): ApiRequest<TopicErrorsResponse> {
  return {
    apiKey: 20,
    apiVersion: 3,
    apiName: 'DeleteTopics',
    holdMs: timeoutMs,
    write(out) {
      writeArray(out, topics, (topic) => writeString(out, topic));
      out.int32(timeoutMs);
    },
    read: (reader) => ({
      throttleTimeMs: reader.int32(),
      topics: reader.array(() => ({ topic: reader.string(), errorCode: reader.int16(), message: null })),
    }),
  };
}

export interface DeleteRecordsResponse extends Throttled {
  readonly partitions: readonly { readonly topic: string; readonly partition: number; readonly errorCode: number }[];
}

/** Deletes what lies before each offset. */
export function deleteRecordsRequest(
  topics: readonly {
    readonly topic: string;
    readonly partitions: readonly { readonly partition: number; readonly offset: number }[];
  }[],
  timeoutMs: number,
): ApiRequest<DeleteRecordsResponse> {
  return {
    apiKey: 21,
    apiVersion: 1,
    apiName: 'DeleteRecords',
    holdMs: timeoutMs,
    write(out) {
      writeArray(out, topics, ({ topic, partitions }) => {
        writeString(out, topic);
        writeArray(out, partitions, ({ partition, offset }) => out.int32(partition).int64(offset));
      });
      out.int32(timeoutMs);
    },
    read(reader) {
      const throttleTimeMs = reader.int32();
      const partitions: { topic: string; partition: number; errorCode: number }[] = [];
      reader.array(() => {
        const topic = reader.string();
        reader.array(() => {
          const partition = reader.int32();
          reader.int64(); // low watermark
          partitions.push({ topic, partition, errorCode: reader.int16() });
        });
      });
      return { throttleTimeMs, partitions };
    },
  };
}

export interface InitProducerIdResponse extends Throttled {
  readonly errorCode: number;
  readonly producerId: number;
  readonly producerEpoch: number;
}

export function initProducerIdRequest(
  transactionalId: string | null,
  transactionTimeoutMs: number,
): ApiRequest<InitProducerIdResponse> {
  return {
    apiKey: 22,
    apiVersion: 1,
    apiName: 'InitProducerId',
    write(out) {
      writeNullableString(out, transactionalId);
      out.int32(transactionTimeoutMs);
    },
    read: (reader) => ({
      throttleTimeMs: reader.int32(),
      errorCode: reader.int16(),
      producerId: reader.int64(),
      producerEpoch: reader.int16(),
    }),
  };
}

export interface DescribeConfigsResponse extends Throttled {
  readonly topics: readonly {
    readonly topic: string;
    readonly errorCode: number;
    readonly message: string | null;
    readonly configs: ReadonlyMap<string, string | null>;
  }[];
}

const TOPIC_RESOURCE = 2;

export function describeTopicConfigsRequest(topics: readonly string[]): ApiRequest<DescribeConfigsResponse> {
  return {
    apiKey: 32,
    apiVersion: 2,
    apiName: 'DescribeConfigs',
    write(out) {
      writeArray(out, topics, (topic) => {
        out.int8(TOPIC_RESOURCE);
        writeString(out, topic);
        out.int32(-1); // all configs
      });
      out.int8(0); // no synonyms
    },
    read(reader) {
      const throttleTimeMs = reader.int32();
      const topics = reader.array(() => {
        const errorCode = reader.int16();
        const message = reader.nullableString();
        reader.int8(); // resource type
        const topic = reader.string();
        const configs = new Map<string, string | null>();
        reader.array(() => {
          const name = reader.string();
          configs.set(name, reader.nullableString());
          reader.bool(); // read only
          reader.int8(); // source
          reader.bool(); // sensitive
          reader.array(() => [reader.string(), reader.nullableString(), reader.int8()]); // synonyms
        });
        return { topic, errorCode, message, configs };
      });
      return { throttleTimeMs, topics };
    },
  };
}
