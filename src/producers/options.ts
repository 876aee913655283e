/** Configuration of a producer service, in Kafka's names, camelCase. */
import type { KafkaConfig } from 'kafkajs';
import type { CompressionType } from '../kafka/index.ts';
import { type Logger, silentLogger } from '../logger.ts';
import { SchemaRegistry, type SchemaRegistryOptions } from '../serdes/index.ts';
import { ProducerServiceError } from './errors.ts';
import type { RecordKind } from './inputs.ts';

/** Where the records of each kind go. */
export interface ProducerTopicNames {
  readonly metrics?: string;
  readonly predictions?: string;
  readonly anomalies?: string;
}

export interface ProducerServiceOptions {
  /** kafkajs client options, passed through as they are. */
  readonly kafka: KafkaConfig;
  /** A client of the schema registry, or how to make one: that one logs to the service's logger. */
  readonly registry: SchemaRegistry | SchemaRegistryOptions;
  /**
   * The topics that this service writes to. Default `{ metrics: 'metrics', predictions: 'predictions', anomalies:
   * 'anomalies' }`; of a kind that is left out the schema is not registered, and nothing can be sent.
   */
  readonly topics?: ProducerTopicNames;
  /** Compression of batches (compression.type). Default gzip. */
  readonly compression?: CompressionType;
  /** ms a batch waits for more records (linger.ms). Default 5, as Kafka's since 4.0. Higher: fewer, larger batches. */
  readonly lingerMs?: number;
  /**
   * ms from when a record is in the buffer until it must be acknowledged, tries included (delivery.timeout.ms); later its
   * promise is rejected. Default 120000. Lower: trouble is told sooner; raise where longer outages are to be ridden out.
   */
  readonly deliveryTimeoutMs?: number;
  /**
   * ms that a record waits for room in the buffer, and for its topic to be there (max.block.ms); later its promise is
   * rejected. Default 60000.
   */
  readonly maxBlockMs?: number;
  /**
   * Bytes in the buffer above which what is sent waits outside (buffer.memory). Default 32 MiB. A record that is larger is
   * refused.
   */
  readonly maxBufferedBytes?: number;
  /** ms that connect() tries to reach the brokers. Default 10000. */
  readonly connectTimeoutMs?: number;
  /** pino's call shape. Default: nothing is logged. */
  readonly logger?: Logger;
}

export interface ResolvedOptions extends Required<Omit<ProducerServiceOptions, 'registry' | 'topics'>> {
  readonly registry: SchemaRegistry;
  /** By kind; undefined: none of it is written. */
  readonly topics: Readonly<Record<RecordKind, string | undefined>>;
}

interface NumericOption {
  readonly default: number;
  readonly min: number;
}

type NumericOptionName = 'lingerMs' | 'deliveryTimeoutMs' | 'maxBlockMs' | 'maxBufferedBytes' | 'connectTimeoutMs';

const NUMERIC_OPTIONS: Readonly<Record<NumericOptionName, NumericOption>> = {
  lingerMs: { default: 5, min: 0 },
  deliveryTimeoutMs: { default: 120_000, min: 1 },
  maxBlockMs: { default: 60_000, min: 0 },
  maxBufferedBytes: { default: 32 * 1024 * 1024, min: 1 },
  connectTimeoutMs: { default: 10_000, min: 0 },
};
const COMPRESSIONS: readonly string[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] satisfies CompressionType[];
const DEFAULT_TOPICS: Required<ProducerTopicNames> = {
  metrics: 'metrics',
  predictions: 'predictions',
  anomalies: 'anomalies',
};
const TOPIC_OPTIONS: Readonly<Record<keyof ProducerTopicNames, RecordKind>> = {
  metrics: 'metric',
  predictions: 'prediction',
  anomalies: 'anomaly',
};

/**
 * An option that is undefined counts as absent.
 * @throws ProducerServiceError MILLRACE_PRODUCERS_INVALID_OPTIONS, naming every fault
 * @throws SerdeOptionError the registry's options
 */
export function resolveOptions(options: ProducerServiceOptions): ResolvedOptions {
  const given = options ?? {};
  const { kafka, registry, topics = DEFAULT_TOPICS, compression = 'gzip', logger = silentLogger } = given;
  const numbers = Object.fromEntries(
    Object.entries(NUMERIC_OPTIONS).map(([name, option]) => [name, given[name as NumericOptionName] ?? option.default]),
  ) as Record<NumericOptionName, number>;
  const faults = [
    ...requiredFaults(given),
    ...topicFaults(topics),
    ...(COMPRESSIONS.includes(compression)
      ? []
      : [`compression is ${compression}, it must be ${COMPRESSIONS.join(', ')}`]),
    ...rangeFaults(numbers),
  ];
  if (faults.length > 0) {
    throw new ProducerServiceError(
      'MILLRACE_PRODUCERS_INVALID_OPTIONS',
      `KafkaProducerService: invalid options: ${faults.join('; ')}.`,
    );
  }
  return {
    ...numbers,
    kafka,
    registry: registry instanceof SchemaRegistry ? registry : new SchemaRegistry({ logger, ...registry }),
    topics: { metric: topics.metrics, prediction: topics.predictions, anomaly: topics.anomalies },
    compression,
    logger,
  };
}

/** What JavaScript, or a variable of the environment that is not set, can leave out. */
function requiredFaults({ kafka, registry, logger = silentLogger }: ProducerServiceOptions): string[] {
  const faults: string[] = [];
  const brokers: unknown = kafka?.brokers;
  if (typeof brokers !== 'function' && !(Array.isArray(brokers) && brokers.length > 0))
    faults.push('kafka.brokers is missing: a list of host:port');
  if (typeof registry !== 'object' || registry === null)
    faults.push('registry is missing: a SchemaRegistry, or { url }');
  const missing = (['debug', 'info', 'warn', 'error'] as const).filter((level) => typeof logger[level] !== 'function');
  if (missing.length > 0) faults.push(`logger lacks ${missing.join(', ')}()`);
  return faults;
}

function topicFaults(topics: ProducerTopicNames): string[] {
  const entries = Object.entries(topics).filter(([, topic]) => topic !== undefined);
  if (entries.length === 0) return ['topics names none'];
  return entries.flatMap(([name, topic]) => {
    if (!Object.hasOwn(TOPIC_OPTIONS, name))
      return [`topics.${name} is none of ${Object.keys(TOPIC_OPTIONS).join(', ')}`];
    return typeof topic === 'string' && topic !== '' ? [] : [`topics.${name} must be the name of a topic`];
  });
}

function rangeFaults(numbers: Readonly<Record<NumericOptionName, number>>): string[] {
  const faults = Object.entries(NUMERIC_OPTIONS)
    .map(([name, { min }]) => ({ name, min, value: numbers[name as NumericOptionName] }))
    .filter(({ value, min }) => !(Number.isFinite(value) && value >= min))
    .map(({ name, min, value }) => `${name} is ${value}, it must be ≥ ${min}`);
  const { lingerMs, deliveryTimeoutMs } = numbers;
  if (lingerMs >= deliveryTimeoutMs)
    faults.push(`lingerMs ${lingerMs} must be less than deliveryTimeoutMs ${deliveryTimeoutMs}`);
  return faults;
}
