/** `node dist/apps/metrics-sink.js`: stores `metrics` in PostgreSQL or TimescaleDB. Configured by environment, see README. */
import { SchemaRegistry } from '../index.ts';
import { ConfigurationError, count, createLogger, milliseconds, registryOptions } from './environment.ts';
import { onStopSignal, runProgram } from './program.ts';
import { runStreams, streamsOptions } from './run-streams.ts';
import { MetricsTable } from './sink/metrics-table.ts';
import { prepareTable, SINK, sinkTopology } from './sink/sink-topology.ts';

await runProgram(async () => {
  const { env } = process;
  const logger = createLogger(env);
  const options = streamsOptions(env, { applicationId: SINK.applicationId, commitIntervalMs: 30_000 });
  const registry = new SchemaRegistry({ ...registryOptions(env), logger });
  const [maxRecords, maxWaitMs] = [
    count(env, 'BATCH_MAX_RECORDS', SINK.maxRecords),
    milliseconds(env, 'BATCH_MAX_WAIT_MS', SINK.maxWaitMs),
  ];
  const table = new MetricsTable({ url: databaseUrl(env['DATABASE_URL']), logger });
  const stop = new AbortController();
  onStopSignal(() => stop.abort());
  if (!(await prepareTable(table, logger, stop.signal))) process.exit(0);
  await runStreams(sinkTopology({ registry, table, maxRecords, maxWaitMs }), {
    ...options,
    compression: 'gzip',
    logger,
  });
});

function databaseUrl(given: string | undefined): string {
  if (given !== undefined && given !== '') return given;
  throw new ConfigurationError(
    'DATABASE_URL is not set: the database to write to, postgres://user:password@host:port/database.',
  );
}
