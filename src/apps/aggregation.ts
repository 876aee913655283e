/** `node dist/apps/aggregation.js`: aggregates `metrics` into `metrics-aggregated`. Configured by environment, see README. */
import { minutes, SchemaRegistry } from '../index.ts';
import { aggregationTopology } from './aggregation/aggregation-topology.ts';
import { createLogger, milliseconds, registryOptions } from './environment.ts';
import { runProgram } from './program.ts';
import { runStreams, streamsOptions } from './run-streams.ts';

await runProgram(async () => {
  const { env } = process;
  const logger = createLogger(env);
  const registry = new SchemaRegistry({ ...registryOptions(env), logger });
  const graceMs = milliseconds(env, 'WINDOW_GRACE_MS', minutes(10));
  await runStreams(aggregationTopology({ registry, graceMs, logger }), {
    ...streamsOptions(env, { applicationId: 'metrics-aggregation', commitIntervalMs: 30_000 }),
    deserializationExceptionHandler: 'continue',
    deadLetterTopic: 'metrics-dlq',
    compression: 'gzip',
    logger,
  });
});
