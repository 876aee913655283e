/** The guide's files are the README's, word for word, and its program does on a broker what the guide says. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test as anyTest, expect, inject } from 'vitest';
import { closeLater, ownKafka, produce, watch } from '../support/streams.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

/** A file of the guide as a reader has it, who has installed the package. */
function asInstalled(file: string): string {
  return readFileSync(join(import.meta.dirname, 'guide', file), 'utf8')
    .replaceAll('../../../src/embedded/index.ts', 'millrace/embedded')
    .replaceAll('../../../src/testing/index.ts', 'millrace/testing')
    .replaceAll('../../../src/index.ts', 'millrace');
}

for (const file of ['topology.ts', 'topology.test.ts', 'main.ts'])
  anyTest(`the README has the guide's ${file}`, () => {
    const strip = (text: string): string => text.replace(/\s+/g, ' ').trim();
    const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
    // How long lines are broken is not the point, nor in which order a formatter puts imports.
    const withoutImports = (text: string): string => strip(text.replace(/^import [\s\S]*?;$/gm, ''));
    expect(withoutImports(readme)).toContain(withoutImports(asInstalled(file)));
    for (const [statement] of asInstalled(file).matchAll(/^import [\s\S]*?;$/gm))
      expect(strip(readme)).toContain(strip(statement));
  });

test('the guide’s program runs: orders in, revenue, suspicious orders and batches out', async () => {
  const kafka = await ownKafka({
    topics: ['orders', 'products', 'orders-dlq', 'revenue-per-minute', 'products-to-order', 'suspicious-orders'],
  });
  const service = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => response.end(JSON.parse(body).amount > 1_000 ? '0.95' : '0.1'));
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  closeLater(async () => service.close());
  process.env['KAFKA_BROKERS'] = kafka.brokers.join();
  process.env['RISK_SERVICE'] = `http://127.0.0.1:${(service.address() as AddressInfo).port}/risk`;
  const said: string[] = [];
  const log = console.log;
  console.log = (text: string) => void said.push(text);
  closeLater(async () => {
    console.log = log;
  });
  const { streams } = await import('./guide/main.ts');
  closeLater(() => streams.close());
  const revenue = await watch(kafka.brokers, 'revenue-per-minute');
  const suspicious = await watch(kafka.brokers, 'suspicious-orders');
  await produce(kafka.brokers, 'orders', [
    { key: 'anna', value: '{"id":"1","product":"tea","amount":3}', timestamp: 60_000 },
    { key: 'bert', value: '{"id":"2","product":"pot","amount":5000}', timestamp: 61_000 },
  ]);
  await waitFor(() => revenue.length >= 2 && suspicious.length >= 1 && said.length >= 1);
  expect(revenue.map(([key, value]) => [key, JSON.parse(value)]).sort()).toEqual([
    ['pot', { from: 60_000, revenue: 5_000 }],
    ['tea', { from: 60_000, revenue: 3 }],
  ]);
  expect(suspicious.map(([key, value]) => [key, JSON.parse(value)])).toEqual([
    ['bert', { id: '2', product: 'pot', amount: 5_000, risk: 0.95 }],
  ]);
  expect(said).toEqual(['2 orders stored']);
});
