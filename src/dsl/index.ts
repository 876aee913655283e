/** The DSL: StreamsBuilder, KStream, KTable, windows. Turns calls into a graph; no I/O. Read streams-builder.ts first. */
export type { ForEachBatchOptions, MapAsyncOptions } from './asynchronous.ts';
export { BranchedKStream } from './branched.ts';
export type { ErrorOptions } from './error-options.ts';
export { KGroupedStream, TimeWindowedKStream } from './grouped-stream.ts';
export { KStream, type ProcessOptions } from './kstream.ts';
export { KTable } from './ktable.ts';
export type * from './options.ts';
export { StreamsBuilder } from './streams-builder.ts';
export { days, hours, minutes, seconds, TimeWindows, type TimeWindowsOptions } from './windows.ts';
