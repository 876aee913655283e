/**
 * Small random programs, a statement a line, which Program.java builds with the same operators, functions and options:
 * what both make of the names, the numbers and the order of the graph must be equal.
 */
import fc from 'fast-check';
import {
  type KeyValueStore,
  type KGroupedStream,
  type KStream,
  type KTable,
  keyValueStore,
  long,
  nullable,
  type Processor,
  type ProcessorContext,
  type StreamRecord,
  StreamsBuilder,
  string,
  TimeWindows,
  type Topology,
  type Windowed,
} from '../../src/index.ts';
import type { AnyStoreDescription } from '../../src/state/index.ts';

const s = string();
const IN = { key: s, value: nullable(s) };
const OUT = { key: s, value: s };

const text = (value: unknown): string =>
  typeof value === 'object' && value !== null
    ? `${(value as Windowed<string>).key}@${(value as Windowed<string>).window.startMs}`
    : String(value);
const initial = (value: unknown): string | null => (value === null || text(value) === '' ? null : text(value)[0]!);
const last = (content: string, length: number): string => content.slice(Math.max(0, content.length - length));
const even = (key: unknown, value: unknown): boolean => (text(key) + text(value)).length % 2 === 0;

/** Remembers the last value of each key in all its stores and says what was there before. */
function remember(names: readonly string[]): Processor<unknown, unknown, unknown, unknown> {
  let context: ProcessorContext<unknown, unknown>;
  return {
    init(c) {
      context = c;
    },
    process(record: StreamRecord<unknown, unknown>) {
      let before = '';
      for (const name of names) {
        const store = context.getStateStore<KeyValueStore<unknown, unknown>>(name);
        if (record.key === null) continue;
        before += text(store.get(record.key));
        store.put(record.key, record.value);
      }
      context.forward(record.withValue(last(before + text(record.value), 5)));
    },
  };
}

/** Builds what the lines say, call by call. */
export function buildProgram(lines: readonly string[]): Topology {
  const program = new Program();
  for (const line of lines) program.statement(line);
  return program.builder.build();
}

// biome-ignore lint/suspicious/noExplicitAny: programs are typed by their generator
type Any = any;

type AnyTable = KTable<Any, Any, Any>;

class Program {
  readonly builder = new StreamsBuilder();
  readonly #streams = new Map<string, KStream<Any, Any>>();
  readonly #tables = new Map<string, AnyTable>();
  readonly #grouped = new Map<string, KGroupedStream<Any, Any>>();
  readonly #stores = new Map<string, AnyStoreDescription>();

  statement(line: string): void {
    const [op, ...pairs] = line.split('\t');
    const fields = Object.fromEntries(pairs.map((pair) => pair.split(/=(.*)/s) as [string, string]));
    const { id = '', from = '', name } = fields;
    const named = name === undefined ? {} : { name };
    const stream = this.#streams.get(from)!;
    const table = this.#tables.get(from)!;
    const grouped = this.#grouped.get(from)!;
    const stores = (fields['stores'] ?? '').split(',').filter((store) => store !== '');
    const processed = { ...named, stores: stores.map((store) => this.#stores.get(store)!) };
    const materialized = {
      ...(fields['store'] === undefined ? {} : { name: fields['store'] }),
      ...(fields['caching'] === undefined ? {} : { caching: fields['caching'] === '1' }),
    };
    const hasMaterialized = Object.keys(materialized).length > 0 || fields['materialized'] === '1';
    const aggregated = { ...materialized, ...(name === undefined ? {} : { processorName: name }) };
    const tabled = (value: Any) => ({
      ...named,
      ...(hasMaterialized ? { materialized: { key: s, value, ...materialized } } : {}),
    });
    switch (op) {
      case 'store': {
        const store = keyValueStore(name!, OUT);
        this.#stores.set(name!, store);
        this.builder.addStateStore(store);
        return;
      }
      case 'stream': {
        const { pattern, topics = '', reset } = fields;
        const options = { ...IN, ...named, ...(reset === undefined ? {} : { offsetReset: reset as 'earliest' }) };
        this.#streams.set(
          id,
          this.builder.stream(pattern === undefined ? topics.split(',') : new RegExp(pattern), options),
        );
        return;
      }
      case 'table':
        this.#tables.set(id, this.builder.table(fields['topic']!, { ...OUT, ...tabled(s) }));
        return;
      case 'filter':
        this.#streams.set(id, stream.filter(even, named));
        return;
      case 'filterNot':
        this.#streams.set(id, stream.filterNot(even, named));
        return;
      case 'map':
        this.#streams.set(
          id,
          stream.map((k, v) => [last(text(v), 5), last(text(k), 5)], named),
        );
        return;
      case 'mapValues':
        this.#streams.set(
          id,
          stream.mapValues((v) => last(`${text(v)}'`, 5), named),
        );
        return;
      case 'flatMap':
        this.#streams.set(
          id,
          stream.flatMap(
            (k, v) =>
              even(k, v)
                ? [
                    [k, v],
                    [v, k],
                  ]
                : [],
            named,
          ),
        );
        return;
      case 'flatMapValues':
        this.#streams.set(
          id,
          stream.flatMapValues((v) => [text(v), last(`${text(v)}!`, 5)], named),
        );
        return;
      case 'selectKey':
        this.#streams.set(
          id,
          stream.selectKey((_k, v) => initial(v), named),
        );
        return;
      case 'peek':
        this.#streams.set(
          id,
          stream.peek(() => {}, named),
        );
        return;
      case 'forEach':
        stream.forEach(() => {}, named);
        return;
      case 'merge':
        this.#streams.set(id, stream.merge(this.#streams.get(fields['other']!)!, named));
        return;
      case 'split':
        this.#split(stream, fields, named);
        return;
      case 'repartition':
        this.#streams.set(id, stream.repartition({ ...IN, ...named }));
        return;
      case 'process':
        this.#streams.set(
          id,
          stream.process(() => remember(stores), processed),
        );
        return;
      case 'processValues':
        this.#streams.set(
          id,
          stream.processValues(() => remember(stores), processed),
        );
        return;
      case 'to':
        stream.to(fields['topic']!, { ...OUT, ...named });
        return;
      case 'groupBy':
        this.#grouped.set(
          id,
          stream.groupBy((_k, v) => initial(v), { ...IN, ...named }),
        );
        return;
      case 'groupByKey':
        this.#grouped.set(id, stream.groupByKey({ ...IN, ...named }));
        return;
      case 'count':
        this.#tables.set(id, grouped.count(aggregated) as unknown as AnyTable);
        return;
      case 'windowedCount':
        this.#tables.set(
          id,
          grouped.windowedBy(TimeWindows.of(10, { grace: 5 })).count(aggregated) as unknown as AnyTable,
        );
        return;
      case 'reduce':
        this.#tables.set(
          id,
          grouped.reduce((x, y) => last(text(x) + text(y), 5), {
            ...aggregated,
            value: s as Any,
          }) as unknown as AnyTable,
        );
        return;
      case 'aggregate':
        this.#tables.set(
          id,
          grouped.aggregate(
            () => '',
            (_k, v, a) => last(a + text(v), 5),
            { ...aggregated, value: s },
          ) as unknown as AnyTable,
        );
        return;
      case 'tableFilter':
        this.#tables.set(id, table.filter(even, tabled(fields['value'] === 'l' ? long() : s)));
        return;
      case 'tableFilterNot':
        this.#tables.set(id, table.filterNot(even, tabled(fields['value'] === 'l' ? long() : s)));
        return;
      case 'tableMapValues':
        this.#tables.set(
          id,
          table.mapValues((v) => last(`${text(v)}'`, 5), tabled(s)),
        );
        return;
      case 'toStream':
        this.#streams.set(
          id,
          fields['selects'] === '1' ? table.toStream((_k, v) => initial(v), named) : table.toStream(named),
        );
        return;
      default:
        throw new Error(line);
    }
  }

  #split(stream: KStream<Any, Any>, fields: Record<string, string>, named: { readonly name?: string }): void {
    const ids = fields['ids']!.split(',');
    const hasDefault = fields['default'] === '1';
    const splitter = stream.split(named);
    ids.forEach((_id, i) => {
      const name = fields[`branch${i}`];
      const options = name === undefined ? {} : { name };
      if (hasDefault && i === ids.length - 1) splitter.defaultBranch(options);
      else splitter.branch((_k, v) => text(v).length % 3 === i, options);
    });
    [...splitter.noDefaultBranch().values()].forEach((branch, i) => {
      this.#streams.set(ids[i]!, branch);
    });
  }
}

/** What a statement may stand on: keys are strings or windowed, values strings or longs. */
interface Made {
  readonly id: number;
  readonly kind: 'stream' | 'table' | 'grouped';
  readonly key: 's' | 'w';
  readonly value: 's' | 'l';
}

/** Where a statement's choices come from. */
interface Choices {
  readonly op: number;
  readonly from: number;
  readonly other: number;
  readonly name: number;
  readonly store: number;
  readonly flags: number;
}

const choices: fc.Arbitrary<Choices> = fc.record({
  op: fc.nat(999),
  from: fc.nat(999),
  other: fc.nat(999),
  name: fc.nat(99),
  store: fc.nat(99),
  flags: fc.nat(255),
});

const STREAM_OPS = [
  ...['filter', 'filterNot', 'map', 'mapValues', 'flatMap', 'flatMapValues', 'selectKey', 'peek', 'forEach'],
  ...['merge', 'merge', 'split', 'repartition', 'process', 'processValues', 'to', 'to'],
  ...['groupBy', 'groupBy', 'groupByKey', 'groupByKey'],
];
const GROUPED_OPS = ['count', 'reduce', 'aggregate', 'windowedCount'];
const TABLE_OPS = ['tableFilter', 'tableFilterNot', 'tableMapValues', 'toStream', 'toStream'];
const TOPICS = ['zebra', 'apple', 'mango', 'in'];
// Short and long, so that their hashes and their order differ from those of generated names.
const WORDS = ['z', 'alpha', 'Kilo', 'b.b', 'x-y', 'KSTREAM-FILTER-0000000003', 'my_processor', 'AaAa', 'BBBB', 'n'];

/** Programs that mostly are right; now and then a name stands twice, which both must refuse. */
export const programs: fc.Arbitrary<readonly string[]> = fc
  .array(choices, { minLength: 3, maxLength: 24, size: 'max' })
  .map((steps) => new Generator().lines(steps));

class Generator {
  readonly #made: Made[] = [];
  readonly #stores: string[] = [];
  readonly #lines: string[] = [];
  #names = 0;
  #sinks = 0;

  lines(steps: readonly Choices[]): readonly string[] {
    for (const [i, step] of steps.entries()) {
      if (i === 0 || step.op % 7 === 0) this.#root(step, i);
      else this.#derived(step);
    }
    return this.#lines;
  }

  #root({ op, from, other, flags, name }: Choices, position: number): void {
    if (position > 0 && flags % 4 === 0) {
      const store = `store${this.#stores.length}`;
      this.#stores.push(store);
      this.#line('store', { name: store });
      return;
    }
    const topic = TOPICS[from % TOPICS.length]!;
    if (op % 3 === 0) {
      const id = this.#make('table', 's', 's');
      this.#line('table', { id, topic, ...this.#named(name), ...this.#stored(other, flags) });
      return;
    }
    const id = this.#make('stream', 's', 's');
    const second = TOPICS[other % TOPICS.length]!;
    const topics = flags % 16 === 1 ? `${topic},${second}` : topic;
    const subscription: Record<string, string> = flags % 16 === 2 ? { pattern: `p-${other % 2}.*` } : { topics };
    const reset: Record<string, string> = flags % 32 === 3 ? { reset: 'earliest' } : {};
    this.#line('stream', { id, ...subscription, ...this.#named(name), ...reset });
  }

  #derived(step: Choices): void {
    const from = this.#made[step.from % this.#made.length]!;
    if (from.kind === 'grouped') this.#aggregate(from, step);
    else if (from.kind === 'table') this.#onTable(from, step);
    else this.#onStream(from, step);
  }

  #aggregate(from: Made, { op, store, flags, name }: Choices): void {
    const kind = GROUPED_OPS[op % GROUPED_OPS.length]!;
    const counts = kind === 'count' || kind === 'windowedCount';
    const id = this.#make('table', kind === 'windowedCount' ? 'w' : 's', counts ? 'l' : 's');
    const { materialized: _, ...stored } = this.#stored(store, flags);
    this.#line(kind, { id, from: from.id, ...this.#named(name), ...stored });
  }

  #onTable(from: Made, { op, store, flags, name }: Choices): void {
    const kind = TABLE_OPS[op % TABLE_OPS.length]!;
    if (kind === 'toStream') {
      const selects = flags % 3 === 0;
      const id = this.#make('stream', selects ? 's' : from.key, from.value);
      this.#line(kind, { id, from: from.id, selects: selects ? 1 : 0, ...this.#named(name) });
      return;
    }
    const id = this.#make('table', from.key, kind === 'tableMapValues' ? 's' : from.value);
    const stored = from.key === 's' ? this.#stored(store, flags) : {};
    this.#line(kind, { id, from: from.id, value: from.value, ...this.#named(name), ...stored });
  }

  #onStream(from: Made, { op, other, store, flags, name }: Choices): void {
    let kind = STREAM_OPS[op % STREAM_OPS.length]!;
    if (from.key !== 's' || from.value !== 's') kind = flags % 4 === 0 ? 'filter' : 'map';
    const fields: Record<string, unknown> = { from: from.id, ...this.#named(name) };
    if (kind === 'merge') {
      const others = this.#made.filter((m) => m.kind === 'stream' && m.key === 's' && m.value === 's');
      fields['other'] = others[other % others.length]!.id;
    } else if (kind === 'to') fields['topic'] = `out${this.#sinks++}`;
    else if (kind === 'process' || kind === 'processValues') {
      const stores = this.#stores.filter((_store, i) => ((store >> i) & 1) === 1);
      if (stores.length > 0) fields['stores'] = stores.join(',');
    } else if (kind === 'split') {
      const ids = Array.from({ length: 1 + (flags % 3) }, () => this.#make('stream', 's', 's'));
      fields['ids'] = ids.join(',');
      fields['default'] = flags % 2;
      if (other % 3 === 0) fields['branch0'] = `-${WORDS[other % WORDS.length]}`;
    }
    if (kind === 'groupBy' || kind === 'groupByKey') fields['id'] = this.#make('grouped', 's', 's');
    else if (!['to', 'forEach', 'split'].includes(kind)) {
      const kept = kind === 'filter';
      fields['id'] = this.#make('stream', kept ? from.key : 's', kept ? from.value : 's');
    }
    this.#line(kind, fields);
  }

  #make(kind: Made['kind'], key: Made['key'], value: Made['value']): number {
    const id = this.#made.length;
    this.#made.push({ id, kind, key, value });
    return id;
  }

  /** A name in two of five, the same one again in one of a hundred. */
  #named(choice: number): { name?: string } {
    if (choice >= 40) return {};
    const word = WORDS[choice % WORDS.length]!;
    return { name: choice === 39 ? word : `${word}${this.#names++}` };
  }

  #stored(choice: number, flags: number): Record<string, string> {
    return {
      ...(choice % 3 === 0 ? { store: `kept${this.#names++}` } : {}),
      ...(choice % 4 === 0 ? { caching: String(flags % 2) } : {}),
      ...(choice % 5 === 0 ? { materialized: '1' } : {}),
    };
  }

  #line(op: string, fields: Record<string, unknown>): void {
    this.#lines.push([op, ...Object.entries(fields).map(([key, value]) => `${key}=${value}`)].join('\t'));
  }
}
