/** What each operator does to a record, a file a family. stateless.ts is the place to start. */
export { AggregateProcessor, type Aggregation } from './aggregate.ts';
export * from './stateless.ts';
export {
  TableFilterProcessor,
  TableMapValuesProcessor,
  TableSourceProcessor,
  TableToStreamProcessor,
} from './table.ts';
export { WindowAggregateProcessor, type WindowSizes } from './window-aggregate.ts';
