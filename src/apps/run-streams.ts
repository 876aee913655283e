/** What programs around a topology have in common: their options from the environment, and running until they are stopped. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KafkaStreams, type Logger, type StreamsOptions, type Topology } from '../index.ts';
import { kafkaConfig, milliseconds, text } from './environment.ts';
import { explain, onStopSignal } from './program.ts';

const REPORT_MS = 60_000;
/** A wrong address is to be said well within fifteen seconds. */
const START_TIMEOUT_MS = 7_000;

/** Where to find Kafka and local state, and how often to commit; see README. `defaults` are the program's own. */
export function streamsOptions(
  env: NodeJS.ProcessEnv,
  defaults: { readonly applicationId: string; readonly commitIntervalMs: number },
): StreamsOptions {
  const sessionTimeoutMs = milliseconds(env, 'SESSION_TIMEOUT_MS', 45_000);
  return {
    applicationId: text(env, 'APPLICATION_ID', defaults.applicationId),
    kafka: kafkaConfig(env),
    stateDir: text(env, 'STATE_DIR', join(tmpdir(), 'millrace')),
    startTimeoutMs: START_TIMEOUT_MS,
    sessionTimeoutMs,
    heartbeatIntervalMs: Math.min(3_000, sessionTimeoutMs / 3),
    commitIntervalMs: milliseconds(env, 'COMMIT_INTERVAL_MS', defaults.commitIntervalMs),
  };
}

/** Runs until SIGTERM or SIGINT (exit code 0), or until an error that cannot be waited out (its message, exit code 1). */
export async function runStreams(
  topology: Topology,
  options: StreamsOptions & { readonly logger: Logger },
): Promise<never> {
  const { logger } = options;
  const streams = new KafkaStreams(topology, options);
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
}
