/**
 * The driver. Connections, TLS, SASL and API versions are kafkajs' (connections.ts); the record-batch codec, fetching,
 * producing and group membership are ours. Read record-batch.ts first, then fetcher.ts and producer.ts.
 */
export * from './admin.ts';
export { byTopic, type ClusterOptions, KafkaCluster } from './cluster.ts';
export { COMPRESSION_IDS, type CompressionType, compress, loadZstd } from './compression/index.ts';
export * from './consumer-protocol.ts';
export { crc32c } from './crc32c.ts';
export type { DeliveryListener } from './delivery-listener.ts';
export * from './errors.ts';
export { Fetcher } from './fetcher.ts';
export type { FetcherOptions } from './fetcher-options.ts';
export { type Generation, type GroupHooks, GroupMember, type GroupMemberOptions } from './group-member.ts';
export { murmur2, partitionForKey } from './murmur2.ts';
export * from './offsets.ts';
export { PartitionBuffer } from './partition-buffer.ts';
export { Producer } from './producer.ts';
export type { ProducerOptions } from './producer-options.ts';
export {
  type BatchOptions,
  forEachBatch,
  RecordBatch,
  RecordCursor,
  type TopicPartition,
} from './record-batch.ts';
export { type BatchIdentity, NO_PRODUCER, RecordBatchBuilder } from './record-batch-builder.ts';
export type { NewTopic } from './requests/admin.ts';
