/** The aggregation of src/apps over a topic of the benchmark's: by the key as it comes, and by the value's fields. */
import { finiteOnly } from '../src/apps/aggregation/aggregation-topology.ts';
import { MetricAggregate, metricAggregate } from '../src/apps/aggregation/metric-aggregate.ts';
import {
  avro,
  avroFields,
  type KGroupedStream,
  minutes,
  type SchemaRegistry,
  StreamsBuilder,
  string,
  TimeWindows,
  type Topology,
} from '../src/index.ts';
import { aggregatedMetricSchema } from '../src/schemas/aggregated-metric.ts';
import { metricSchema } from '../src/schemas/metric.ts';

export function aggregationByKey(registry: SchemaRegistry, topic: string, caching: boolean): Topology {
  const metric = avroFields(registry, metricSchema, 'timestamp', 'value');
  const builder = new StreamsBuilder();
  const grouped = builder
    .stream(topic, {
      key: string(),
      value: metric,
      timestamp: (m, record) => (m.timestamp > 0 ? m.timestamp : record.timestamp),
    })
    .pipe(finiteOnly())
    .groupByKey();
  return aggregate(builder, grouped, registry, caching);
}

export function aggregationByValue(registry: SchemaRegistry, topic: string, caching: boolean): Topology {
  const metric = avroFields(registry, metricSchema, 'timestamp', 'service', 'metric_name', 'value');
  const metricValue = avroFields(registry, metricSchema, 'value');
  const builder = new StreamsBuilder();
  const grouped = builder
    .stream(topic, {
      key: string(),
      value: metric,
      timestamp: (m, record) => (m.timestamp > 0 ? m.timestamp : record.timestamp),
    })
    .pipe(finiteOnly())
    .groupBy((_key, m) => `${m.service}:${m.metric_name}`, { key: string(), value: metricValue });
  return aggregate(builder, grouped, registry, caching);
}

function aggregate<V extends { readonly value: number }>(
  builder: StreamsBuilder,
  grouped: KGroupedStream<string, V>,
  registry: SchemaRegistry,
  caching: boolean,
): Topology {
  grouped
    .windowedBy(TimeWindows.of(minutes(1), { grace: minutes(10) }))
    .aggregate(
      () => MetricAggregate.empty(),
      (_key, m, agg) => agg.add(m.value),
      { name: 'metric-aggregates', value: metricAggregate, caching },
    )
    .toStream()
    .map((windowed, agg) => [windowed.key, agg.summarise(windowed)], { pure: true })
    .to('metrics-aggregated', { key: string(), value: avro(registry, aggregatedMetricSchema) });
  return builder.build();
}
