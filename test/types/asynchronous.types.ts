/** Types of asynchronous operators: checked by `npm run typecheck`, never run. */

import {
  type BatchPosition,
  type BatchRecord,
  json,
  type KStream,
  nullable,
  StreamsBuilder,
  string,
} from '../../src/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<T extends true>(): T | undefined {
  return undefined;
}

interface Order {
  readonly id: string;
}
const builder = new StreamsBuilder();
const orders = builder.stream('orders', { key: string(), value: json<Order>() });

// Key and value of the result come from the function; a key can be null at a source.
orders.mapAsync(async (key, order, { attempt, signal, offset }) => {
  is<Equal<typeof key, string | null>>();
  is<Equal<typeof order, Order>>();
  is<Equal<typeof attempt, number>>();
  is<Equal<typeof signal, AbortSignal>>();
  is<Equal<typeof offset, number>>();
  return [order.id, { price: 1 }] as const;
});

const named = orders.mapAsync(async (_key, order): Promise<[string, number]> => [order.id, 1]);
is<Equal<typeof named, KStream<string, number>>>();

// Undefined is null downstream, as everywhere.
const maybe = orders.mapAsync(async (key): Promise<[string | null, number | undefined]> => [key, undefined]);
is<Equal<typeof maybe, KStream<string | null, number | null>>>();

// What comes of a failure has the types of a result.
orders.mapAsync(async (_key, order): Promise<[string, number]> => [order.id, 1], {
  onFailure: (error, key, order, { attempts }) => {
    is<Equal<typeof error, unknown>>();
    is<Equal<typeof key, string | null>>();
    is<Equal<typeof attempts, number>>();
    return [order.id, attempts];
  },
});
orders.mapAsync(async (_key, order): Promise<[string, number]> => [order.id, 1], {
  // @ts-expect-error a text is no number
  onFailure: (_error, _key, order) => [order.id, 'failed'],
});
// @ts-expect-error it is to be asynchronous
orders.mapAsync((key, order) => [key, order]);

// Serdes for what waits fit what waits; null needs none.
orders.mapAsync(async (key, order) => [key, order] as const, { key: string(), value: json<Order>() });
// @ts-expect-error keys are strings
orders.mapAsync(async (key, order) => [key, order] as const, { key: json<number>() });
const withNulls = builder.stream('deletions', { key: string(), value: nullable(json<Order>()) });
withNulls.mapAsync(async (key, order) => [key, order] as const, { value: json<Order>() });

// A batch has the stream's keys and values.
orders.forEachBatch(async (records, { positions, deadLetter }) => {
  is<Equal<typeof records, readonly BatchRecord<string | null, Order>[]>>();
  is<Equal<typeof positions, readonly BatchPosition[]>>();
  await deadLetter(records[0]!, new Error('refused'));
});
// @ts-expect-error a handler that is not awaited would lose what it does
orders.forEachBatch((records) => records.length);
