/** What comes out of the pipelines, on the screen: a table that is redrawn on a terminal, a line for each news elsewhere. */
import type { Consumer, Kafka } from 'kafkajs';
import { avro, avroOrJson, type SchemaRegistry, type Serde, SerdeError } from '../../index.ts';
import { aggregatedMetricSchema } from '../../schemas/aggregated-metric.ts';
import { alertSchema } from '../../schemas/alert.ts';
import { remediationSchema } from '../../schemas/remediation.ts';
import type { AggregatedMetric } from '../aggregation/metric-aggregate.ts';
import type { Alert, Remediation } from '../alerts/alert.ts';
import { WindowTable, windowLine } from './window-table.ts';

const REDRAW_MS = 1_000;
/** Between lines of one key where there is no terminal. */
const LINES_MS = 5_000;
/** Of alerts and remediations, on a terminal. */
const NEWS = 5;

interface Shown {
  readonly topic: string;
  show(value: Buffer): void;
}

/** Reads the results from now on and shows them; returns how to end that. */
export async function showResults(
  kafka: Kafka,
  registry: SchemaRegistry,
  header: readonly string[],
): Promise<() => Promise<void>> {
  const isTerminal = process.stdout.isTTY === true;
  const table = new WindowTable();
  const changed = new Map<string, AggregatedMetric>();
  const news: string[] = [];
  const tell = (line: string): void => {
    if (isTerminal) news.push(line);
    else process.stdout.write(`${line}\n`);
    if (news.length > NEWS) news.shift();
  };
  const consumer = await follow(kafka, [
    await reading<AggregatedMetric>('metrics-aggregated', avro(registry, aggregatedMetricSchema), (row) => {
      if (table.update(row)) changed.set(row.key, row);
    }),
    await reading<Alert>('alerts', avroOrJson(registry, alertSchema), ({ severity, service, message }) =>
      tell(`alert ${severity} ${service}: ${message}`),
    ),
    await reading<Remediation>('remediations', avroOrJson(registry, remediationSchema), (remediation) =>
      tell(`remediation ${remediation.status} ${remediation.service_name}: incident ${remediation.incident_id}`),
    ),
  ]);
  if (!isTerminal) process.stdout.write(`${header.join('\n')}\n`);
  const redraw = setInterval(
    () => {
      const windows = table.size === 0 ? ['waiting for the first window …'] : table.lines();
      if (isTerminal) draw([...header, '', ...windows, '', ...news]);
      else for (const row of changed.values()) process.stdout.write(`${windowLine(row)}\n`);
      changed.clear();
    },
    isTerminal ? REDRAW_MS : LINES_MS,
  );
  return async () => {
    clearInterval(redraw);
    await consumer.disconnect();
  };
}

async function follow(kafka: Kafka, shown: readonly Shown[]): Promise<Consumer> {
  // Leaving waits for the fetch that is out.
  const consumer = kafka.consumer({
    groupId: `npm-start-${process.pid}`,
    sessionTimeout: 10_000,
    maxWaitTimeInMs: 500,
  });
  await consumer.connect();
  await consumer.subscribe({ topics: shown.map(({ topic }) => topic), fromBeginning: false });
  await consumer.run({
    eachMessage: async ({ topic, message: { value } }) => {
      if (value !== null) shown.find((one) => one.topic === topic)?.show(value);
    },
  });
  return consumer;
}

/** What other programs wrote there and cannot be read here is not shown. */
async function reading<T>(topic: string, serde: Serde<T>, show: (value: T) => void): Promise<Shown> {
  // The schema of what comes is known then: the pipelines write with the same.
  await serde.prepareWrite?.(topic, 'value');
  return {
    topic,
    show(bytes) {
      let value: T;
      try {
        value = serde.read(bytes, 0, bytes.length, topic, 'value');
      } catch (error) {
        if (error instanceof SerdeError) return;
        throw error;
      }
      show(value);
    },
  };
}

/** From the top left corner, over what was there. */
function draw(lines: readonly string[]): void {
  const CLEAR_LINE = '\u001b[K';
  process.stdout.write(`\u001b[H${lines.map((line) => line + CLEAR_LINE).join('\n')}\n\u001b[J`);
}
