/**
 * Operators on one record at a time. Mirrors KStreamFilter, KStreamMap, KStreamFlatMap, KStreamPeek and their kin. What a
 * function of the user's returns goes through `resultOf` or `answerOf`, which refuse promises.
 */
import {
  answerOf,
  type InternalProcessorContext,
  type Processor,
  type ProcessorContext,
  resultOf,
  StreamRecord,
} from '../topology/index.ts';

/** Keeps the context; what every operator that forwards needs. */
export abstract class ForwardingProcessor<KIn, VIn, KOut, VOut> implements Processor<KIn, VIn, KOut, VOut> {
  protected context!: InternalProcessorContext<KOut, VOut>;
  /** The operator's name. */
  protected node = '';

  init(context: ProcessorContext<KOut, VOut>): void {
    this.context = context as InternalProcessorContext<KOut, VOut>;
    this.node = this.context.nodeName;
  }

  abstract process(record: StreamRecord<KIn, VIn>): void;
}

export class FilterProcessor<K, V> extends ForwardingProcessor<K, V, K, V> {
  readonly #predicate: (key: K, value: V) => boolean;
  readonly #keep: boolean;

  constructor(predicate: (key: K, value: V) => boolean, keep: boolean) {
    super();
    this.#predicate = predicate;
    this.#keep = keep;
  }

  process(record: StreamRecord<K, V>): void {
    const { key, value } = record;
    if (answerOf(this.#predicate(key, value), this.node) === this.#keep) this.context.forward(record);
  }
}

export class MapProcessor<K, V, K2, V2> extends ForwardingProcessor<K, V, K2, V2> {
  readonly #mapper: (key: K, value: V) => readonly [K2, V2];

  constructor(mapper: (key: K, value: V) => readonly [K2, V2]) {
    super();
    this.#mapper = mapper;
  }

  process(record: StreamRecord<K, V>): void {
    const { node } = this;
    const [key, value] = resultOf(this.#mapper(record.key, record.value), node);
    this.context.forward(
      new StreamRecord(resultOf(key, node), resultOf(value, node), record.timestamp, record.headers),
    );
  }
}

export class MapValuesProcessor<K, V, V2> extends ForwardingProcessor<K, V, K, V2> {
  readonly #mapper: (value: V, key: K) => V2;

  constructor(mapper: (value: V, key: K) => V2) {
    super();
    this.#mapper = mapper;
  }

  process(record: StreamRecord<K, V>): void {
    this.context.forward(record.withValue(resultOf(this.#mapper(record.value, record.key), this.node)));
  }
}

export class SelectKeyProcessor<K, V, K2> extends ForwardingProcessor<K, V, K2, V> {
  readonly #selector: (key: K, value: V) => K2;

  constructor(selector: (key: K, value: V) => K2) {
    super();
    this.#selector = selector;
  }

  process(record: StreamRecord<K, V>): void {
    this.context.forward(record.withKey(resultOf(this.#selector(record.key, record.value), this.node)));
  }
}

export class FlatMapProcessor<K, V, K2, V2> extends ForwardingProcessor<K, V, K2, V2> {
  readonly #mapper: (key: K, value: V) => Iterable<readonly [K2, V2]>;

  constructor(mapper: (key: K, value: V) => Iterable<readonly [K2, V2]>) {
    super();
    this.#mapper = mapper;
  }

  process(record: StreamRecord<K, V>): void {
    const { node } = this;
    for (const [key, value] of resultOf(this.#mapper(record.key, record.value), node)) {
      this.context.forward(
        new StreamRecord(resultOf(key, node), resultOf(value, node), record.timestamp, record.headers),
      );
    }
  }
}

export class FlatMapValuesProcessor<K, V, V2> extends ForwardingProcessor<K, V, K, V2> {
  readonly #mapper: (value: V, key: K) => Iterable<V2>;

  constructor(mapper: (value: V, key: K) => Iterable<V2>) {
    super();
    this.#mapper = mapper;
  }

  process(record: StreamRecord<K, V>): void {
    const { node } = this;
    for (const value of resultOf(this.#mapper(record.value, record.key), node))
      this.context.forward(record.withValue(resultOf(value, node)));
  }
}

/** Calls an action and, unless it is the end of the stream, hands the record on. */
export class PeekProcessor<K, V> extends ForwardingProcessor<K, V, K, V> {
  readonly #action: (key: K, value: V) => unknown;
  readonly #forwards: boolean;

  constructor(action: (key: K, value: V) => unknown, forwards: boolean) {
    super();
    this.#action = action;
    this.#forwards = forwards;
  }

  process(record: StreamRecord<K, V>): void {
    resultOf(this.#action(record.key, record.value), this.node);
    if (this.#forwards) this.context.forward(record);
  }
}

/** Merges and branches are edges: their nodes only hand on. */
export class PassThroughProcessor<K, V> extends ForwardingProcessor<K, V, K, V> {
  process(record: StreamRecord<K, V>): void {
    this.context.forward(record);
  }
}

/** Hands a record to the first branch whose predicate holds. */
export class BranchProcessor<K, V> extends ForwardingProcessor<K, V, K, V> {
  readonly #branches: readonly { readonly child: string; readonly predicate: (key: K, value: V) => boolean }[];

  constructor(branches: readonly { readonly child: string; readonly predicate: (key: K, value: V) => boolean }[]) {
    super();
    this.#branches = branches;
  }

  process(record: StreamRecord<K, V>): void {
    for (const { child, predicate } of this.#branches) {
      if (answerOf(predicate(record.key, record.value), this.node)) {
        this.context.forward(record, child);
        return;
      }
    }
  }
}
