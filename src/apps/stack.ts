/** `npm run stack`: embedded Kafka, schema registry and a PostgreSQL on loopback, to keep running for other programs and tools. */
import { createLogger } from './environment.ts';
import { startLocalStack } from './local/local-stack.ts';
import { onStopSignal, runProgram } from './program.ts';

await runProgram(async () => {
  const logger = createLogger({ LOG_LEVEL: 'warn', ...process.env });
  const stack = await startLocalStack(process.env, logger);
  const stopped = new Promise<void>((resolve) => onStopSignal(resolve));
  process.stdout.write(`For development and tests, not for production.
Kafka            ${stack.kafka.brokers.join(',')}      kcat -b ${stack.kafka.brokers[0]} -L
schema registry  ${stack.registry.url}      curl ${stack.registry.url}/subjects
PostgreSQL       ${stack.databaseUrl ?? 'none here'}
data             ${stack.dataDir}
Ctrl-C stops it; the next start goes on with the same data.
`);
  await stopped;
  await stack.close();
  process.exit(0);
});
