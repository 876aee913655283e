/** millrace: Kafka Streams for TypeScript. */

export { AttemptTimeoutError, type RetryPolicy } from './attempts.ts';
export { ByteWriter } from './bytes.ts';
export * from './dsl/index.ts';
export { MillraceError } from './errors.ts';
export type { Header } from './headers.ts';
export { KafkaError } from './kafka/index.ts';
export type { Logger } from './logger.ts';
export { AsynchronousError } from './processors/index.ts';
export * from './producers/index.ts';
export * from './runtime/index.ts';
export {
  type AvroOrJsonOptions,
  type AvroSchema,
  type AvroType,
  avro,
  avroFields,
  avroOrJson,
  bytes,
  DeserializationError,
  double,
  integer,
  json,
  long,
  nullable,
  type RegisteredSchema,
  RegistryError,
  SchemaRegistry,
  type SchemaRegistryOptions,
  type Serde,
  SerdeError,
  SerializationError,
  serde,
  string,
  timeWindowed,
  type ValueOf,
  type Window,
  type Windowed,
} from './serdes/index.ts';
export {
  type KeyValueStore,
  keyValueStore,
  type ReadOnlyKeyValueStore,
  type ReadOnlyWindowStore,
  StateError,
  StateStoreClosedError,
  type ValueAndTimestamp,
  type WindowStore,
  windowStore,
} from './state/index.ts';
export {
  type BatchContext,
  BatchFencedError,
  type BatchHandler,
  type BatchPosition,
  type BatchRecord,
  type CallContext,
  type Cancellable,
  type ExternalPositions,
  type InputPartition,
  type NullFor,
  type OffsetReset,
  type Processor,
  type ProcessorContext,
  type PunctuationType,
  type RecordMetadata,
  type StreamPartitioner,
  StreamRecord,
  type TimestampExtractor,
  type TopicNameExtractor,
  type Topology,
  TopologyError,
} from './topology/index.ts';
