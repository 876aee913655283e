/** `split()`: branches by predicate, in order. Mirrors `BranchedKStream`. */
import { BranchProcessor, PassThroughProcessor } from '../processors/index.ts';
import { type ErrorOptions, errorPolicyOf } from './error-options.ts';
import type { GraphNode } from './graph.ts';
import { KStream, type StreamOrigin } from './kstream.ts';
import { checkName, Prefix } from './names.ts';
import type { FunctionOptions, NamedOptions } from './options.ts';

interface Branch<K, V> {
  readonly child: string;
  readonly predicate: (key: K, value: V) => boolean;
  readonly pure: boolean;
}

export class BranchedKStream<K, V> {
  readonly #origin: StreamOrigin;
  readonly #splitter: GraphNode;
  readonly #branches: Branch<K, V>[] = [];
  readonly #streams = new Map<string, KStream<K, V>>();

  /** Not for users: `KStream.split()`. */
  constructor(origin: StreamOrigin, options: NamedOptions & ErrorOptions) {
    this.#origin = origin;
    const { node } = origin;
    const splitter = node.graph.nameOr(options.name, Prefix.BRANCH);
    const errorPolicy = errorPolicyOf(options, splitter);
    const branches = this.#branches;
    this.#splitter = node.graph.add(splitter, [node], (topology, parents) => {
      const pure = branches.every((branch) => branch.pure);
      topology.addProcessor({
        name: splitter,
        parents,
        supplier: () => new BranchProcessor(branches),
        stores: [],
        pure,
        errorPolicy,
      });
    });
  }

  /** Records that no earlier branch took and for which the predicate holds. The name, else the index from 1, ends the branch's name. */
  branch(predicate: (key: K, value: V) => boolean, options: FunctionOptions = {}): this {
    this.#add(predicate, options.name ?? String(this.#branches.length + 1), options.pure === true);
    return this;
  }

  /** The rest, as a branch; the result has all branches under the splitter's name and theirs. */
  defaultBranch(options: NamedOptions = {}): ReadonlyMap<string, KStream<K, V>> {
    this.#add(() => true, options.name ?? '0', true);
    return this.#streams;
  }

  /** The rest is dropped. */
  noDefaultBranch(): ReadonlyMap<string, KStream<K, V>> {
    return this.#streams;
  }

  #add(predicate: (key: K, value: V) => boolean, suffix: string, pure: boolean): void {
    const splitter = this.#splitter;
    const child = `${splitter.name}${suffix}`;
    checkName(child);
    splitter.graph.nextName(Prefix.BRANCH);
    this.#branches.push({ child, predicate, pure });
    const node = splitter.graph.add(child, [splitter], (topology, parents) => {
      topology.addProcessor({
        name: child,
        parents,
        supplier: () => new PassThroughProcessor(),
        stores: [],
        pure: true,
      });
    });
    this.#streams.set(child, new KStream({ ...this.#origin, node }));
  }
}
