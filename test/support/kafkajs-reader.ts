/** Reads topics back with a client that is not ours. */
import { randomUUID } from 'node:crypto';
import avsc from 'avsc';
import { Kafka, logLevel } from 'kafkajs';
import { waitFor } from './wait.ts';

export interface ReadMessage {
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: string;
  readonly value: Buffer;
}

/** All messages of a topic once there are so many, in the order of each partition. */
export async function readTopic(brokers: readonly string[], topic: string, count: number): Promise<ReadMessage[]> {
  const consumer = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).consumer({
    groupId: `g-${randomUUID()}`,
    maxWaitTimeInMs: 50,
  });
  const messages: ReadMessage[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ partition, message: { offset, timestamp, key, value } }) => {
      messages.push({
        partition,
        offset: Number(offset),
        timestamp: Number(timestamp),
        key: String(key),
        value: value!,
      });
    },
  });
  await waitFor(() => messages.length >= count);
  await consumer.disconnect();
  return messages;
}

const types = new Map<string, Promise<avsc.Type>>();

async function typeAt(url: string): Promise<avsc.Type> {
  const { schema } = (await (await fetch(url)).json()) as { schema: string };
  return avsc.Type.forSchema(JSON.parse(schema));
}

/** What avsc makes of a value, by the schema that the registry has under its id. */
export async function decode(registryUrl: string, value: Buffer): Promise<unknown> {
  const url = `${registryUrl}/schemas/ids/${value.readInt32BE(1)}`;
  let type = types.get(url);
  if (type === undefined) types.set(url, (type = typeAt(url)));
  return JSON.parse(JSON.stringify((await type).fromBuffer(value.subarray(5))));
}
