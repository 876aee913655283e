/**
 * A topology from text, a statement a line, as Program.java builds it: the same operators, functions and options, so that
 * what both make of the names, the numbers and the order of the graph can be compared.
 */
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
