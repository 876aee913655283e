/** Types flow through a topology without annotations: checked by `npm run typecheck`, never run. */

import {
  avro,
  avroFields,
  double,
  json,
  type KStream,
  type KTable,
  long,
  minutes,
  nullable,
  type SchemaRegistry,
  type Serde,
  StreamsBuilder,
  string,
  TimeWindows,
  type Windowed,
} from '../../src/index.ts';
import { metricSchema } from '../../src/schemas/metric.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<T extends true>(): T | undefined {
  return undefined;
}

declare const registry: SchemaRegistry;
const builder = new StreamsBuilder();

// Keys can be null at a source; values only where the serde lets null through.
const plain = builder.stream('in', { key: string(), value: double() });
is<Equal<typeof plain, KStream<string | null, number>>>();
const withNulls = builder.stream('in', { key: string(), value: nullable(double()) });
is<Equal<typeof withNulls, KStream<string | null, number | null>>>();

// Avro's types follow from the schema.
const metric = avro(registry, metricSchema);
type Metric = {
  timestamp: number;
  service: string;
  metric_name: string;
  value: number;
  labels: Record<string, string>;
  node: string | null;
  unit: string | null;
  environment: string | null;
};
is<Equal<typeof metric, Serde<Metric>>>();
const part = avroFields(registry, metricSchema, 'service', 'value');
is<Equal<typeof part, Serde<{ service: string; value: number }>>>();
// @ts-expect-error there is no such field
avroFields(registry, metricSchema, 'colour');

// Grouping drops null keys; windows wrap the key; an aggregate has no tombstones.
const counts = plain.groupByKey().count();
is<Equal<typeof counts, KTable<string, number, never>>>();
const windowed = plain
  .groupByKey()
  .windowedBy(TimeWindows.of(minutes(1)))
  .aggregate(
    () => [0],
    (_key, value, seen) => [...seen, value],
    { value: json<number[]>() },
  );
is<Equal<typeof windowed, KTable<Windowed<string>, number[], never>>>();
const mapped = windowed.toStream().map((key, values) => [key.key, values.length]);
is<Equal<typeof mapped, KStream<string, number>>>();

// A table's rows can be deleted, and so can what a filter leaves of it.
const table = builder.table('t', { key: string(), value: long() });
const updates = table.toStream();
is<Equal<typeof updates, KStream<string, number | null>>>();
const filtered = counts.filter((_key, count) => count > 1).toStream();
is<Equal<typeof filtered, KStream<string, number | null>>>();

// A predicate that narrows, narrows.
const numbers = withNulls.filter((_key, value): value is number => value !== null);
is<Equal<typeof numbers, KStream<string | null, number>>>();

// The serdes of a sink must fit.
mapped.to('out', { key: string(), value: double() });
// @ts-expect-error a string is not a number
mapped.to('out', { key: string(), value: string() });

// Operators of one's own are functions.
const doubled = <K>(stream: KStream<K, number>): KStream<K, number> => stream.mapValues((value) => value * 2);
const piped = plain.pipe(doubled);
is<Equal<typeof piped, KStream<string | null, number>>>();
