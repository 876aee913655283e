/** The main job's topology: `metrics` in, one-minute aggregates per service and metric out. */
import {
  avro,
  type KStream,
  type Logger,
  minutes,
  type SchemaRegistry,
  StreamsBuilder,
  string,
  TimeWindows,
  type Topology,
} from '../index.ts';
import { MetricAggregate, metricAggregate } from './metric-aggregate.ts';
import { aggregatedMetricSchema } from './schemas/aggregated-metric.ts';
import { metricSchema } from './schemas/metric.ts';

export interface AggregationOptions {
  readonly registry: SchemaRegistry;
  readonly graceMs: number;
  /** `groupBy` service and metric name through a repartition topic (default), or `groupByKey` where producers key so. */
  readonly grouping?: 'by-value' | 'by-key';
  /** False: every update goes out, not the last one per commit. Default true. */
  readonly caching?: boolean;
  readonly logger?: Logger;
  /** Default `metrics` and `metrics-aggregated`. */
  readonly topics?: { readonly metrics: string; readonly aggregated: string };
}

export function aggregationTopology({
  registry,
  graceMs,
  grouping = 'by-value',
  caching = true,
  logger,
  topics = { metrics: 'metrics', aggregated: 'metrics-aggregated' },
}: AggregationOptions): Topology {
  const metric = avro(registry, metricSchema);
  const aggregatedMetric = avro(registry, aggregatedMetricSchema);
  const builder = new StreamsBuilder();
  const metrics = builder
    .stream(topics.metrics, {
      key: string(),
      value: metric,
      timestamp: (m, record) => (m.timestamp > 0 ? m.timestamp : record.timestamp),
    })
    .pipe(finiteOnly(logger));
  const grouped =
    grouping === 'by-key'
      ? metrics.groupByKey()
      : metrics.groupBy((_key, m) => `${m.service}:${m.metric_name}`, { key: string(), value: metric });
  grouped
    .windowedBy(TimeWindows.of(minutes(1), { grace: graceMs }))
    .aggregate(
      () => MetricAggregate.empty(),
      (_key, m, agg) => agg.add(m.value),
      { name: 'metric-aggregates', value: metricAggregate, caching },
    )
    .toStream()
    .map((windowed, agg) => [windowed.key, agg.summarise(windowed)])
    .to(topics.aggregated, { key: string(), value: aggregatedMetric });
  return builder.build();
}

/** Drops values that are not finite, which would poison a window, and reports how many there were. */
export function finiteOnly<
  K,
  V extends { readonly value: number; readonly service: string; readonly metric_name: string },
>(logger?: Logger): (stream: KStream<K, V>) => KStream<K, V> {
  let dropped = 0;
  return (stream) =>
    stream.filter((_key, m) => {
      if (Number.isFinite(m.value)) return true;
      dropped++;
      logger?.warn({ service: m.service, metric: m.metric_name, dropped }, 'a value that is not finite was dropped');
      return false;
    });
}
