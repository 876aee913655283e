/**
 * What DSL calls leave behind: a node for each, which writes the topology's nodes when it is built, and the counter that
 * names come from. Mirrors `InternalStreamsBuilder` and `GraphNode`: nodes are written parents first, else by build
 * priority, which is the order of the calls; sub-topologies are numbered by what is written first.
 */
import type { AnyStoreDescription } from '../state/index.ts';
import { type SourceNode, type Topology, TopologyBuilder, TopologyError } from '../topology/index.ts';
import { extractorOf } from './user-functions.ts';

/** Writes a node; its parents are given by name, in Java's order. */
type Write = (topology: TopologyBuilder, parents: readonly string[]) => void;

/** What one call of the DSL adds. */
export interface GraphNode {
  /** The node in the topology whose output this is. */
  readonly name: string;
  readonly graph: Graph;
}

interface Entry extends GraphNode {
  readonly parents: readonly Entry[];
  readonly write: Write;
  priority: number;
  /** A stream's source of topics that a source before it reads: one source reads them for both. */
  readonly sameAs: Entry | undefined;
}

type StreamSource = Omit<SourceNode, 'kind'>;

export class Graph {
  readonly #entries: Entry[] = [];
  /** Sources of streams by their topics, for what reads the same. */
  readonly #streamSources = new Map<string, { readonly entry: Entry; readonly source: StreamSource }>();
  readonly #stores: AnyStoreDescription[] = [];
  readonly #repartitionTopics = new Set<string>();
  #counter = 0;
  #priority = 0;

  /** The next generated name: prefix and a ten-digit number; every call burns a number. */
  nextName(prefix: string): string {
    return `${prefix}${String(this.#counter++).padStart(10, '0')}`;
  }

  /** A name the user gave stands, but burns a number all the same, as in Java. */
  nameOr(given: string | undefined, prefix: string): string {
    const generated = this.nextName(prefix);
    return given ?? generated;
  }

  /** @throws MILLRACE_TOPOLOGY_OTHER_BUILDER a parent belongs to another builder */
  add(name: string, parents: readonly GraphNode[], write: Write): GraphNode {
    for (const parent of parents) {
      if (parent.graph === this) continue;
      throw new TopologyError(
        'MILLRACE_TOPOLOGY_OTHER_BUILDER',
        `${name} is to read ${parent.name}, which another StreamsBuilder made. ` +
          'Make both streams with one builder, or write one to a topic and read that.',
        { node: name },
      );
    }
    return this.#entry(name, [...new Set(parents)] as Entry[], write);
  }

  /**
   * A stream's source. What reads the same topics as one before is that one, whose name stands.
   * @throws MILLRACE_TOPOLOGY_TOPIC_READ_TWICE the same topics with another serde, extractor or reset policy
   */
  streamSource(source: StreamSource): GraphNode {
    const { topics } = source;
    const key = topics instanceof RegExp ? String(topics) : JSON.stringify([...topics].sort());
    const known = this.#streamSources.get(key);
    if (known !== undefined) checkSame(known.source, source);
    const timestamp = extractorOf(source.timestamp, source.name);
    const entry = this.#entry(source.name, [], (t) => t.addSource({ ...source, timestamp }), known?.entry);
    if (known === undefined) this.#streamSources.set(key, { entry, source });
    return entry;
  }

  /** Uses a node once more: it moves behind what was added since, as in Java. */
  reuse(node: GraphNode): void {
    (node as Entry).priority = this.#priority++;
  }

  store(store: AnyStoreDescription): void {
    this.#stores.push(store);
  }

  /** @throws MILLRACE_TOPOLOGY_REPARTITION_EXISTS */
  repartitionTopic(name: string): void {
    if (this.#repartitionTopics.has(name)) {
      throw new TopologyError(
        'MILLRACE_TOPOLOGY_REPARTITION_EXISTS',
        `There is a repartition topic ${name} already. Give the second grouping or repartition() another name; ` +
          'to aggregate one grouping twice, use the grouped stream that groupBy() gave twice.',
        { topic: name },
      );
    }
    this.#repartitionTopics.add(name);
  }

  build(): Topology {
    const topology = new TopologyBuilder();
    for (const store of this.#stores) topology.addStore(store);
    for (const { write, parents } of this.#inWriteOrder()) {
      write(
        topology,
        parentsAsWritten(parents).map(({ name }) => name),
      );
    }
    return topology.build();
  }

  #entry(name: string, parents: readonly Entry[], write: Write, sameAs?: Entry): Entry {
    const entry: Entry = { name, graph: this, parents, write, sameAs, priority: this.#priority++ };
    this.#entries.push(entry);
    return entry;
  }

  /** Of the nodes whose parents are written, the one with the lowest priority is next. */
  #inWriteOrder(): Entry[] {
    const waitsFor = new Map<Entry, number>();
    const children = new Map<Entry, Entry[]>();
    const ready: Entry[] = [];
    const entries = this.#entries.filter((entry) => entry.sameAs === undefined);
    for (const entry of entries) {
      const parents = parentsAsWritten(entry.parents);
      waitsFor.set(entry, parents.length);
      if (parents.length === 0) ready.push(entry);
      for (const parent of parents) {
        const siblings = children.get(parent);
        if (siblings === undefined) children.set(parent, [entry]);
        else siblings.push(entry);
      }
    }
    const written: Entry[] = [];
    while (ready.length > 0) {
      // From the end, which is cheap to take from.
      ready.sort((a, b) => b.priority - a.priority);
      const next = ready.pop()!;
      written.push(next);
      for (const child of children.get(next) ?? []) {
        const left = waitsFor.get(child)! - 1;
        waitsFor.set(child, left);
        if (left === 0) ready.push(child);
      }
    }
    return written;
  }
}

/** Where sources became one, that one stands once and behind the parents of their own, as Java moves the edge. */
function parentsAsWritten(parents: readonly Entry[]): Entry[] {
  const own = parents.filter(({ sameAs }) => sameAs === undefined);
  const merged = parents.filter(({ sameAs }) => sameAs !== undefined).sort((a, b) => a.priority - b.priority);
  return [...new Set([...own, ...merged.map(({ sameAs }) => sameAs!)])];
}

function checkSame(known: StreamSource, source: StreamSource): void {
  const differs = [
    known.key !== source.key && 'the key serde',
    known.value !== source.value && 'the value serde',
    known.timestamp !== source.timestamp && 'the timestamp extractor',
    known.offsetReset !== source.offsetReset && 'the offset reset policy',
    JSON.stringify(known.errorPolicy) !== JSON.stringify(source.errorPolicy) && 'what is done about errors',
  ].filter((difference) => difference !== false);
  if (differs.length === 0) return;
  const { topics } = source;
  const topic = topics instanceof RegExp ? String(topics) : topics.join(', ');
  throw new TopologyError(
    'MILLRACE_TOPOLOGY_TOPIC_READ_TWICE',
    `Two streams read ${topic}; one source would read it for both, but they differ in ${differs.join(' and ')}. ` +
      'Use the first stream twice, or give both the same objects.',
    { topic, node: source.name },
  );
}
