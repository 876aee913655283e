/**
 * `node dist/apps/host-metrics.js`: writes this machine's own figures to `metrics`, a record a second each, or replays a
 * CSV. Configured by environment, see README.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { Kafka, logLevel, type Producer } from 'kafkajs';
import { messageOf } from '../errors.ts';
import { avro, SchemaRegistry } from '../index.ts';
import { metricSchema } from '../schemas/metric.ts';
import { ConfigurationError, createLogger, kafkaConfig, registryOptions } from './environment.ts';
import { parseSeries, shiftToEnd } from './host/csv-series.ts';
import { type Metric, metricMessages, type SendMetrics, writeHostMetrics } from './host/host-metrics-writer.ts';
import { onStopSignal, runProgram } from './program.ts';

const TOPIC = 'metrics';
const REPLAY_BATCH = 1000;
/** ms that stopping waits for what is being written. */
const STOP_MS = 3_000;
/** Topics keep a week as a rule, and the aggregation's grace is ten minutes. */
const OLD_MS = 10 * 60_000;

interface Options {
  readonly csv?: string;
  readonly service?: string;
  readonly metric?: string;
  readonly speed?: string;
  readonly asFastAsPossible?: boolean;
  readonly keepTimestamps?: boolean;
}

const program = new Command('host-metrics')
  .description('Writes metrics of this machine, or of a CSV, to the topic metrics.')
  .option('--csv <file>', 'replay a CSV of timestamp,value (UTC), shifted so that it ends now')
  .option('--service <name>', 'service of the replayed metric')
  .option('--metric <name>', 'name of the replayed metric')
  .option('--speed <n>', 'replay n times as fast as it was recorded', '1')
  .option('--as-fast-as-possible', 'replay without waiting')
  .option('--keep-timestamps', 'keep the old timestamps');

await runProgram(async () => {
  const options = program.parse().opts<Options>();
  const { env } = process;
  const logger = createLogger(env);
  const registry = new SchemaRegistry({ ...registryOptions(env), logger });
  const metric = avro(registry, metricSchema);
  const config = kafkaConfig(env);
  const stop = new AbortController();
  onStopSignal(() => {
    stop.abort();
    // kafkajs tries on for its own while where the broker is away: what is not written by then is lost with the process.
    setTimeout(() => process.exit(0), STOP_MS).unref();
  });
  const producer = await connect(
    new Kafka({ ...config, clientId: 'host-metrics', logLevel: logLevel.NOTHING }),
    String(config.brokers),
  );
  await metric.prepareWrite?.(TOPIC, 'value');
  let backlog = 0;
  const send = async (metrics: readonly Metric[]): Promise<void> => {
    const messages = metricMessages(metric, TOPIC, metrics);
    // A broker that is away is ridden out: the records of that time are tried until they are written or we stop.
    while (!stop.signal.aborted) {
      try {
        await producer.send({ topic: TOPIC, messages });
        backlog = 0;
        return;
      } catch (error) {
        logger.warn({ error: messageOf(error), waiting: (backlog += 1) }, 'writing failed, trying again');
        await sleep(1000, undefined, { signal: stop.signal }).catch(() => undefined);
      }
    }
  };
  if (options.csv === undefined) await writeHostMetrics(send, stop.signal);
  else await replay(options.csv, options, send, stop.signal, (message) => logger.warn({}, message));
  await producer.disconnect();
  process.exit(0);
});

async function connect(kafka: Kafka, brokers: string): Promise<Producer> {
  const producer = kafka.producer({ allowAutoTopicCreation: false, retry: { retries: 3 } });
  try {
    await producer.connect();
    const admin = kafka.admin({ retry: { retries: 3 } });
    await admin.connect();
    const topics = await admin.listTopics();
    await admin.disconnect();
    if (!topics.includes(TOPIC))
      throw new ConfigurationError(`Topic ${TOPIC} does not exist, or may not be used. Create it first.`);
    return producer;
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    const login = /SASL|authenticat/i.test(messageOf(error));
    throw new ConfigurationError(
      login
        ? `The broker at ${brokers} refused the login (${messageOf(error)}). Check KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD.`
        : `No answer from the broker at ${brokers} (${messageOf(error)}). Check KAFKA_BROKERS and that the broker runs.`,
    );
  }
}

async function replay(
  file: string,
  options: Options,
  send: SendMetrics,
  signal: AbortSignal,
  warn: (message: string) => void,
): Promise<void> {
  const { service, metric, asFastAsPossible = false, keepTimestamps = false } = options;
  if (service === undefined || metric === undefined)
    throw new ConfigurationError('--csv needs --service and --metric.');
  const speed = Number(options.speed);
  if (!(speed > 0)) throw new ConfigurationError(`--speed must be a number above 0, not '${options.speed}'.`);
  const recorded = parseSeries(readFileSync(file, 'utf8'));
  const samples = keepTimestamps ? recorded : shiftToEnd(recorded, Date.now());
  if (keepTimestamps && samples.some(({ timestamp }) => timestamp < Date.now() - OLD_MS)) {
    warn(
      'old timestamps are kept: retention may delete the records at once, and windows that later records have closed drop them as late',
    );
  }
  const first = samples[0]!.timestamp;
  const started = Date.now();
  for (let i = 0; i < samples.length && !signal.aborted; ) {
    // Everything that is due by now, or the next batch.
    const due = asFastAsPossible ? Number.POSITIVE_INFINITY : first + (Date.now() - started) * speed;
    const batch: Metric[] = [];
    for (; i < samples.length && batch.length < REPLAY_BATCH && samples[i]!.timestamp <= due; i++) {
      batch.push({
        ...samples[i]!,
        service,
        metric_name: metric,
        labels: { source: 'replay' },
        node: null,
        unit: null,
        environment: null,
      });
    }
    if (batch.length > 0) await send(batch);
    else
      await sleep(Math.min(1000, Math.max(1, (samples[i]!.timestamp - due) / speed)), undefined, { signal }).catch(
        () => undefined,
      );
  }
}
