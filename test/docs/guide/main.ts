import { startKafka } from '../../../src/embedded/index.ts';
import { KafkaStreams } from '../../../src/index.ts';
import { shop } from './topology.ts';

const TOPICS = ['orders', 'products', 'orders-dlq', 'revenue-per-minute', 'products-to-order', 'suspicious-orders'];

const riskService = process.env['RISK_SERVICE'] ?? 'http://localhost:8080/risk';
// Without a cluster: a broker in this process, for development.
const brokers = process.env['KAFKA_BROKERS']?.split(',') ?? (await startKafka({ port: 9092, topics: TOPICS })).brokers;

export const streams = new KafkaStreams(
  shop({
    riskOf: async (order, signal) => {
      const response = await fetch(riskService, { method: 'POST', body: JSON.stringify(order), signal });
      if (!response.ok) throw new Error(`the risk service says ${response.status}`);
      return Number(await response.text());
    },
    store: async (orders) => console.log(`${orders.length} orders stored`),
  }),
  { applicationId: 'shop', kafka: { brokers: [...brokers] }, commitIntervalMs: 1_000 },
);
await streams.start();
process.once('SIGTERM', () => void streams.close());
process.once('SIGINT', () => void streams.close());
