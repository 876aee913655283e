/** What each operator does to a record, a file a family. stateless.ts is the place to start. */
export { AggregateProcessor, type Aggregation } from './aggregate.ts';
export { AsynchronousError } from './errors.ts';
export { ForEachBatchProcessor } from './for-each-batch.ts';
export { MapAsyncProcessor } from './map-async.ts';
export { pendingCallSerde } from './pending-call.ts';
export * from './stateless.ts';
export {
  TableFilterProcessor,
  TableMapValuesProcessor,
  TableSourceProcessor,
  TableToStreamProcessor,
} from './table.ts';
export { WindowAggregateProcessor, type WindowSizes } from './window-aggregate.ts';
