/** This machine's figures as metrics, a set a second. */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AvroType, Serde } from '../../index.ts';
import type { metricSchema } from '../../schemas/metric.ts';
import { encode } from './encode.ts';
import { HostReadings } from './host-readings.ts';

export type Metric = AvroType<typeof metricSchema>;

/** Resolves when the metrics are written. */
export type SendMetrics = (metrics: readonly Metric[]) => Promise<void>;

/** Metrics as records for kafkajs' producer, keyed as the platform keys them. */
export function metricMessages(serde: Serde<Metric>, topic: string, metrics: readonly Metric[]) {
  return metrics.map((metric) => ({
    key: `${metric.service}:${metric.metric_name}`,
    value: encode(serde, metric, topic),
    timestamp: String(metric.timestamp),
  }));
}

/** Writes until the signal aborts. */
export async function writeHostMetrics(send: SendMetrics, signal: AbortSignal): Promise<void> {
  const host = new HostReadings();
  const node = hostname();
  while (!signal.aborted) {
    await sleep(1000 - (Date.now() % 1000), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const timestamp = Date.now();
    const readings = await host.read();
    await send(
      readings.map(({ metric, value, unit }) => ({
        timestamp,
        service: 'host',
        metric_name: metric,
        value,
        labels: {},
        node,
        unit,
        environment: null,
      })),
    );
  }
}
