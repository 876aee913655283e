/** All of the platform's programs in one process, on the services of one machine: what `npm start` runs. */
import { join } from 'node:path';
import {
  KafkaStreams,
  type Logger,
  minutes,
  type SchemaRegistry,
  type StreamsOptions,
  type Topology,
} from '../../index.ts';
import { aggregationTopology } from '../aggregation/aggregation-topology.ts';
import { ALERTS, alertsFromEnvironment } from '../alerts/alerts.ts';
import { fail } from '../program.ts';
import { MetricsTable } from '../sink/metrics-table.ts';
import { prepareTable, SINK, sinkTopology } from '../sink/sink-topology.ts';
import type { LocalStack } from './local-stack.ts';
import { startStandIn } from './remediation-stand-in.ts';

const COMMIT_MS = 1_000;
/** Sooner than the program's: somebody is watching. */
const BATCH_WAIT_MS = 1_000;

export interface LocalPipelines {
  close(): Promise<void>;
}

export async function startPipelines(
  stack: LocalStack,
  registry: SchemaRegistry,
  env: NodeJS.ProcessEnv,
  logger: Logger,
): Promise<LocalPipelines> {
  const closing: (() => void | Promise<void>)[] = [];
  const run = async (topology: Topology, options: Partial<StreamsOptions> & { applicationId: string }) => {
    const streams = new KafkaStreams(topology, {
      kafka: { brokers: stack.kafka.brokers },
      stateDir: join(stack.dataDir, 'state'),
      commitIntervalMs: COMMIT_MS,
      logger,
      ...options,
    });
    streams.setUncaughtErrorHandler((error) => fail(error));
    closing.push(() => streams.close());
    await streams.start();
  };

  await run(aggregationTopology({ registry, graceMs: minutes(10), logger }), {
    applicationId: 'metrics-aggregation',
    deserializationExceptionHandler: 'continue',
    deadLetterTopic: 'metrics-dlq',
  });
  const standIn = env['AIOPS_URL'] === undefined ? await startStandIn() : undefined;
  if (standIn !== undefined) closing.push(() => standIn.close());
  const aiops = standIn === undefined ? {} : { AIOPS_URL: standIn.url };
  await run(alertsFromEnvironment({ ...env, ...aiops }, registry), ALERTS);

  if (stack.databaseUrl !== undefined) {
    const table = new MetricsTable({ url: stack.databaseUrl, logger });
    closing.push(() => table.close());
    const stop = new AbortController();
    // A database that is away is waited for, and the others go on.
    const sinking = prepareTable(table, logger, stop.signal)
      .then(async (isReady) => {
        const topology = sinkTopology({ registry, table, maxRecords: SINK.maxRecords, maxWaitMs: BATCH_WAIT_MS });
        if (isReady) await run(topology, { applicationId: SINK.applicationId });
      })
      .catch((error: unknown) => fail(error));
    closing.push(async () => {
      stop.abort();
      await sinking;
    });
  }
  return {
    async close() {
      // What comes last is asked to end first; the sink adds itself later.
      while (closing.length > 0) await closing.pop()!();
    },
  };
}
