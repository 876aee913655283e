/**
 * The sink: `metrics` into the table metrics, each record once. The database remembers the positions, in the transaction that
 * stores the rows; a batch that begins elsewhere than it remembers stores nothing.
 */
import { Retry, retrying } from '../../attempts.ts';
import { messageOf } from '../../errors.ts';
import {
  avroOrJson,
  BatchFencedError,
  type BatchHandler,
  type Logger,
  type RetryPolicy,
  type SchemaRegistry,
  StreamsBuilder,
  string,
  type Topology,
} from '../../index.ts';
import { metricSchema } from '../../schemas/metric.ts';
import { eventTime } from '../event-time.ts';
import type { MetricRow } from './metric-rows.ts';
import type { MetricsTable } from './metrics-table.ts';

export interface SinkOptions {
  readonly registry: SchemaRegistry;
  readonly table: Pick<MetricsTable, 'load' | 'write'>;
  /** Records that end a batch. */
  readonly maxRecords: number;
  /** ms after its first record that a batch ends at the latest. */
  readonly maxWaitMs: number;
}

/** As the program runs it. */
export const SINK = { applicationId: 'metrics-timescaledb-sink', maxRecords: 1_000, maxWaitMs: 5_000 } as const;
const DEAD_LETTERS = 'metrics-dlq';
/** A database that is away is waited for; what needs somebody's hand, a wrong password for example, is not tried again. */
export const DATABASE_RETRY: RetryPolicy = { initialMs: 200, maxMs: 10_000, maxAttempts: Number.POSITIVE_INFINITY };

/** What of a metric is stored. */
type StoredMetric = {
  readonly service: string;
  readonly metric_name: string;
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly node: string | null;
};

export function sinkTopology({ registry, table, maxRecords, maxWaitMs }: SinkOptions): Topology {
  const metric = avroOrJson(registry, metricSchema, {
    fields: ['timestamp', 'service', 'metric_name', 'value', 'labels', 'node'],
    defaults: { timestamp: 0, labels: {} },
  });
  const builder = new StreamsBuilder();
  builder
    .stream('metrics', {
      key: string(),
      value: metric,
      timestamp: eventTime,
      deadLetterTopic: DEAD_LETTERS,
    })
    .forEachBatch(storing(table), {
      name: 'timescaledb',
      maxRecords,
      maxWaitMs,
      retry: DATABASE_RETRY,
      deadLetterTopic: DEAD_LETTERS,
      positions: {
        load: (partitions, { applicationId, signal }) => table.load(applicationId, partitions, signal),
      },
    });
  return builder.build();
}

function storing(table: SinkOptions['table']): BatchHandler<string | null, StoredMetric> {
  return async (records, { applicationId, positions, signal, deadLetter }) => {
    const outcome = await table.write({
      applicationId,
      rows: records.map(({ value, timestamp }) => rowOf(value, timestamp)),
      positions,
      refused: (index, error) => deadLetter(records[index]!, error),
      signal,
    });
    if (outcome !== 'fenced') return;
    const [first] = positions;
    throw new BatchFencedError(
      `The database remembers another position in ${first?.topic}-${first?.partition} than the batch begins at ` +
        `(${first?.expected ?? 'none'}): another process has stored what comes after it.`,
      first === undefined ? {} : { topic: first.topic, partition: first.partition },
    );
  };
}

function rowOf({ service, metric_name, value, labels, node }: StoredMetric, timestamp: number): MetricRow {
  return { time: timestamp, serviceName: service, metricName: metric_name, value, labels, node };
}

/**
 * Creates what is missing in the database; one that is away is waited for. The log says whether metrics is a hypertable.
 * @returns false where the signal came first
 * @throws DatabaseError what waiting does not mend
 */
export async function prepareTable(table: MetricsTable, logger: Logger, signal: AbortSignal): Promise<boolean> {
  const retry = new Retry(DATABASE_RETRY);
  try {
    const { isCreated, isHypertable, reason } = await retrying(retry, () => table.prepare(signal), {
      signal,
      onRetry: (error) =>
        logger.warn({ attempt: retry.attempts, error: messageOf(error) }, 'the database is not ready, trying again'),
    });
    logger.info(
      { database: table.address, isCreated, isHypertable, ...(reason === undefined ? {} : { reason }) },
      isHypertable ? 'metrics is a hypertable' : 'metrics is a plain table',
    );
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}
