/**
 * What DSL calls leave behind: steps that write nodes into a topology when it is built, in the order of the calls, and
 * the counter that names come from. Sources of the same topics become one at that time, as in Java.
 */

import type { AnyStoreDescription } from '../state/index.ts';
import { type SourceNode, type Topology, TopologyBuilder } from '../topology/index.ts';

/** Writes a step's nodes; `resolve` gives the name that a parent has after sources were merged. */
type Step = (topology: TopologyBuilder, resolve: (name: string) => string) => void;

export class Graph {
  readonly #steps: Step[] = [];
  readonly #sources: { readonly node: Omit<SourceNode, 'kind'>; readonly mergeable: boolean }[] = [];
  readonly #stores: AnyStoreDescription[] = [];
  #counter = 0;

  /** The next generated name: prefix and a ten-digit number; every call burns a number. */
  nextName(prefix: string): string {
    return `${prefix}${String(this.#counter++).padStart(10, '0')}`;
  }

  /** A name the user gave stands, but burns a number all the same, as in Java. */
  nameOr(given: string | undefined, prefix: string): string {
    const generated = this.nextName(prefix);
    return given ?? generated;
  }

  step(step: Step): void {
    this.#steps.push(step);
  }

  /** @param mergeable a stream's source; tables keep theirs */
  source(node: Omit<SourceNode, 'kind'>, mergeable: boolean): void {
    this.#sources.push({ node, mergeable });
    this.step((topology, resolve) => {
      if (resolve(node.name) === node.name) topology.addSource(node);
    });
  }

  store(store: AnyStoreDescription): void {
    this.#stores.push(store);
  }

  build(): Topology {
    const topology = new TopologyBuilder();
    const renamed = this.#mergeSources();
    for (const store of this.#stores) topology.addStore(store);
    for (const step of this.#steps) step(topology, (name) => renamed.get(name) ?? name);
    return topology.build();
  }

  #mergeSources(): Map<string, string> {
    const renamed = new Map<string, string>();
    const first = new Map<string, string>();
    for (const { node, mergeable } of this.#sources) {
      if (!mergeable) continue;
      const key = node.topics instanceof RegExp ? String(node.topics) : [...node.topics].sort().join(',');
      const known = first.get(key);
      if (known === undefined) first.set(key, node.name);
      else renamed.set(node.name, known);
    }
    return renamed;
  }
}
