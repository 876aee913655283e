/**
 * The functions of sources and sinks, which the runtime calls as they are: what they return is checked here. Where the
 * result has its type nothing more is done.
 */
import {
  resultOf,
  type StreamPartitioner,
  type TimestampExtractor,
  type TopicNameExtractor,
} from '../topology/index.ts';

/** @param node the source, for the message */
export function extractorOf<V>(
  extractor: TimestampExtractor<V> | undefined,
  node: string,
): TimestampExtractor<V> | undefined {
  if (extractor === undefined) return undefined;
  return (value, record) => {
    const timestamp = extractor(value, record);
    return typeof timestamp === 'number' ? timestamp : resultOf(timestamp, node);
  };
}

/** @param node the sink, for the message */
export function partitionerOf<K, V>(
  partitioner: StreamPartitioner<K, V> | undefined,
  node: string,
): StreamPartitioner<K, V> | undefined {
  if (partitioner === undefined) return undefined;
  return (topic, key, value, partitionCount) => {
    const partition = partitioner(topic, key, value, partitionCount);
    return typeof partition === 'number' ? partition : (resultOf(partition, node) ?? undefined);
  };
}

/** @param node the sink, for the message */
export function topicOf<K, V>(
  topic: string | TopicNameExtractor<K, V>,
  node: string,
): string | TopicNameExtractor<K, V> {
  if (typeof topic === 'string') return topic;
  const extract: TopicNameExtractor<K, V> = (key, value, record) => {
    const name = topic(key, value, record);
    return typeof name === 'string' ? name : resultOf(name, node);
  };
  // describe() prints the name.
  return Object.defineProperty(extract, 'name', { value: topic.name });
}
