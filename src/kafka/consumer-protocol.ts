/**
 * What a member of a consumer group says of itself and is assigned, in the bytes of Kafka's ConsumerProtocol version 0,
 * so that Kafka's tools (kafka-consumer-groups.sh) can show a group of ours.
 *
 *     Subscription: version int16 | topics [string] | userData bytes
 *     Assignment:   version int16 | partitions [topic string, [partition int32]] | userData bytes
 */
import { ByteWriter } from '../bytes.ts';
import { byTopic } from './cluster.ts';
import type { TopicPartition } from './record-batch.ts';
import { WireReader, writeArray, writeBytes, writeString } from './wire.ts';

export interface Subscription {
  readonly topics: readonly string[];
  readonly userData: Buffer;
}

export function encodeSubscription({ topics, userData }: Subscription): Buffer {
  const out = new ByteWriter().int16(0);
  writeArray(out, topics, (topic) => writeString(out, topic));
  writeBytes(out, userData);
  return out.copy();
}

export function decodeSubscription(bytes: Buffer): Subscription {
  const reader = new WireReader(bytes);
  reader.int16();
  return { topics: reader.array(() => reader.string()), userData: reader.bytes() };
}

export function encodeAssignment(partitions: readonly TopicPartition[]): Buffer {
  const out = new ByteWriter().int16(0);
  writeArray(out, byTopic(partitions), ({ topic, partitions: list }) => {
    writeString(out, topic);
    writeArray(out, list, ({ partition }) => out.int32(partition));
  });
  writeBytes(out, Buffer.alloc(0));
  return out.copy();
}

/** An empty assignment may come as no bytes at all. */
export function decodeAssignment(bytes: Buffer): TopicPartition[] {
  if (bytes.length === 0) return [];
  const reader = new WireReader(bytes);
  reader.int16();
  return reader
    .array(() => {
      const topic = reader.string();
      return reader.array(() => ({ topic, partition: reader.int32() }));
    })
    .flat();
}
