/**
 * `node dist/apps/anomaly-alerts.js`: alerts and remediations for the anomalies of `anomalies`. Configured by environment,
 * see README.
 */
import { SchemaRegistry } from '../index.ts';
import { ALERTS, alertsFromEnvironment } from './alerts/alerts.ts';
import { createLogger, registryOptions } from './environment.ts';
import { runProgram } from './program.ts';
import { runStreams, streamsOptions } from './run-streams.ts';

await runProgram(async () => {
  const { env } = process;
  const logger = createLogger(env);
  const registry = new SchemaRegistry({ ...registryOptions(env), logger });
  await runStreams(alertsFromEnvironment(env, registry), { ...ALERTS, ...streamsOptions(env, ALERTS), logger });
});
