/**
 * The text of `Topology#describe` in Java. Nodes by the size of what hangs below them, then by name. Chains come out
 * equal to the letter; siblings may stand in another order, since Java compares sizes that still change.
 */
import type { TopologyNode } from './nodes.ts';
import type { SubTopology, Topology } from './topology.ts';

export function describeTopology(topology: Topology): string {
  return `Topologies:\n ${topology.subTopologies.map(describeSubTopology).join('')}`;
}

function describeSubTopology({ id, nodes }: SubTopology): string {
  const children = new Map<string, string[]>(nodes.map((node) => [node.name, []]));
  for (const node of nodes)
    if (node.kind !== 'source') for (const parent of node.parents) children.get(parent)!.push(node.name);
  const sizes = new Map<string, number>();
  const sizeOf = (name: string): number => {
    let size = sizes.get(name);
    if (size === undefined) {
      size = 1 + children.get(name)!.reduce((sum, child) => sum + sizeOf(child), 0);
      sizes.set(name, size);
    }
    return size;
  };
  const bySize = (a: string, b: string): number => sizeOf(b) - sizeOf(a) || (a < b ? -1 : 1);
  const list = (names: readonly string[]): string => (names.length === 0 ? 'none' : [...names].sort(bySize).join(', '));
  const lines = [...nodes]
    .sort((a, b) => bySize(a.name, b.name))
    .map((node) => {
      const successors = `      --> ${list(children.get(node.name)!)}\n`;
      const predecessors = node.kind === 'source' ? '' : `      <-- ${list(node.parents)}\n`;
      return `    ${headline(node)}\n${node.kind === 'sink' ? '' : successors}${predecessors}`;
    });
  return `  Sub-topology: ${id}\n${lines.join('')}\n`;
}

function headline(node: TopologyNode): string {
  switch (node.kind) {
    case 'source':
      return `Source: ${node.name} (topics: ${node.topics instanceof RegExp ? node.topics.source : `[${node.topics.join(', ')}]`})`;
    case 'processor':
      return `Processor: ${node.name} (stores: [${node.stores.join(', ')}])`;
    case 'sink':
      return `Sink: ${node.name} (${typeof node.topic === 'string' ? `topic: ${node.topic}` : `extractor class: ${node.topic.name || 'anonymous'}`})`;
  }
}
