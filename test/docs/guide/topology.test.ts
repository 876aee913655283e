import { afterEach, beforeEach, expect, test } from 'vitest';
import { double, json, string } from '../../../src/index.ts';
import { TopologyTestDriver } from '../../../src/testing/index.ts';
import { type Order, type Product, shop } from './topology.ts';

const key = string();
let stored: string[];
let driver: TopologyTestDriver;
beforeEach(async () => {
  stored = [];
  const topology = shop({
    riskOf: async ({ amount }) => (amount > 1_000 ? 0.95 : 0.1),
    store: async (orders) => void stored.push(...orders.map(({ value }) => value.id)),
  });
  driver = await TopologyTestDriver.create(topology);
});
afterEach(() => driver.close());

/** Writes orders, each a second after the one before. */
async function place(...orders: Order[]): Promise<void> {
  const input = driver.inputTopic('orders', key, json<Order>());
  for (const [i, order] of orders.entries()) await input.pipeInput('anna', order, i * 1_000);
}

test('revenue is summed by product and minute', async () => {
  await place({ id: '1', product: 'tea', amount: 3 }, { id: '2', product: 'tea', amount: 4 });
  const revenue = driver.outputTopic('revenue-per-minute', key, json()).readKeyValues();
  expect(revenue.at(-1)).toEqual(['tea', { from: 0, revenue: 7 }]);
});

test('a product that runs out is to be ordered', async () => {
  const products = driver.inputTopic('products', key, json<Product>());
  await products.pipeInput('tea', { name: 'Tea', stock: 9 });
  await products.pipeInput('pot', { name: 'Pot', stock: 50 });
  expect(driver.keyValueStore('products').get('pot')).toEqual({ name: 'Pot', stock: 50 });
  const low = driver.outputTopic('products-to-order', key, json()).readKeyValues();
  expect(low.find(([id]) => id === 'tea')).toEqual(['tea', { name: 'Tea', stock: 9 }]);
});

test('an order that the service takes for fraud is told', async () => {
  await place({ id: '1', product: 'tea', amount: 3 }, { id: '2', product: 'pot', amount: 5_000 });
  const suspicious = driver.outputTopic('suspicious-orders', key, json<Order>()).readKeyValues();
  expect(suspicious.map(([, order]) => order?.id)).toEqual(['2']);
});

test('every order is stored', async () => {
  await place({ id: '1', product: 'tea', amount: 3 }, { id: '2', product: 'pot', amount: 7 });
  await driver.advanceWallClockTime(1_000);
  expect(stored).toEqual(['1', '2']);
});

test('what is no order goes to the dead letters', async () => {
  await driver.inputTopic('orders', key, double()).pipeInput('anna', 1.5);
  expect(driver.outputTopic('orders-dlq', key, double()).readKeyValues()).toEqual([['anna', 1.5]]);
});
