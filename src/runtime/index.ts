/** The runtime: read stream-thread.ts for the loop, task.ts for the way of a record, restore.ts and assignment.ts after. */
export * from './errors.ts';
export {
  KafkaStreams,
  type KafkaStreamsState,
  type StateListener,
  type UncaughtErrorResponse,
} from './kafka-streams.ts';
export type { MetricsSnapshot } from './metrics.ts';
export type { HandlerResponse, StreamsOptions, UndecodableRecord } from './options.ts';
export type { RestoreListener } from './restore/restore.ts';
