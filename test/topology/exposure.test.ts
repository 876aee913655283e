import { afterEach, describe, expect, test } from 'vitest';
import {
  json,
  type KStream,
  type KTable,
  keyValueStore,
  type ProcessorContext,
  StreamsBuilder,
  string,
} from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';
import { exposingNodes } from '../../src/topology/exposure.ts';
import type { InternalProcessorContext, TopologyNode } from '../../src/topology/index.ts';

let driver: TopologyTestDriver | undefined;
afterEach(() => driver?.close());

const s = string();
const IO = { key: s, value: json<{ n: number }>() };
const PURE = { pure: true };
type Rows = KTable<string, { n: number }, never>;
type Updates = KStream<string, { n: number }>;

/** Whether the table's node exposes its rows to what is built on it. */
function exposes(build: (table: Rows) => void): boolean {
  const b = new StreamsBuilder();
  const table = b
    .stream('in', IO)
    .groupByKey()
    .aggregate(
      () => ({ n: 0 }),
      (_k, v) => v,
      { processorName: 'table', name: 'rows', value: IO.value },
    );
  build(table);
  const sub = b.build().subTopologies.find(({ nodes }) => nodes.some(({ name }) => name === 'table'))!;
  return sub.exposingNodes.has('table');
}

const stream =
  (build: (updates: Updates) => void) =>
  (table: Rows): void =>
    build(table.toStream());

describe('a table exposes its rows', () => {
  test.each<[string, (table: Rows) => void]>([
    ['a mapper', stream((x) => x.map((k, v) => [k, v]).to('out', IO))],
    ['an action', stream((x) => x.peek(() => {}).to('out', IO))],
    ['a predicate', stream((x) => x.filter(() => true).to('out', IO))],
    ['a processor', stream((x) => x.process(() => ({ process: () => {} })))],
    ['a processor of values', stream((x) => x.processValues<never>(() => ({ process: () => {} })))],
    ['a selector', stream((x) => x.groupBy((k) => k, IO).count())],
    ['an aggregator', stream((x) => x.groupByKey(IO).reduce((a) => a))],
    [
      'a branch one of whose predicates is not pure',
      stream((x) =>
        x
          .split()
          .branch(() => true, PURE)
          .branch(() => true),
      ),
    ],
    ['a computed topic', stream((x) => x.to(() => 'out', IO))],
    ['a partitioner', stream((x) => x.to('out', { ...IO, partitioner: () => 0 }))],
    ['a partitioner behind repartition()', stream((x) => x.repartition({ ...IO, partitioner: () => 0 }))],
    ['one of two children', stream((x) => void [x.to('out', IO), x.forEach(() => {})])],
    [
      'a mapper behind pure ones',
      stream((x) =>
        x
          .mapValues((v) => v, PURE)
          .merge(x)
          .filter(() => true, PURE)
          .map((k, v) => [k, v]),
      ),
    ],
    ['a table’s mapper', (table) => table.mapValues((v) => v.n)],
    [
      'a table’s predicate',
      (table) =>
        table
          .filter(() => true)
          .toStream()
          .to('out', IO as never),
    ],
    [
      'a table that keeps them',
      (table) => table.filter(() => true, { ...PURE, materialized: { ...IO, name: 'kept' } }),
    ],
  ])('to %s', (_text, build) => {
    expect(exposes(build)).toBe(true);
  });
});

describe('a table does not expose its rows', () => {
  test.each<[string, (table: Rows) => void]>([
    ['to nobody', () => {}],
    ['to a sink', stream((x) => x.to('out', IO))],
    ['to a count', stream((x) => x.groupByKey(IO).count())],
    ['to a repartition topic, whatever comes behind it', stream((x) => x.repartition(IO).forEach(() => {}))],
    [
      'to functions declared pure',
      stream((x) => {
        const mapped = x
          .filter(() => true, PURE)
          .filterNot(() => false, PURE)
          .map((k, v) => [k, v], PURE)
          .mapValues((v) => v, PURE)
          .flatMap((k, v) => [[k, v]], PURE)
          .flatMapValues((v) => [v], PURE)
          .selectKey((k) => k, PURE)
          .peek(() => {}, PURE);
        mapped.to(() => 'out', { ...IO, ...PURE, partitioner: () => 0 });
        mapped.repartition({ ...IO, ...PURE, partitioner: () => 0 });
        mapped.groupBy((k) => k, { ...IO, ...PURE }).count();
        mapped
          .split()
          .branch(() => true, PURE)
          .defaultBranch();
        mapped.forEach(() => {}, PURE);
      }),
    ],
    [
      'to a table’s functions declared pure',
      (table) =>
        table
          .filter(() => true, PURE)
          .mapValues((v) => v, PURE)
          .toStream((k) => k, PURE)
          .to('out', IO as never),
    ],
  ])('%s', (_text, build) => {
    expect(exposes(build)).toBe(false);
  });
});

test('a node of which nothing is said counts as one that may change what it is given', () => {
  const processor = { kind: 'processor', supplier: () => ({ process: () => {} }), stores: [] } as const;
  const nodes: TopologyNode[] = [
    { ...processor, name: 'a', parents: [], pure: true },
    { ...processor, name: 'b', parents: ['a'], pure: true },
    { ...processor, name: 'c', parents: ['b'] },
    { ...processor, name: 'd', parents: ['c'], pure: true },
  ];
  expect([...exposingNodes(nodes)].sort()).toEqual(['a', 'b']);
});

test('an operator asks its context whether it exposes', async () => {
  const seen: Record<string, boolean> = {};
  const asking = (name: string) => ({
    init(context: ProcessorContext<string, string>) {
      seen[name] = (context as InternalProcessorContext<string, string>).exposesValues;
    },
    process: () => {},
  });
  const b = new StreamsBuilder();
  const store = keyValueStore('store', { key: s, value: s });
  const input = b.stream('in', { key: s, value: s });
  input.process<string, string>(() => asking('written'), { stores: [store] }).to('out', { key: s, value: s });
  input.process<string, string>(() => asking('looked at')).forEach(() => {});
  driver = await TopologyTestDriver.create(b.build());
  expect(seen).toEqual({ written: false, 'looked at': true });
});
