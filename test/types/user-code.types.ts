/**
 * Asynchronous user code does not compile, and what does not look asynchronous does, without annotations: checked by
 * `npm run typecheck`, never run.
 */
import {
  json,
  type KStream,
  type KTable,
  nullable,
  type Processor,
  type ProcessorContext,
  type StreamRecord,
  StreamsBuilder,
  string,
  TimeWindows,
  type Windowed,
} from '../../src/index.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<T extends true>(): T | undefined {
  return undefined;
}

const s = string();
const IO = { key: s, value: s };
const builder = new StreamsBuilder();
const stream = builder.stream('in', IO);
const table = builder.table('t', IO);
const grouped = stream.groupByKey();
const windowed = grouped.windowedBy(TimeWindows.of(10));
declare const look: (value: string) => Promise<string>;
// biome-ignore lint/suspicious/noExplicitAny: what is `any` is not refused
declare const anything: any;

// Streams.
// @ts-expect-error not awaited
stream.filter(async () => true);
// @ts-expect-error not awaited
stream.filterNot(async () => true);
// @ts-expect-error not awaited
stream.map(async (k, v) => [k, v]);
// @ts-expect-error not awaited
stream.map((k, v) => [k, look(v)]);
// @ts-expect-error not awaited
stream.map((_k, v) => [look(v), v]);
// @ts-expect-error not awaited
stream.mapValues(async (v) => v);
// @ts-expect-error not awaited
stream.mapValues((v) => look(v));
// @ts-expect-error not awaited on one of two ways
stream.mapValues((v) => (v === '' ? v : look(v)));
// @ts-expect-error not awaited
stream.flatMap(async (k, v) => [[k, v]]);
// @ts-expect-error not awaited
stream.flatMap((k, v) => [[k, look(v)]]);
// @ts-expect-error not awaited
stream.flatMapValues(async (v) => [v]);
// @ts-expect-error not awaited
stream.flatMapValues((v) => [look(v)]);
// @ts-expect-error not awaited
stream.flatMapValues(async function* (v) {
  yield v;
});
// @ts-expect-error not awaited
stream.selectKey(async (_k, v) => v);
// @ts-expect-error not awaited
stream.peek(async () => {});
// @ts-expect-error not awaited
stream.forEach(async (_k, v) => look(v));
const looking = (_key: unknown, value: string) => look(value);
// @ts-expect-error not awaited
stream.forEach(looking);
// @ts-expect-error not awaited
stream.split().branch(async () => true);
// @ts-expect-error not awaited
stream.groupBy(async (_k, v) => v, IO);

// Tables.
// @ts-expect-error not awaited
table.filter(async () => true);
// @ts-expect-error not awaited
table.filterNot(async () => true);
// @ts-expect-error not awaited
table.mapValues(async (v) => v);
// @ts-expect-error not awaited
table.toStream(async (k) => k);

// Aggregations; a serde that takes anything does not let them through.
const empty = async () => '';
const later = async (_key: string, value: string) => value;
const anySerde = { value: json<Promise<string>>() };
// @ts-expect-error not awaited
grouped.aggregate(empty, later, anySerde);
// @ts-expect-error not awaited
grouped.aggregate(() => '', later, { value: s });
// @ts-expect-error not awaited
grouped.reduce(async (a) => a);
// @ts-expect-error not awaited
windowed.aggregate(empty, later, anySerde);
// @ts-expect-error not awaited
windowed.aggregate(() => '', later, { value: s });
// @ts-expect-error not awaited
windowed.reduce(async (a) => a);

// Sources and sinks.
// @ts-expect-error not awaited
builder.stream('in', { ...IO, timestamp: async () => 1 });
// @ts-expect-error not awaited
builder.table('in', { ...IO, timestamp: async () => 1 });
// @ts-expect-error not awaited
stream.to(async () => 'out', IO);
// @ts-expect-error not awaited
stream.to('out', { ...IO, partitioner: async () => 1 });
// @ts-expect-error not awaited
stream.repartition({ ...IO, partitioner: async () => 1 });

// Processors: methods, their class, and what makes them. A punctuator may be asynchronous.
// @ts-expect-error not awaited
stream.process(() => ({ async process() {} }));
// @ts-expect-error not awaited
stream.process(() => ({ process: (record) => look(record.value) }));
// @ts-expect-error not awaited
stream.process(() => ({ async init() {}, process() {} }));
// @ts-expect-error not awaited
stream.process(() => ({ process() {}, async close() {} }));
// @ts-expect-error not awaited
stream.processValues(() => ({ async process() {} }));
// @ts-expect-error not awaited
stream.process(async () => ({ process() {} }));
class Late implements Processor<string | null, string> {
  // @ts-expect-error not awaited
  async process(): Promise<void> {}
}
// @ts-expect-error not awaited
stream.process(() => new Late());
class InTime implements Processor<string | null, string, string, number> {
  init(context: ProcessorContext<string, number>): void {
    context.schedule(10, 'stream-time', async (time) => void (await look(`${time}`)));
  }
  process(record: StreamRecord<string | null, string>): void {
    seen.push(record.value);
  }
}
const processed = stream.process(() => new InTime());
is<Equal<typeof processed, KStream<string, number>>>();
// What returns something that nobody looks at compiles, and parameters need no annotation.
const seen: string[] = [];
// biome-ignore lint/suspicious/useIterableCallbackReturn: that it may return something is what is tried
stream.forEach((_k, v) => seen.push(v));
stream.peek((_k, v) => (seen.length > 9 ? seen.push(v) : undefined));
stream.peek((): unknown => seen);
stream.process(() => ({ process: (record) => seen.push(record.value) }));
stream.process(() => ({ process: (record) => new Map([[record.key, record.value]]), close: () => seen }));

// `any` is not refused.
const unknownValues = stream.mapValues(() => anything);
is<Equal<typeof unknownValues, KStream<string | null, typeof anything>>>();
stream.peek(() => anything);
stream.selectKey(() => anything).groupByKey(IO);
stream.process(() => ({ process: () => anything }));
grouped.aggregate(
  () => anything,
  () => anything,
  { value: json<typeof anything>() },
);

// Types still flow: literals widen, objects stay, generic operators of one's own compile.
const literal = stream.mapValues(() => 'x');
is<Equal<typeof literal, KStream<string | null, string>>>();
const pairs = stream.map((k, v) => [v.length, { k, v }]);
is<Equal<typeof pairs, KStream<number, { k: string | null; v: string }>>>();
const generic = <K, V, V2>(of: KStream<K, V>, f: (value: V) => V2) =>
  of
    .mapValues((v) => f(v))
    .peek((_k, v) => v)
    .selectKey((k) => k);
const applied = generic(stream, (v) => v.length);
is<Equal<typeof applied, KStream<string | null, number>>>();

// undefined is null: in values, keys, and a table's rows, where it deletes.
const maybe = stream.mapValues((v) => (v === '' ? undefined : v));
is<Equal<typeof maybe, KStream<string | null, string | null>>>();
const nothing = stream.mapValues(() => {});
is<Equal<typeof nothing, KStream<string | null, null>>>();
const keys = stream.selectKey((k): string | undefined => k ?? undefined);
is<Equal<typeof keys, KStream<string | null, string>>>();
const both = stream.map((k, v): [string | undefined, number | undefined] => [k ?? undefined, v.length]);
is<Equal<typeof both, KStream<string | null, number | null>>>();
const flat = stream.flatMapValues((v) => [v, undefined]);
is<Equal<typeof flat, KStream<string | null, string | null>>>();
const counts = grouped.count();
const big = counts.mapValues((n) => (n > 9 ? n : undefined));
is<Equal<typeof big, KTable<string, number, null>>>();
const all = counts.mapValues((n) => n * 2);
is<Equal<typeof all, KTable<string, number, never>>>();
const kept = windowed.count().toStream((key) => (key.window.startMs > 0 ? key : undefined));
is<Equal<typeof kept, KStream<Windowed<string> | null, number>>>();
maybe.groupByKey({ key: s, value: nullable(s) });
// @ts-expect-error a value can be null
maybe.to('out', { key: s, value: json<number>() });
