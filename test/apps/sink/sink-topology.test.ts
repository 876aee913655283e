/** The sink's topology on a real PostgreSQL: what becomes of a record, Avro or JSON, and of one that is refused. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MetricsTable } from '../../../src/apps/sink/metrics-table.ts';
import { sinkTopology } from '../../../src/apps/sink/sink-topology.ts';
import { type AvroType, avro, SchemaRegistry, string } from '../../../src/index.ts';
import { metricSchema } from '../../../src/schemas/metric.ts';
import { TopologyTestDriver } from '../../../src/testing/index.ts';
import { createDatabase, hasPostgres, query } from '../../support/postgres/postgres.ts';
import { startTestRegistry, type TestRegistry } from '../../support/registry.ts';

const s = string();
let server: TestRegistry;
let registry: SchemaRegistry;
let url: string;
let table: MetricsTable;
let driver: TopologyTestDriver;

beforeEach(async () => {
  server = await startTestRegistry();
  registry = new SchemaRegistry({ url: server.url });
  url = await createDatabase();
  table = new MetricsTable({ url });
  await table.prepare();
  await start();
});
afterEach(async () => {
  await driver.close();
  await table.close();
  await server.close();
});

async function start(maxRecords = 4): Promise<void> {
  const topology = sinkTopology({ registry, table, maxRecords, maxWaitMs: 5_000 });
  driver = await TopologyTestDriver.create(topology, { applicationId: 'sink' });
}

type Metric = AvroType<typeof metricSchema>;

async function avroMetrics(...metrics: Partial<Metric>[]): Promise<void> {
  const input = driver.inputTopic('metrics', s, avro(registry, metricSchema));
  for (const given of metrics)
    await input.pipeInput(
      'k',
      {
        timestamp: 1,
        service: 'a',
        metric_name: 'm',
        value: 1,
        labels: {},
        node: null,
        unit: null,
        environment: null,
        ...given,
      },
      77,
    );
}

const stored = () =>
  query(
    url,
    `SELECT (extract(epoch FROM time) * 1000)::float8 AS ms, service_name, metric_name, value, labels, node FROM metrics ORDER BY value`,
  );
const position = async (): Promise<unknown> =>
  (await query(url, 'SELECT position FROM millrace_positions'))[0]?.['position'];

test.skipIf(!hasPostgres)('records are stored a batch at a time, with the position behind it', async () => {
  await avroMetrics({ value: 1, labels: { zone: 'x' }, node: 'n1' }, { value: 2 }, { value: 3 });
  expect([await stored(), await position()]).toEqual([[], undefined]);
  await avroMetrics({ value: 4 });
  expect((await stored())[0]).toEqual({
    ms: 1,
    service_name: 'a',
    metric_name: 'm',
    value: 1,
    labels: { zone: 'x' },
    node: 'n1',
  });
  expect([(await stored()).length, await position()]).toEqual([4, '4']);
});

test.skipIf(!hasPostgres)('a batch ends after its time', async () => {
  await avroMetrics({ value: 1 });
  await driver.advanceWallClockTime(5_000);
  expect([(await stored()).length, await position()]).toEqual([1, '1']);
});

test.skipIf(!hasPostgres)(
  'JSON of the same shape, without labels or a timestamp: the record’s own time stands',
  async () => {
    const input = driver.inputTopic('metrics', s, s);
    await input.pipeInput('k', '{"service":"a","metric_name":"m","value":7}', 1_234);
    await driver.commit();
    expect(await stored()).toEqual([
      { ms: 1_234, service_name: 'a', metric_name: 'm', value: 7, labels: {}, node: null },
    ]);
  },
);

test.skipIf(!hasPostgres)(
  'one record that the database refuses goes to the dead letters, the others are stored',
  async () => {
    await avroMetrics({ value: 1 }, { value: 2, service: 'a\0b' }, { value: 3, labels: { x: '\0' } }, { value: 4 });
    expect((await stored()).map(({ value }) => value)).toEqual([1, 4]);
    expect(await position()).toBe('4');
    const dead = driver.outputTopic('metrics-dlq', s, avro(registry, metricSchema)).readRecords();
    expect(dead.map(({ value }) => value?.value)).toEqual([2, 3]);
    const reason = dead[0]!.headers.find(({ key }) => key === '__streams.errors.message')?.value?.toString();
    expect(reason).toMatch(/cannot hold the row/);
    expect(reason).not.toContain('a\0b');
  },
);

test.skipIf(!hasPostgres)('what cannot be read goes to the dead letters, and the position moves on', async () => {
  const input = driver.inputTopic('metrics', s, s);
  await input.pipeInput('k', '{"service":"a","metric_name":"m","value":"7"}', 1);
  await input.pipeInput('k', '{"service":"a","metric_name":"m","value":8}', 1);
  await driver.commit();
  expect((await stored()).map(({ value }) => value)).toEqual([8]);
  expect([driver.outputTopic('metrics-dlq', s, s).readRecords().length, await position()]).toEqual([1, '2']);
});

test.skipIf(!hasPostgres)('it begins where the database says', async () => {
  await avroMetrics({ value: 1 }, { value: 2 }, { value: 3 }, { value: 4 });
  await driver.close();
  await start(1);
  await avroMetrics({ value: 5 });
  expect([(await stored()).length, await position()]).toEqual([5, '5']);
});

test.skipIf(!hasPostgres)('a batch that begins elsewhere than the database remembers stores nothing', async () => {
  await avroMetrics({ value: 1 }, { value: 2 }, { value: 3 }, { value: 4 });
  await query(url, 'UPDATE millrace_positions SET position = 6');
  await expect(avroMetrics({ value: 5 }, { value: 6 }, { value: 7 }, { value: 8 })).rejects.toMatchObject({
    code: 'MILLRACE_TOPOLOGY_BATCH_FENCED',
    topic: 'metrics',
    partition: 0,
  });
  expect([(await stored()).length, await position()]).toEqual([4, '6']);
});
