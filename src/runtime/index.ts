/**
 * The runtime: read stream-thread.ts for the loop, task-manager.ts for what becomes of a task, task/task.ts for the way of a
 * record; commit/, restore/ and assignment/ after.
 */
export * from './errors.ts';
export { KafkaStreams, type UncaughtErrorResponse } from './kafka-streams.ts';
export type { KafkaStreamsState, StateListener } from './lifecycle.ts';
export type { MetricsSnapshot } from './metrics.ts';
export type { HandlerResponse, StreamsOptions, UndecodableRecord } from './options.ts';
export type { RestoreListener } from './restore/changelog-reader.ts';
