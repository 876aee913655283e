/**
 * The JVM as judge of small random programs: sub-topology numbers, names, stores, internal topics and the order of
 * siblings in describe() are equal to the letter; what Kafka Streams refuses is refused; and where the order in which
 * records reach the outputs is determined, so are outputs, changelogs, stores and dropped counts.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Topology, TopologyError } from '../../src/index.ts';
import type { SourceNode } from '../../src/topology/index.ts';
import { CASES } from './cases.ts';
import { inputsOf } from './inputs.ts';
import { DEFAULT_CACHE_BYTES, type Input, Oracle, type Verdict } from './oracle.ts';
import { describable, ours, withoutExpired } from './ours.ts';
import { buildProgram } from './program.ts';
import { programs, TOPICS } from './random-programs.ts';

let oracle: Oracle;
beforeAll(async () => {
  oracle = await Oracle.start();
});
afterAll(() => oracle?.close());

/** Undefined: refused. */
function build(lines: readonly string[]): Topology | undefined {
  try {
    return buildProgram(lines);
  } catch (error) {
    if (error instanceof TopologyError) return undefined;
    throw error;
  }
}

function topicsOf({ topics }: SourceNode): readonly string[] {
  return topics instanceof RegExp ? [] : topics;
}

/**
 * Java's test driver runs all sub-topologies as one task, ours each as its own: between two inputs of one sub-topology
 * the order is the same only if none of them comes from another sub-topology.
 */
function isOrderDetermined({ subTopologies, repartitionTopics }: Topology): boolean {
  return subTopologies.every(({ sources }) => {
    const topics = sources.flatMap(topicsOf);
    return topics.length <= 1 || !topics.some((topic) => repartitionTopics.has(topic));
  });
}

/**
 * Java's filter of a table that is kept somewhere upstream is given the row as it was before, and says nothing where
 * neither row passes; ours writes a tombstone.
 */
function filtersKeptTable(lines: readonly string[]): boolean {
  const kept = new Set<string>();
  return lines.some((line) => {
    const [op, ...pairs] = line.split('\t');
    const { id, from, store } = Object.fromEntries(pairs.map((pair) => pair.split('=')));
    if (['count', 'reduce', 'aggregate', 'windowedCount'].includes(op!) || store !== undefined || kept.has(from))
      kept.add(id);
    return op!.startsWith('tableFilter') && kept.has(from);
  });
}

/**
 * A store without a cache logs each write in Java, ours the last of each key in a commit: where what ours left out is all
 * there is between the two logs, Java's stands for it.
 */
function fewerLogged(actual: Verdict, expected: Verdict): Verdict {
  const records = { ...actual.records };
  for (const [topic, theirs] of Object.entries(expected.records)) {
    if (!topic.endsWith('-changelog')) continue;
    const lasts = (lines: readonly string[]): string[] =>
      [...new Map(lines.map((line) => [line.split(' ')[0]!, line])).values()]
        .filter((line) => line.split(' ')[1] !== '-')
        .sort();
    const own = records[topic] ?? [];
    let found = 0;
    for (const line of theirs) if (line === own[found]) found++;
    if (found === own.length && lasts(own).join() === lasts(theirs).join()) records[topic] = theirs;
  }
  return { ...actual, describe: describable(actual.describe), records };
}

async function run(lines: readonly string[], topology: Topology, records: readonly Input[], cacheBytes: number) {
  const read = new Set(topology.subTopologies.flatMap((sub) => sub.sources.flatMap(topicsOf)));
  const inputs = records.filter(({ topic }) => read.has(topic));
  const expected = withoutExpired((await oracle.judge(lines, inputs, cacheBytes))!, topology);
  const actual = await ours(topology, inputs, cacheBytes);
  expect(fewerLogged(actual, expected)).toEqual({ ...expected, describe: describable(expected.describe) });
}

test.each(Object.entries(CASES))('%s', async (_name, lines) => {
  const topology = build(lines);
  expect(topology?.describe()).toBe((await oracle.judge(lines, []))?.describe);
  if (topology === undefined) return;
  await fc.assert(
    fc.asyncProperty(inputsOf(TOPICS, 15), (records) => run(lines, topology, records, DEFAULT_CACHE_BYTES)),
    { numRuns: 10 },
  );
});

test('random programs are described, named and refused alike', async () => {
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(programs, async (lines) => {
      const topology = build(lines);
      const expected = await oracle.judge(lines, []);
      expect(topology?.describe()).toBe(expected?.describe);
      if (topology !== undefined) compared++;
    }),
    { numRuns: 6000 },
  );
  expect(compared).toBeGreaterThan(2000);
});

test.each([
  ['with a cache', DEFAULT_CACHE_BYTES],
  ['without a cache', 0],
])('random programs write, keep and drop alike, %s', async (_text, cacheBytes) => {
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(programs, inputsOf(TOPICS, 15), async (lines, records) => {
      const topology = build(lines);
      if (topology === undefined || !isOrderDetermined(topology) || filtersKeptTable(lines)) return;
      await run(lines, topology, records, cacheBytes);
      compared++;
    }),
    { numRuns: 250 },
  );
  expect(compared).toBeGreaterThan(60);
});
