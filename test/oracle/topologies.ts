/** The topologies that both judge and judged build: the same names, operators and options as in Oracle.java. */
import {
  type KeyValueStore,
  keyValueStore,
  long,
  nullable,
  type Processor,
  type ProcessorContext,
  StreamRecord,
  StreamsBuilder,
  string,
  TimeWindows,
  type Topology,
  timeWindowed,
  type WindowStore,
  windowStore,
} from '../../src/index.ts';

const text = (value: string | null): string => value ?? 'null';
const s = string();
const IN = { key: s, value: nullable(s) };
const OUT = { key: s, value: s };
const windowed = timeWindowed(s, 10);
const grace = (ms: number, advance = 10): TimeWindows => TimeWindows.of(10, { grace: ms, advance });

/** Counts keys up to three, then forgets them; says what it has each 20 ms of stream time. */
function seenProcessor(): Processor<string | null, string | null, string, string> {
  let context: ProcessorContext<string, string>;
  let seen: KeyValueStore<string, number>;
  return {
    init(c) {
      context = c;
      seen = c.getStateStore('seen');
      c.schedule(20, 'stream-time', async (time) => {
        for await (const [k, n] of seen.all()) c.forward(new StreamRecord(k, `${time}:${n}`, time));
      });
    },
    process(record) {
      const k = record.key!;
      const n = seen.get(k);
      seen.put(k, n === null ? 1 : n >= 3 ? null : n + 1);
      const { offset } = context.recordMetadata()!;
      context.forward(record.withKey(k).withValue(`${n},${offset},${context.currentStreamTimeMs()}`));
    },
  };
}

/** The last value of each key in windows of 10 ms, before this one. */
function lastProcessor(): Processor<string | null, string | null, string | null, string> {
  let context: ProcessorContext<string | null, string>;
  let last: WindowStore<string, string>;
  return {
    init(c) {
      context = c;
      last = c.getStateStore('last');
    },
    process(record) {
      const start = Math.floor(record.timestamp / 10) * 10;
      const before = last.fetch(record.key!, start);
      last.put(record.key!, record.value, start);
      context.forward(record.withValue(text(before)).withTimestamp(record.timestamp + 1));
    },
  };
}

export const TOPOLOGIES: Readonly<Record<string, (builder: StreamsBuilder) => void>> = {
  stateless(b) {
    const input = b.stream('in', IN);
    input
      .filter((_k, v): v is string => v !== null && v.length < 3)
      .map((k, v) => [v, text(k)])
      .flatMapValues((v) => [v, `${v}!`])
      .selectKey((k, v) => k + v)
      .peek(() => {})
      .merge(input.filterNot((_k, v) => v !== null).mapValues((_v, k) => text(k)))
      .flatMap((k, v) => [
        [k, v],
        [v, text(k)],
      ])
      .to('out', OUT);
  },
  branches(b) {
    const branches = b
      .stream('in', IN)
      .split({ name: 's-' })
      .branch((_k, v) => v === 'x', { name: 'x' })
      .branch((k) => k === null)
      .defaultBranch();
    branches.get('s-x')!.to('x', OUT);
    branches.get('s-2')!.to('nokey', OUT);
    branches.get('s-0')!.to('rest', OUT);
  },
  count: (b) => b.stream('in', IN).groupByKey().count().toStream().to('out', { key: s, value: long() }),
  'count-uncached': (b) =>
    b
      .stream('in', IN)
      .groupByKey()
      .count({ name: 'counts', caching: false })
      .toStream()
      .to('out', { key: s, value: long() }),
  reduce: (b) =>
    b
      .stream('in', IN)
      .groupByKey()
      .reduce((x, y) => x + y, { name: 'r', value: s })
      .toStream()
      .to('out', OUT),
  'aggregate-repartitioned': (b) =>
    b
      .stream('in', IN)
      .groupBy((_k, v) => v, IN)
      .aggregate(
        () => '',
        (_k, v, a) => ((a + v).length > 6 ? (null as unknown as string) : a + v),
        { name: 'agg', value: s },
      )
      .toStream()
      .to('out', OUT),
  'tumbling-count': (b) =>
    b.stream('in', IN).groupByKey().windowedBy(grace(0)).count().toStream().to('out', { key: windowed, value: long() }),
  'tumbling-grace': (b) =>
    b
      .stream('in', IN)
      .groupBy((k) => k, { ...IN, name: 'by' })
      .windowedBy(grace(7))
      .count({ name: 'w' })
      .toStream()
      .to('out', { key: windowed, value: long() }),
  'hopping-count': (b) =>
    b
      .stream('in', IN)
      .groupByKey()
      .windowedBy(grace(5, 3))
      .count({ name: 'w' })
      .toStream()
      .to('out', { key: windowed, value: long() }),
  'window-reduce': (b) =>
    b
      .stream('in', IN)
      .groupByKey()
      .windowedBy(grace(5))
      .reduce((x, y) => (y === null || x.length > 4 ? null : x + y), { name: 'w', value: s })
      .toStream()
      .to('out', { key: windowed, value: s }),
  'window-aggregate-uncached': (b) =>
    b
      .stream('in', IN)
      .groupByKey()
      .windowedBy(grace(5))
      .aggregate(
        () => '',
        (_k, v, a) => a + text(v),
        { name: 'w', value: s, caching: false },
      )
      .toStream()
      .to('out', { key: windowed, value: s }),
  table: (b) =>
    b
      .table('in', OUT)
      .filter((_k, v) => v.length > 1)
      .mapValues((v, k) => k + v)
      .toStream()
      .to('out', OUT),
  'table-stored': (b) =>
    b
      .table('in', { ...OUT, materialized: { name: 't' } })
      .filter((_k, v) => v.length > 1, { materialized: { name: 'f', ...OUT } })
      .mapValues((v, k) => k + v, { materialized: { name: 'm', ...OUT } })
      .toStream((_k, v) => text(v))
      .to('out', OUT),
  'table-stored-uncached': (b) =>
    b
      .table('in', OUT)
      .filterNot((_k, v) => v.length > 1, { materialized: { name: 'f', ...OUT, caching: false } })
      .toStream()
      .to('out', OUT),
  repartition: (b) =>
    b
      .stream('in', IN)
      .selectKey((_k, v) => v)
      .repartition(IN)
      .mapValues((v) => `${v}!`)
      .repartition({ name: 'named', key: s, value: s })
      .to('out', OUT),
  process: (b) =>
    b
      .stream('in', IN)
      .filter((k) => k !== null)
      .process(seenProcessor, { stores: [keyValueStore('seen', { key: s, value: long() })] })
      .to('out', OUT),
  'process-values': (b) =>
    b
      .stream('in', IN)
      .filter((k) => k !== null)
      .processValues(lastProcessor, {
        stores: [windowStore('last', { key: s, value: s, retentionMs: 10_000_000, windowSizeMs: 10 })],
      })
      .to('out', OUT),
  'same-topic-twice'(b) {
    b.stream('in', IN)
      .mapValues(() => '1')
      .to('one', OUT);
    b.stream('in', IN)
      .filter((k) => k !== null)
      .groupByKey()
      .count()
      .toStream()
      .to('two', { key: s, value: long() });
  },
};

export function buildTopology(name: string): Topology {
  const builder = new StreamsBuilder();
  TOPOLOGIES[name]!(builder);
  return builder.build();
}
