/**
 * `node dist/apps/send-anomaly.js`: writes anomalies to `anomalies`: one of its options, those of a file, or those that
 * people found in recorded series. Configured by environment, see README.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { messageOf } from '../errors.ts';
import { type AnomalyInput, InvalidRecordError, KafkaProducerService, SchemaRegistry } from '../index.ts';
import { labelledAnomalies } from './alerts/labelled-anomalies.ts';
import { ConfigurationError, createLogger, kafkaConfig, registryOptions } from './environment.ts';
import { parseSeries } from './host/csv-series.ts';
import { fail, runProgram } from './program.ts';

/** ms that broker and registry have to answer. */
const CONNECT_MS = 10_000;

interface Options {
  readonly service?: string;
  readonly severity: string;
  readonly id?: string;
  readonly metric: readonly string[];
  readonly score: string;
  readonly rootCause?: string;
  readonly remediate?: boolean;
  readonly file?: string;
  readonly fromCsv?: string;
  readonly keepTimestamps?: boolean;
}

const program = new Command('send-anomaly')
  .description('Writes an anomaly to the topic anomalies, or those of a file.')
  .option('--service <name>', 'service of the anomaly')
  .option('--severity <severity>', 'critical and high alert', 'critical')
  .option('--id <id>', 'default: a new UUID; the same id alerts once a day')
  .option('--metric <name>', 'affected metric, may be repeated', (name, names: string[]) => [...names, name], [])
  .option('--score <n>', 'how far from normal', '1')
  .option('--root-cause <text>')
  .option('--remediate', 'suggest a remediation')
  .option('--file <file>', 'JSON lines, each with the fields of an anomaly; those left out are as with the options')
  .option('--from-csv <labels>', 'JSON of the files of recorded series, beside it, and the times of their anomalies')
  .option('--keep-timestamps', 'with --from-csv: keep the old times; default: the series are moved to end now');

await runProgram(async () => {
  const options = program.parse().opts<Options>();
  const anomalies = anomaliesOf(options);
  const { env } = process;
  const logger = createLogger({ LOG_LEVEL: 'warn', ...env });
  const registry = new SchemaRegistry({ ...registryOptions(env), logger });
  const producer = new KafkaProducerService({
    kafka: { clientId: 'send-anomaly', ...kafkaConfig(env) },
    registry,
    topics: { anomalies: 'anomalies' },
    connectTimeoutMs: CONNECT_MS,
    maxBlockMs: CONNECT_MS,
    logger,
  });
  const late = setTimeout(() => {
    fail(new ConfigurationError('No answer from the schema registry. Check SCHEMA_REGISTRY_URL and that it runs.'));
  }, 2 * CONNECT_MS);
  await producer.connect();
  clearTimeout(late);
  await producer.sendBatch(anomalies.map((anomaly) => ({ anomaly }))).catch((error: unknown) => {
    throw error instanceof InvalidRecordError && options.file !== undefined ? inFile(options.file, error) : error;
  });
  await producer.disconnect();
  for (const { id, service } of anomalies) process.stdout.write(`${id} ${service}\n`);
  process.exit(0);
});

function anomaliesOf(options: Options): AnomalyInput[] {
  const { service, file, fromCsv, keepTimestamps = false, remediate = false } = options;
  if ([service, file, fromCsv].filter((given) => given !== undefined).length !== 1)
    throw new ConfigurationError('Give one of --service, --file and --from-csv.');
  if (fromCsv !== undefined) {
    return labelledAnomalies(parsed(read(fromCsv), fromCsv), {
      series: (name) => parseSeries(read(join(dirname(fromCsv), name))),
      endMs: keepTimestamps ? undefined : Date.now(),
      remediationSuggested: remediate,
    });
  }
  if (file !== undefined)
    return linesOf(file).map(([line, text]) => withDefaults(parsed(text, `line ${line}`), options));
  return [withDefaults({ service }, options)];
}

/** What stands in a file comes before what the options say. Names may be the schema's. */
function withDefaults(given: unknown, options: Options): AnomalyInput {
  if (typeof given !== 'object' || given === null) throw new ConfigurationError('An anomaly must be a JSON object.');
  const { severity, id = randomUUID(), metric, rootCause = null, remediate = false } = options;
  const score = Number(options.score);
  if (!Number.isFinite(score)) throw new ConfigurationError(`--score must be a number, not '${options.score}'.`);
  const fields = Object.entries(given).map(([name, value]) => [
    name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    value,
  ]);
  return {
    id,
    severity,
    isAnomaly: true,
    anomalyScore: score,
    affectedMetrics: metric,
    rootCause,
    remediationSuggested: remediate,
    ...(Object.fromEntries(fields) as { service: string }),
  };
}

function inFile(file: string, error: InvalidRecordError): ConfigurationError {
  const [line] = linesOf(file)[error.index ?? 0] ?? [0];
  return new ConfigurationError(`${file}, line ${line}: ${error.message}`);
}

/** Those that are not empty, with their numbers. */
function linesOf(file: string): [number, string][] {
  return read(file)
    .split('\n')
    .map((text, index): [number, string] => [index + 1, text])
    .filter(([, text]) => text.trim() !== '');
}

function parsed(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ConfigurationError(`${where} is no JSON: ${messageOf(error)}.`);
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigurationError(`The file cannot be read: ${messageOf(error)}.`);
  }
}
