/**
 * The text of `Topology#describe` in Java, to the letter, but for what it prints of a topic extractor. Nodes stand by the
 * size of what hangs below them, then by name; siblings by the sizes at the moment each was added, in the order of a
 * HashMap: that is what `InternalTopologyBuilder#describeSubtopology` does.
 */
import { hashCopyOrder, hashOrder, JavaTreeSet } from './java-order.ts';
import type { TopologyNode } from './nodes.ts';
import type { SubTopology, Topology } from './topology.ts';

/** A node on its way into the text. */
interface Described {
  readonly node: TopologyNode;
  readonly position: number;
  /** Nodes below it by every path, itself included, as far as edges are known. */
  size: number;
  readonly parents: Described[];
  readonly predecessors: JavaTreeSet<Described>;
  readonly successors: JavaTreeSet<Described>;
}

export function describeTopology(topology: Topology): string {
  return `Topologies:\n ${topology.subTopologies.map(describeSubTopology).join('')}`;
}

function describeSubTopology({ id, nodes }: SubTopology): string {
  const byName = new Map<string, Described>();
  nodes.forEach((node, position) => {
    const predecessors = new JavaTreeSet(compare);
    const successors = new JavaTreeSet(compare);
    byName.set(node.name, { node, position, size: 1, parents: [], predecessors, successors });
  });
  const inOrder = [...byName.values()];
  for (const name of hashOrder(hashOrder([...byName.keys()]))) {
    const described = byName.get(name)!;
    for (const parentName of described.node.kind === 'source' ? [] : described.node.parents) {
      const parent = byName.get(parentName)!;
      described.predecessors.add(parent);
      parent.successors.add(described);
      described.parents.push(parent);
      grow(inOrder, parent, described.size);
    }
  }
  const lines = inOrder.sort(compare).map(({ node, predecessors, successors }) => {
    const after = node.kind === 'sink' ? '' : `      --> ${names(successors)}\n`;
    const before = node.kind === 'source' ? '' : `      <-- ${names(predecessors)}\n`;
    return `    ${headline(node)}\n${after}${before}`;
  });
  return `  Sub-topology: ${id}\n${lines.join('')}\n`;
}

function compare(a: Described, b: Described): number {
  if (a === b) return 0;
  return b.size - a.size || (a.node.name < b.node.name ? -1 : 1);
}

/** Adds to a node's size and to those above it, once for each path: parents stand before their children. */
function grow(inOrder: readonly Described[], from: Described, delta: number): void {
  const added = new Map<Described, number>([[from, delta]]);
  for (let position = from.position; position >= 0; position--) {
    const described = inOrder[position]!;
    const by = added.get(described);
    if (by === undefined) continue;
    described.size += by;
    for (const parent of described.parents) added.set(parent, (added.get(parent) ?? 0) + by);
  }
}

function names(set: JavaTreeSet<Described>): string {
  return (
    set
      .values()
      .map(({ node }) => node.name)
      .join(', ') || 'none'
  );
}

function headline(node: TopologyNode): string {
  switch (node.kind) {
    case 'source':
      return `Source: ${node.name} (topics: ${node.topics instanceof RegExp ? node.topics.source : `[${hashCopyOrder(hashCopyOrder(node.topics)).join(', ')}]`})`;
    case 'processor':
      return `Processor: ${node.name} (stores: [${hashCopyOrder(hashOrder(node.stores)).join(', ')}])`;
    case 'sink':
      return `Sink: ${node.name} (${typeof node.topic === 'string' ? `topic: ${node.topic}` : `extractor class: ${node.topic.name || 'anonymous'}`})`;
  }
}
