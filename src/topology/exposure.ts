/**
 * Which nodes hand what they forward to code that may change or keep it. A table that does must hand out a copy, or its
 * rows change behind its back; one that does not need not.
 */
import type { TopologyNode } from './nodes.ts';

/**
 * The nodes below which, within the sub-topology, something is not pure. What is pure may hand the same object on, so it
 * is walked through, to sinks, which write and forget; a sink's partitioner and topic extractor are user code.
 * @param nodes parents before children
 */
export function exposingNodes(nodes: readonly TopologyNode[]): ReadonlySet<string> {
  const exposing = new Set<string>();
  for (const node of [...nodes].reverse()) {
    if (node.kind === 'source' || !(mayTouch(node) || exposing.has(node.name))) continue;
    for (const parent of node.parents) exposing.add(parent);
  }
  return exposing;
}

function mayTouch(node: TopologyNode): boolean {
  if (node.kind === 'source' || node.pure === true) return false;
  return node.kind === 'processor' || typeof node.topic !== 'string' || node.partitioner !== undefined;
}
