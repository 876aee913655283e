/**
 * A Kafka broker and a schema registry for a machine that has none: for development and tests, not for production. Read
 * start-kafka.ts first, then broker/embedded-broker.ts.
 */
export type { MoveCoordinatorOptions, MoveLeaderOptions, PartitionState, StopNodeOptions } from './broker/cluster.ts';
export type { EmbeddedBrokerOptions } from './broker/embedded-broker.ts';
export type { Fault, FaultAction, RequestSource } from './broker/faults.ts';
export { EmbeddedError } from './errors.ts';
export {
  type ClusterControls,
  type CoordinatedId,
  type EmbeddedKafka,
  type EmbeddedKafkaOptions,
  startKafka,
  type TopicOptions,
} from './start-kafka.ts';
export { type EmbeddedRegistry, type EmbeddedRegistryOptions, startRegistry } from './start-registry.ts';
