import {
  type BatchHandler,
  double,
  json,
  minutes,
  StreamsBuilder,
  string,
  TimeWindows,
  type Topology,
} from '../../../src/index.ts';

export interface Order {
  readonly id: string;
  readonly product: string;
  readonly amount: number;
}

export interface Product {
  readonly name: string;
  readonly stock: number;
}

/** What the topology needs of the outside; a test gives its own. */
export interface Outside {
  /** How likely it is that an order is fraud, 0 to 1. */
  riskOf(order: Order, signal: AbortSignal): Promise<number>;
  /** Stores orders, by customer. */
  readonly store: BatchHandler<string | null, Order>;
}

export function shop({ riskOf, store }: Outside): Topology {
  const builder = new StreamsBuilder();
  const orders = builder.stream('orders', { key: string(), value: json<Order>(), deadLetterTopic: 'orders-dlq' });

  // A window: what each product brings in a minute.
  orders
    .groupBy((_customer, { product }) => product, { key: string(), value: json<Order>() })
    .windowedBy(TimeWindows.of(minutes(1), { grace: minutes(5) }))
    .aggregate(
      () => 0,
      (_product, { amount }, revenue) => revenue + amount,
      { name: 'revenue', value: double() },
    )
    .toStream()
    .map(({ key, window }, revenue) => [key, { from: window.startMs, revenue }])
    .to('revenue-per-minute', { key: string(), value: json() });

  // A table: the products there are, and of them those that run out.
  builder
    .table('products', { key: string(), value: json<Product>(), materialized: { name: 'products' } })
    .filter((_id, { stock }) => stock < 10)
    .toStream()
    .to('products-to-order', { key: string(), value: json() });

  // An asynchronous call: records that wait for it are state, so none is lost, and no commit waits.
  orders
    .mapAsync(
      async (customer, order, { signal }) => [customer, { ...order, risk: await riskOf(order, signal) }] as const,
      { name: 'risk', timeoutMs: 2_000, retry: { maxElapsedMs: minutes(10) }, deadLetterTopic: 'orders-dlq' },
    )
    .filter((_customer, { risk }) => risk > 0.9)
    .to('suspicious-orders', { key: string(), value: json() });

  // A batch sink: positions are committed when the handler's promise has resolved.
  orders.forEachBatch(store, { name: 'store', maxRecords: 500, maxWaitMs: 1_000 });

  return builder.build();
}
