/**
 * `npm start`: the whole thing on one machine with nothing else installed: embedded Kafka, schema registry and PostgreSQL, this
 * machine's own metrics, every pipeline of the platform, and what comes out of them.
 */
import { Kafka, logLevel } from 'kafkajs';
import { KafkaProducerService, SchemaRegistry } from '../index.ts';
import { createLogger } from './environment.ts';
import { writeHostMetrics } from './host/host-metrics-writer.ts';
import { startPipelines } from './local/local-pipelines.ts';
import { type LocalStack, startLocalStack } from './local/local-stack.ts';
import { showResults } from './local/local-view.ts';
import { onStopSignal, runProgram } from './program.ts';

await runProgram(async () => {
  const { env } = process;
  const logger = createLogger({ LOG_LEVEL: 'warn', ...env });
  const stack = await startLocalStack(env, logger);
  const registry = new SchemaRegistry({ url: stack.registry.url, logger });
  const stop = new AbortController();
  onStopSignal(() => stop.abort());

  const pipelines = await startPipelines(stack, registry, env, logger);
  const producer = new KafkaProducerService({ kafka: { brokers: stack.kafka.brokers }, registry, logger });
  await producer.connect();
  const kafka = new Kafka({ brokers: stack.kafka.brokers, clientId: 'npm-start', logLevel: logLevel.NOTHING });
  const closeView = await showResults(kafka, registry, header(stack));

  await writeHostMetrics(async (metrics) => {
    await producer.sendBatch(
      metrics.map(({ metric_name: metricName, ...metric }) => ({ metric: { metricName, ...metric } })),
    );
  }, stop.signal);
  await closeView();
  await producer.disconnect();
  await pipelines.close();
  await stack.close();
  process.stdout.write(`Stopped; the next start goes on with what is in ${stack.dataDir}.\n`);
  process.exit(0);
});

function header({ kafka, registry, databaseUrl, dataDir }: LocalStack): string[] {
  return [
    `millrace: this machine's metrics, aggregated per minute. For development, not for production.`,
    `Kafka ${kafka.brokers.join(',')} · schema registry ${registry.url} · data ${dataDir}`,
    databaseUrl === undefined
      ? 'no PostgreSQL here: metrics-sink does not run'
      : `PostgreSQL ${databaseUrl} · table metrics`,
    `npm run send-anomaly -- --remediate sends an anomaly; kcat -b ${kafka.brokers[0]} -L shows the topics; Ctrl-C stops.`,
  ];
}
