/** `node dist/apps/aggregation.js`: aggregates `metrics` into `metrics-aggregated`. Configured by environment, see README. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KafkaStreams, minutes, SchemaRegistry } from '../index.ts';
import { aggregationTopology } from './aggregation-topology.ts';
import { createLogger, kafkaConfig, milliseconds, registryOptions, text } from './environment.ts';
import { explain, onStopSignal, runProgram } from './program.ts';

const REPORT_MS = 60_000;
/** A wrong address is to be said well within fifteen seconds. */
const START_TIMEOUT_MS = 7_000;

await runProgram(async () => {
  const { env } = process;
  const logger = createLogger(env);
  const registry = new SchemaRegistry({ ...registryOptions(env), logger });
  const topology = aggregationTopology({
    registry,
    graceMs: milliseconds(env, 'WINDOW_GRACE_MS', minutes(10)),
    logger,
  });
  const streams = new KafkaStreams(topology, {
    applicationId: text(env, 'APPLICATION_ID', 'metrics-aggregation'),
    kafka: kafkaConfig(env),
    stateDir: text(env, 'STATE_DIR', join(tmpdir(), 'millrace')),
    startTimeoutMs: START_TIMEOUT_MS,
    sessionTimeoutMs: milliseconds(env, 'SESSION_TIMEOUT_MS', 45_000),
    commitIntervalMs: milliseconds(env, 'COMMIT_INTERVAL_MS', 30_000),
    heartbeatIntervalMs: Math.min(3_000, milliseconds(env, 'SESSION_TIMEOUT_MS', 45_000) / 3),
    deserializationExceptionHandler: 'continue',
    deadLetterTopic: 'metrics-dlq',
    compression: 'gzip',
    logger,
  });
  let failure: Error | undefined;
  streams.setUncaughtErrorHandler((error) => {
    failure = error;
    return 'shutdown-client';
  });
  const stopped = new Promise<void>((resolve) => {
    streams.setStateListener((state) => {
      if (state === 'NOT_RUNNING' || state === 'ERROR') resolve();
    });
  });
  onStopSignal(() => void streams.close());
  await streams.start();
  const report = setInterval(() => logger.info(streams.metrics(), 'so far'), REPORT_MS);
  await stopped;
  clearInterval(report);
  logger.info(streams.metrics(), 'stopped');
  if (failure !== undefined) process.stderr.write(`${explain(failure)}\n`);
  process.exit(failure === undefined ? 0 : 1);
});
