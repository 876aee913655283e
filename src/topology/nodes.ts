/** The graph: sources, processors and sinks, by name, with what each needs to run. */
import type { RetryPolicy } from '../attempts.ts';
import type { Header } from '../headers.ts';
import type { Serde } from '../serdes/index.ts';
import type { ErrorPolicy, ExternalPositions } from './asynchronous.ts';
import type { AnyProcessor } from './processor.ts';

/** What a timestamp extractor sees of the record besides its value. */
export interface ExtractorRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** The record's own timestamp, ms since the epoch. */
  readonly timestamp: number;
  readonly headers: readonly Header[];
}

/** Event time of a record, ms since the epoch. A negative one drops the record, counted. */
export type TimestampExtractor<V> = (value: V, record: ExtractorRecord) => number;

export type OffsetReset = 'earliest' | 'latest';

// biome-ignore lint/suspicious/noExplicitAny: see AnyProcessor
export type AnySerde = Serde<any>;

export interface SourceNode {
  readonly kind: 'source';
  readonly name: string;
  readonly topics: readonly string[] | RegExp;
  readonly key: AnySerde;
  readonly value: AnySerde;
  // biome-ignore lint/suspicious/noExplicitAny: see AnyProcessor
  readonly timestamp?: TimestampExtractor<any> | undefined;
  readonly offsetReset?: OffsetReset | undefined;
  /** What is done about a record that cannot be read. Default: what the application's handler says. */
  readonly errorPolicy?: ErrorPolicy | undefined;
}

export interface ProcessorNode {
  readonly kind: 'processor';
  readonly name: string;
  readonly parents: readonly string[];
  readonly supplier: () => AnyProcessor;
  readonly stores: readonly string[];
  /** Windowed operators: ms by which a record may be late. */
  readonly graceMs?: number | undefined;
  /**
   * True where what it is given is neither changed nor kept: the runtime's own operators, and user code declared pure.
   * It may hand it on. Default false.
   */
  readonly pure?: boolean | undefined;
  /** What is done about a record that its own code throws at. Default: the task fails. */
  readonly errorPolicy?: ErrorPolicy | undefined;
  /** Where the task begins is remembered by what the node writes to. */
  readonly externalPositions?: { readonly positions: ExternalPositions; readonly retry: RetryPolicy } | undefined;
}

/** The partition for a record, 0 ≤ p < partitionCount; undefined: Java's murmur2 of the key. */
export type StreamPartitioner<K, V> = (topic: string, key: K, value: V, partitionCount: number) => number | undefined;

/** A topic computed for each record. */
export type TopicNameExtractor<K, V> = (
  key: K,
  value: V,
  record: { readonly timestamp: number; readonly headers: readonly Header[] },
) => string;

export interface SinkNode {
  readonly kind: 'sink';
  readonly name: string;
  readonly parents: readonly string[];
  // biome-ignore lint/suspicious/noExplicitAny: see AnyProcessor
  readonly topic: string | TopicNameExtractor<any, any>;
  readonly key: AnySerde;
  readonly value: AnySerde;
  // biome-ignore lint/suspicious/noExplicitAny: see AnyProcessor
  readonly partitioner?: StreamPartitioner<any, any> | undefined;
  /** True where the partitioner and the topic's extractor neither change nor keep what they are given. Default false. */
  readonly pure?: boolean | undefined;
  /**
   * True for a repartition topic behind which no user code stands that could have changed the value in place: a value that
   * is still the source's object may be written with the bytes it was read from. Default false.
   */
  readonly reusesSourceBytes?: boolean | undefined;
  /** What is done about a record that cannot be written. Default: the task fails. */
  readonly errorPolicy?: ErrorPolicy | undefined;
}

export type TopologyNode = SourceNode | ProcessorNode | SinkNode;

/** The dead letter topics that nodes have of their own. */
export function deadLetterTopics(nodes: readonly TopologyNode[]): string[] {
  return [...new Set(nodes.flatMap((node) => node.errorPolicy?.deadLetterTopic ?? []))];
}

/** A topic between two sub-topologies; the name is without the application id. */
export interface RepartitionTopic {
  readonly name: string;
  /** Undefined: as many as the topics that the writing sub-topology reads. */
  readonly partitions: number | undefined;
}
