/** A schema that changes while programs run: what must hold on any registry. */
import { Kafka, logLevel } from 'kafkajs';
import { expect, test } from 'vitest';
import { encode } from '../../src/apps/host/encode.ts';
import { MetricsTable } from '../../src/apps/sink/metrics-table.ts';
import {
  type AvroType,
  avro,
  avroOrJson,
  type KafkaStreams,
  minutes,
  SchemaRegistry,
  type Serde,
  type Topology,
} from '../../src/index.ts';
import { metricSchema } from '../../src/schemas/metric.ts';
import { SchemaPendingError } from '../../src/serdes/index.ts';
import { type Aggregated, decodeAggregated, expectAggregates, type Metric, random } from './metrics.ts';
import { createDatabase, hasPostgres, query } from './postgres/postgres.ts';
import { metricReaders, versionTexts } from './schema-versions.ts';
import { closeLater, ownKafka, runStreams, watch } from './streams.ts';
import { waitFor } from './wait.ts';

const firstSchema = JSON.parse(versionTexts('metric')[0]!) as typeof metricSchema;
const BASE = Math.floor(Date.now() / 60_000) * 60_000 - 600_000;

type FullMetric = AvroType<typeof metricSchema>;
type SerdeOf = (registry: SchemaRegistry, schema: typeof metricSchema) => Serde<FullMetric>;

/** @param newRegistry the address of a registry that knows nothing of `metrics` */
export function evolutionSuite(newRegistry: () => Promise<string>): void {
  test.each<[string, SerdeOf]>([
    ['avro', avro],
    ['avroOrJson', avroOrJson],
  ])('%s: old readers read new records, and new readers old ones', async (_name, serdeOf) => {
    const url = await newRegistry();
    const serde = (schema: typeof metricSchema) => serdeOf(new SchemaRegistry({ url }), schema);
    const old = { timestamp: BASE, service: 's', metric_name: 'm', value: 1, labels: {}, node: null, unit: 'ms' };
    const now = { ...old, environment: 'production' };
    const [oldWriter, newWriter] = [serde(firstSchema), serde(metricSchema)];
    await oldWriter.prepareWrite!('metrics', 'value');
    await newWriter.prepareWrite!('metrics', 'value');
    expect(await read(serde(firstSchema), encode(newWriter, now, 'metrics'))).toStrictEqual(old);
    expect(await read(serde(metricSchema), encode(oldWriter, old as FullMetric, 'metrics'))).toStrictEqual({
      ...old,
      environment: null,
    });
  });

  test.each([
    ['of the first version', 0],
    ['of this version', 1],
  ])('aggregation and sink %s run through the change', async (_name, version) => {
    const url = await newRegistry();
    const kafka = await ownKafka({
      topics: ['metrics', 'metrics-aggregated', 'metrics-dlq'].map((topic) => ({ topic, partitions: 2 })),
    });
    const { aggregationTopology, sinkTopology } = (await metricReaders())[version]!;
    const database = hasPostgres ? await createDatabase() : undefined;
    const table = database === undefined ? undefined : new MetricsTable({ url: database });
    closeLater(async () => table?.close());
    await table?.prepare();
    const topologies: Topology[] = [
      aggregationTopology({ registry: new SchemaRegistry({ url }), graceMs: minutes(10) }),
    ];
    if (table !== undefined)
      topologies.push(sinkTopology({ registry: new SchemaRegistry({ url }), table, maxRecords: 100, maxWaitMs: 50 }));
    const states: string[] = [];
    const programs: KafkaStreams[] = [];
    for (const [i, topology] of topologies.entries()) {
      const streams = await runStreams(kafka.brokers, topology, {
        applicationId: `through-the-change-${i}`,
        deserializationExceptionHandler: 'continue',
        deadLetterTopic: 'metrics-dlq',
      });
      streams.setStateListener((state) => states.push(state));
      programs.push(streams);
    }
    const rows = async (): Promise<number> =>
      database === undefined
        ? metrics.length
        : Number((await query(database, 'SELECT count(*) FROM metrics'))[0]!['count']);
    const seen = await watch(kafka.brokers, 'metrics-aggregated');
    const outputs = (): Aggregated[] => seen.map(([, value]) => decodeAggregated(Buffer.from(value, 'latin1')));
    const send = await sender(kafka.brokers);
    const metrics: Metric[] = [];
    const next = random(7);
    const write = async (form: (metric: FullMetric) => Buffer): Promise<void> => {
      const batch = Array.from({ length: 50 }, (): FullMetric => {
        const service = `service-${Math.floor(next() * 3)}`;
        const place = { timestamp: BASE + Math.floor(next() * 120_000), service, metric_name: 'm' };
        return { ...place, value: next(), labels: {}, node: null, unit: null, environment: 'production' };
      });
      metrics.push(...batch);
      await send(batch.map(form));
      const isThere = async (): Promise<boolean> =>
        countOf(outputs()) === metrics.length && (await rows()) === metrics.length;
      await waitFor(isThere, 30_000, `${metrics.length} metrics`);
    };

    const oldWriter = avro(new SchemaRegistry({ url }), firstSchema);
    await oldWriter.prepareWrite!('metrics', 'value');
    await write((metric) => encode(oldWriter, metric, 'metrics'));
    const newWriter = avro(new SchemaRegistry({ url }), metricSchema);
    await newWriter.prepareWrite!('metrics', 'value');
    await write((metric) => encode(newWriter, metric, 'metrics'));
    // Writers change one after the other.
    await write((metric) => encode(next() < 0.5 ? oldWriter : newWriter, metric, 'metrics'));
    await write((metric) => Buffer.from(JSON.stringify(metric)));

    expectAggregates(outputs(), metrics);
    expect(states).toEqual([]);
    expect(programs.map((streams) => streams.metrics().droppedRecordsTotal)).toEqual(programs.map(() => 0));
  });
}

/** Records in the last outputs of each key and window. */
function countOf(outputs: readonly Aggregated[]): number {
  const last = new Map(outputs.map((output) => [`${output.key}@${output.window_start}`, output.count]));
  return [...last.values()].reduce((sum, count) => sum + count, 0);
}

async function sender(brokers: readonly string[]): Promise<(values: readonly Buffer[]) => Promise<void>> {
  const producer = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).producer();
  await producer.connect();
  closeLater(() => producer.disconnect());
  return async (values) => {
    await producer.send({ topic: 'metrics', messages: values.map((value, i) => ({ value, partition: i % 2 })) });
  };
}

/** As the runtime does: fetches the schema that is missing, then reads again. */
async function read<T>(serde: Serde<T>, bytes: Buffer): Promise<T> {
  try {
    return serde.read(bytes, 0, bytes.length, 'metrics', 'value');
  } catch (error) {
    if (!(error instanceof SchemaPendingError)) throw error;
    await error.resolve();
    return serde.read(bytes, 0, bytes.length, 'metrics', 'value');
  }
}
