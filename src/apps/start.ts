/**
 * `npm start`: the whole thing on one machine with nothing else installed: embedded Kafka and schema registry, this
 * machine's own metrics, the aggregation, and what comes out of it.
 */
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { avro, KafkaStreams, minutes, SchemaRegistry, type Serde, SerdeError } from '../index.ts';
import { aggregatedMetricSchema } from '../schemas/aggregated-metric.ts';
import { metricSchema } from '../schemas/metric.ts';
import { aggregationTopology } from './aggregation-topology.ts';
import { createLogger } from './environment.ts';
import { type Metric, metricMessages, type SendMetrics, writeHostMetrics } from './host-metrics-writer.ts';
import { type LocalStack, startLocalStack } from './local-stack.ts';
import type { AggregatedMetric } from './metric-aggregate.ts';
import { fail, onStopSignal, runProgram } from './program.ts';
import { WindowTable, windowLine } from './window-table.ts';

const REDRAW_MS = 1_000;
/** Between lines of one key where there is no terminal. */
const LINES_MS = 5_000;
const COMMIT_MS = 1_000;

await runProgram(async () => {
  const logger = createLogger({ LOG_LEVEL: 'warn', ...process.env });
  const stack = await startLocalStack(process.env, logger);
  const kafka = new Kafka({ brokers: stack.kafka.brokers, clientId: 'npm-start', logLevel: logLevel.NOTHING });
  const registry = new SchemaRegistry({ url: stack.registry.url, logger });
  const stop = new AbortController();
  onStopSignal(() => stop.abort());

  const streams = new KafkaStreams(aggregationTopology({ registry, graceMs: minutes(10), logger }), {
    applicationId: 'metrics-aggregation',
    kafka: { brokers: stack.kafka.brokers },
    stateDir: join(stack.dataDir, 'state'),
    commitIntervalMs: COMMIT_MS,
    deserializationExceptionHandler: 'continue',
    deadLetterTopic: 'metrics-dlq',
    logger,
  });
  streams.setUncaughtErrorHandler((error) => fail(error));
  await streams.start();
  const [writer, closeWriter] = await metricsWriter(kafka, registry);
  const closeView = await showResults(kafka, registry, stack);

  await writeHostMetrics(writer, stop.signal);
  await closeView();
  await closeWriter();
  await streams.close();
  await stack.close();
  process.stdout.write(`Stopped; the next start goes on with what is in ${stack.dataDir}.\n`);
  process.exit(0);
});

async function metricsWriter(kafka: Kafka, registry: SchemaRegistry): Promise<[SendMetrics, () => Promise<void>]> {
  const metric: Serde<Metric> = avro(registry, metricSchema);
  await metric.prepareWrite?.('metrics', 'value');
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  const send: SendMetrics = async (metrics) => {
    await producer.send({ topic: 'metrics', messages: metricMessages(metric, 'metrics', metrics) });
  };
  return [send, () => producer.disconnect()];
}

/** Reads `metrics-aggregated` from now on and shows it; returns how to end that. */
async function showResults(kafka: Kafka, registry: SchemaRegistry, stack: LocalStack): Promise<() => Promise<void>> {
  const serde: Serde<AggregatedMetric> = avro(registry, aggregatedMetricSchema);
  await serde.prepareWrite?.('metrics-aggregated', 'value');
  const table = new WindowTable();
  const changed = new Map<string, AggregatedMetric>();
  const isTerminal = process.stdout.isTTY === true;
  const consumer = kafka.consumer({ groupId: `npm-start-${process.pid}`, sessionTimeout: 10_000 });
  await consumer.connect();
  await consumer.subscribe({ topic: 'metrics-aggregated', fromBeginning: false });
  if (!isTerminal) process.stdout.write(`${header(stack).join('\n')}\n`);
  await consumer.run({
    eachMessage: async ({ message: { value } }) => {
      if (value === null) return;
      const row = readRow(serde, value);
      if (row !== undefined && table.update(row)) changed.set(row.key, row);
    },
  });
  const redraw = setInterval(
    () => {
      if (isTerminal)
        draw([...header(stack), '', ...(table.size === 0 ? ['waiting for the first window …'] : table.lines())]);
      else for (const row of changed.values()) process.stdout.write(`${windowLine(row)}\n`);
      changed.clear();
    },
    isTerminal ? REDRAW_MS : LINES_MS,
  );
  return async () => {
    clearInterval(redraw);
    await consumer.disconnect();
  };
}

/** What other programs wrote there and cannot be read here is not shown. */
function readRow(serde: Serde<AggregatedMetric>, value: Buffer): AggregatedMetric | undefined {
  try {
    return serde.read(value, 0, value.length, 'metrics-aggregated', 'value');
  } catch (error) {
    if (error instanceof SerdeError) return undefined;
    throw error;
  }
}

function header({ kafka, registry, dataDir }: LocalStack): string[] {
  return [
    `millrace: this machine's metrics, aggregated per minute. For development, not for production.`,
    `Kafka ${kafka.brokers.join(',')} · schema registry ${registry.url} · data ${dataDir}`,
    `kcat -b ${kafka.brokers[0]} -L shows the topics; Ctrl-C stops, the next start goes on.`,
  ];
}

/** From the top left corner, over what was there. */
function draw(lines: readonly string[]): void {
  const CLEAR_LINE = '\u001b[K';
  process.stdout.write(`\u001b[H${lines.map((line) => line + CLEAR_LINE).join('\n')}\n\u001b[J`);
}
