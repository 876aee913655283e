/**
 * A stream of records: an immutable description; every call gives another stream and changes none. Mirrors `KStream`.
 * Operators build nodes; what they do to a record is in src/processors, under the same name. Functions are synchronous;
 * where one gives undefined, the stream has null.
 */
import {
  FilterProcessor,
  FlatMapProcessor,
  FlatMapValuesProcessor,
  MapProcessor,
  MapValuesProcessor,
  PassThroughProcessor,
  PeekProcessor,
  SelectKeyProcessor,
} from '../processors/index.ts';
import type { AnyStoreDescription } from '../state/index.ts';
import type {
  AnyProcessor,
  AnySerde,
  BatchHandler,
  CallContext,
  NullFor,
  Processor,
  ProcessorNode,
  Sync,
  TopicNameExtractor,
} from '../topology/index.ts';
import { type ForEachBatchOptions, forEachBatchNode, type MapAsyncOptions, mapAsyncNode } from './asynchronous.ts';
import { BranchedKStream } from './branched.ts';
import { type ErrorOptions, errorPolicyOf } from './error-options.ts';
import { fixedKey } from './fixed-key.ts';
import type { GraphNode } from './graph.ts';
import { GroupedAggregates } from './grouped-aggregates.ts';
import { KGroupedStream } from './grouped-stream.ts';
import { checkName, Prefix, STORE_SUFFIX } from './names.ts';
import type {
  GroupedOptions,
  NamedOptions,
  Narrows,
  OperatorOptions,
  ProducedOptions,
  RepartitionedOptions,
} from './options.ts';
import { repartition } from './repartition.ts';
import { partitionerOf, topicOf } from './user-functions.ts';
import { userProcessor } from './user-processor.ts';

/** Where a stream stands in the graph. */
export interface StreamOrigin {
  /** The node whose output the stream is. */
  readonly node: GraphNode;
  readonly key: AnySerde | undefined;
  readonly value: AnySerde | undefined;
  /** The key has changed since the last topic: grouping by it needs a repartition topic. */
  readonly keyChanged: boolean;
  /**
   * Since the last topic no user code has handed values on, only seen them, but for what is declared pure: a value that is
   * still the source's object is as it was read.
   */
  readonly untouched: boolean;
}

/** Processors with the stores they use; stores not yet known to the builder are added. */
export interface ProcessOptions extends NamedOptions, ErrorOptions {
  readonly stores?: readonly AnyStoreDescription[];
}

const NEW_KEY = { key: undefined, keyChanged: true } as const;

export class KStream<K, V> {
  readonly #origin: StreamOrigin;

  /** Not for users: streams come from a StreamsBuilder. */
  constructor(origin: StreamOrigin) {
    this.#origin = origin;
  }

  /** Keeps the records for which the predicate holds. */
  filter<V2 extends V>(predicate: (key: K, value: V) => value is V2 & V, options?: OperatorOptions): KStream<K, V2>;
  filter(predicate: (key: K, value: V) => boolean, options?: OperatorOptions): KStream<K, V>;
  filter(predicate: (key: K, value: V) => boolean, options: OperatorOptions = {}): KStream<K, V> {
    return this.#then(Prefix.FILTER, options, () => new FilterProcessor(predicate, true));
  }

  /** Keeps the records for which the predicate does not hold. */
  filterNot(predicate: (key: K, value: V) => boolean, options: OperatorOptions = {}): KStream<K, V> {
    return this.#then(Prefix.FILTER, options, () => new FilterProcessor(predicate, false));
  }

  /** A new key and value for each record. Grouping afterwards goes through a repartition topic. */
  map<K2, V2>(
    mapper: (key: K, value: V) => readonly [K2 & Sync<K2>, V2 & Sync<V2>],
    options: OperatorOptions = {},
  ): KStream<NullFor<K2>, NullFor<V2>> {
    return this.#then(Prefix.MAP, options, () => new MapProcessor(mapper), {
      ...NEW_KEY,
      ...this.#newValue(options),
    });
  }

  mapValues<V2>(mapper: (value: V, key: K) => V2 & Sync<V2>, options: OperatorOptions = {}): KStream<K, NullFor<V2>> {
    return this.#then(Prefix.MAPVALUES, options, () => new MapValuesProcessor(mapper), this.#newValue(options));
  }

  /** Any number of records for each. Grouping afterwards goes through a repartition topic. */
  flatMap<K2, V2>(
    mapper: (key: K, value: V) => Iterable<readonly [K2 & Sync<K2>, V2 & Sync<V2>]>,
    options: OperatorOptions = {},
  ): KStream<NullFor<K2>, NullFor<V2>> {
    return this.#then(Prefix.FLATMAP, options, () => new FlatMapProcessor(mapper), {
      ...NEW_KEY,
      ...this.#newValue(options),
    });
  }

  flatMapValues<V2>(
    mapper: (value: V, key: K) => Iterable<V2 & Sync<V2>>,
    options: OperatorOptions = {},
  ): KStream<K, NullFor<V2>> {
    return this.#then(Prefix.FLATMAPVALUES, options, () => new FlatMapValuesProcessor(mapper), this.#newValue(options));
  }

  /** A new key for each record. Grouping afterwards goes through a repartition topic. */
  selectKey<K2>(selector: (key: K, value: V) => K2 & Sync<K2>, options: OperatorOptions = {}): KStream<NullFor<K2>, V> {
    return this.#then(Prefix.KEY_SELECT, options, () => new SelectKeyProcessor(selector), NEW_KEY);
  }

  /** Calls an action with each record and hands it on. Values are not to be changed. */
  peek<R>(action: (key: K, value: V) => R & Sync<R>, options: OperatorOptions = {}): KStream<K, V> {
    return this.#then(Prefix.PEEK, options, () => new PeekProcessor(action, true));
  }

  /** Calls an action with each record: the stream's end. */
  forEach<R>(action: (key: K, value: V) => R & Sync<R>, options: OperatorOptions = {}): void {
    this.#then(Prefix.FOREACH, options, () => new PeekProcessor(action, false));
  }

  /**
   * Both streams' records in one, in no particular order between the two.
   * @throws MILLRACE_TOPOLOGY_OTHER_BUILDER the streams come from two builders
   */
  merge<K2, V2>(other: KStream<K2, V2>, options: NamedOptions = {}): KStream<K | K2, V | V2> {
    const [a, b] = [this.#origin, other.#origin];
    const { graph } = a.node;
    checkName(options.name);
    const name = graph.nameOr(options.name, Prefix.MERGE);
    const node = graph.add(name, [a.node, b.node], (topology, parents) => {
      topology.addProcessor({ name, parents, supplier: () => new PassThroughProcessor(), stores: [], pure: true });
    });
    return new KStream({
      node,
      key: undefined,
      value: undefined,
      keyChanged: a.keyChanged || b.keyChanged,
      untouched: a.untouched && b.untouched,
    });
  }

  /** Routes each record to the first branch whose predicate holds. */
  split(options: NamedOptions & ErrorOptions = {}): BranchedKStream<K, V> {
    checkName(options.name);
    return new BranchedKStream(this.#origin, options);
  }

  /**
   * Through a topic of its own, by key: `<applicationId>-<name>-repartition`. Records with a null key are dropped.
   * @throws MILLRACE_TOPOLOGY_REPARTITION_EXISTS another repartition topic has the name
   */
  repartition<V2 = V>(options: RepartitionedOptions<K, V2> & Narrows<V, V2>): KStream<NonNullable<K>, V2> {
    const { node: parent, untouched } = this.#origin;
    const { name, key, value, partitions, partitioner, pure } = options;
    checkName(name);
    const baseName = name ?? parent.graph.nextName(Prefix.REPARTITION);
    const node = repartition({ parent, baseName, key, value, untouched, partitions, partitioner, pure });
    return new KStream({ node, key, value, keyChanged: false, untouched: true });
  }

  /**
   * Groups by a new key, through a repartition topic. The value serde may be one that reads less of the value (see
   * `avroFields`): only what the aggregation uses is then decoded behind the topic.
   */
  groupBy<K2, V2 = V>(
    selector: (key: K, value: V) => K2 & Sync<K2>,
    options: GroupedOptions<K2, V2> & ErrorOptions & Narrows<V, V2>,
  ): KGroupedStream<NonNullable<K2>, V2> {
    const { name: given, key, value, pure } = options;
    checkName(given);
    const name = this.#origin.node.graph.nameOr(given, Prefix.KEY_SELECT);
    const errorPolicy = errorPolicyOf(options, name);
    const node = this.#add({ name, supplier: () => new SelectKeyProcessor(selector), pure, errorPolicy });
    return new KGroupedStream(new GroupedAggregates({ ...this.#origin, node, key, value, keyChanged: true }, given));
  }

  /** Groups by the key; through a repartition topic only where the key has changed since the last topic. */
  groupByKey(options?: Partial<GroupedOptions<K, V>>): KGroupedStream<NonNullable<K>, V> {
    checkName(options?.name);
    const key = options?.key ?? this.#origin.key;
    const value = options?.value ?? this.#origin.value;
    return new KGroupedStream(new GroupedAggregates({ ...this.#origin, key, value }, options?.name));
  }

  /**
   * Calls an asynchronous function with each record; its results go on as records, in the task's later turns. Grouping
   * afterwards goes through a repartition topic. Records that wait for their results are state: no commit waits for a
   * call, and one that was under way when a process died is called for again. Nothing is lost; a call may be repeated.
   * @throws TopologyError MILLRACE_TOPOLOGY_SERDE_MISSING, MILLRACE_TOPOLOGY_INVALID_OPTION
   */
  mapAsync<K2, V2>(
    fn: (key: K, value: V, context: CallContext) => PromiseLike<readonly [K2, V2]>,
    options: MapAsyncOptions<K, V, NoInfer<K2>, NoInfer<V2>> = {},
  ): KStream<NullFor<K2>, NullFor<V2>> {
    const { node: parent, key, value } = this.#origin;
    const { graph } = parent;
    checkName(options.name);
    const name = graph.nameOr(options.name, Prefix.MAPASYNC);
    const storeName =
      options.name === undefined ? graph.nextName(`${Prefix.MAPASYNC}${STORE_SUFFIX}`) : `${name}-pending`;
    const { store, ...settings } = mapAsyncNode(name, storeName, fn, options, { key, value });
    graph.store(store);
    const node = this.#add({ name, stores: [store.name], ...settings });
    return new KStream({ ...this.#origin, ...NEW_KEY, ...this.#newValue(), node });
  }

  /**
   * Hands records in batches to an asynchronous function: the stream's end. Positions are committed when its promise has
   * resolved, and a batch that fails is tried again as a whole: each record is handled at least once.
   * @throws TopologyError MILLRACE_TOPOLOGY_INVALID_OPTION
   */
  forEachBatch(handler: BatchHandler<K, V>, options: ForEachBatchOptions = {}): void {
    checkName(options.name);
    const name = this.#origin.node.graph.nameOr(options.name, Prefix.FOREACHBATCH);
    this.#add({ name, ...forEachBatchNode(name, handler, options) });
  }

  /** A processor of the user's, a new instance for each task. It may change the key. */
  process<K2, V2>(supplier: () => Processor<K, V, K2, V2>, options: ProcessOptions = {}): KStream<K2, V2> {
    return this.#process(Prefix.PROCESSOR, supplier, options, { ...NEW_KEY, ...this.#newValue() });
  }

  /** A processor that keeps the key: forwarding another one throws. */
  processValues<V2>(supplier: () => Processor<K, V, K, V2>, options: ProcessOptions = {}): KStream<K, V2> {
    return this.#process(Prefix.PROCESSVALUES, supplier, options, this.#newValue(), fixedKey);
  }

  /** Writes to a topic, always encoded by the serdes given here. */
  to(topic: string | TopicNameExtractor<K, V>, options: ProducedOptions<K, V>): void {
    const { node } = this.#origin;
    const { key, value, partitioner: partition, pure } = options;
    checkName(options.name);
    const name = node.graph.nameOr(options.name, Prefix.SINK);
    const partitioner = partitionerOf(partition, name);
    const errorPolicy = errorPolicyOf(options, name);
    node.graph.add(name, [node], (topology, parents) => {
      topology.addSink({ name, parents, topic: topicOf(topic, name), key, value, partitioner, pure, errorPolicy });
    });
  }

  /** Applies an operator of one's own: a plain function from stream to stream. */
  pipe<R>(operator: (stream: this) => R): R {
    return operator(this);
  }

  /** What a function of the user's that hands values on leaves of what was known. */
  #newValue({ pure = false }: OperatorOptions = {}): Pick<StreamOrigin, 'value' | 'untouched'> {
    return { value: undefined, untouched: pure && this.#origin.untouched };
  }

  /** A name that is given burns no number here, unlike elsewhere, as in Java. */
  #process<KIn, VIn, K2, V2>(
    prefix: string,
    supplier: () => Processor<KIn, VIn, K2, V2>,
    { name: given, stores: descriptions = [], ...errors }: ProcessOptions,
    change: Partial<StreamOrigin>,
    wrap: (processor: AnyProcessor) => AnyProcessor = (processor) => processor,
  ): KStream<K2, V2> {
    const { graph } = this.#origin.node;
    checkName(given);
    for (const store of descriptions) graph.store(store);
    const name = given ?? graph.nextName(prefix);
    const stores = descriptions.map((store) => store.name);
    const errorPolicy = errorPolicyOf(errors, name);
    const node = this.#add({ name, supplier: () => wrap(userProcessor(supplier(), name)), stores, errorPolicy });
    return new KStream({ ...this.#origin, ...change, node });
  }

  #then<K2, V2>(
    prefix: string,
    options: OperatorOptions,
    supplier: () => AnyProcessor,
    change: Partial<StreamOrigin> = {},
  ): KStream<K2, V2> {
    checkName(options.name);
    const name = this.#origin.node.graph.nameOr(options.name, prefix);
    const node = this.#add({ name, supplier, pure: options.pure, errorPolicy: errorPolicyOf(options, name) });
    return new KStream({ ...this.#origin, ...change, node });
  }

  #add(processor: Partial<ProcessorNode> & Pick<ProcessorNode, 'name' | 'supplier'>): GraphNode {
    const { node } = this.#origin;
    return node.graph.add(processor.name, [node], (topology, parents) => {
      topology.addProcessor({ stores: [], ...processor, parents });
    });
  }
}
