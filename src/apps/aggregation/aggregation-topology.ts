/** The main job's topology: `metrics` in, one-minute aggregates per service and metric out. */
import {
  avro,
  avroOrJson,
  type KStream,
  type Logger,
  minutes,
  type SchemaRegistry,
  StreamsBuilder,
  string,
  TimeWindows,
  type Topology,
} from '../../index.ts';
import { aggregatedMetricSchema } from '../../schemas/aggregated-metric.ts';
import { metricSchema } from '../../schemas/metric.ts';
import { eventTime } from '../event-time.ts';
import { MetricAggregate, metricAggregate } from './metric-aggregate.ts';

export interface AggregationOptions {
  readonly registry: SchemaRegistry;
  readonly graceMs: number;
  readonly logger?: Logger;
}

export function aggregationTopology({ registry, graceMs, logger }: AggregationOptions): Topology {
  // Some services write JSON, and not all of them the time. Only what is used is read, behind the repartition topic the
  // value alone; there a metric's bytes go as they came.
  const defaults = { timestamp: 0 };
  const metric = avroOrJson(registry, metricSchema, {
    fields: ['timestamp', 'service', 'metric_name', 'value'],
    defaults,
  });
  const metricValue = avroOrJson(registry, metricSchema, { fields: ['value'], defaults });
  const aggregatedMetric = avro(registry, aggregatedMetricSchema);
  const builder = new StreamsBuilder();
  builder
    .stream('metrics', {
      key: string(),
      value: metric,
      timestamp: eventTime,
    })
    .pipe(finiteOnly(logger))
    .groupBy((_key, m) => `${m.service}:${m.metric_name}`, { key: string(), value: metricValue })
    .windowedBy(TimeWindows.of(minutes(1), { grace: graceMs }))
    .aggregate(
      () => MetricAggregate.empty(),
      (_key, m, agg) => agg.add(m.value),
      { name: 'metric-aggregates', value: metricAggregate },
    )
    .toStream()
    .map((windowed, agg) => [windowed.key, agg.summarise(windowed)], { pure: true })
    .to('metrics-aggregated', { key: string(), value: aggregatedMetric });
  return builder.build();
}

/** Drops values that are not finite, which would poison a window, and reports how many there were. */
export function finiteOnly<K, V extends { readonly value: number }>(
  logger?: Logger,
): (stream: KStream<K, V>) => KStream<K, V> {
  let dropped = 0;
  return (stream) =>
    stream.filter((_key, m) => {
      if (Number.isFinite(m.value)) return true;
      dropped++;
      logger?.warn({ dropped }, 'a value that is not finite was dropped');
      return false;
    });
}
