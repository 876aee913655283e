/** The processor of `processValues`: what it forwards must have the key it was given. Mirrors FixedKeyProcessor. */
import {
  type Cancellable,
  type Processor,
  type ProcessorContext,
  type PunctuationType,
  type RecordMetadata,
  type StreamRecord,
  TopologyError,
} from '../topology/index.ts';

export function fixedKey<K, V, V2>(inner: Processor<K, V, K, V2>): Processor<K, V, K, V2> {
  let guard: FixedKeyContext<K, V2> | undefined;
  return {
    init(context) {
      guard = new FixedKeyContext(context);
      inner.init?.(guard);
    },
    process(record) {
      guard!.current = record;
      inner.process(record);
      guard!.current = undefined;
    },
    close: () => inner.close?.(),
  };
}

class FixedKeyContext<K, V> implements ProcessorContext<K, V> {
  /** The record being processed. */
  current: { readonly key: K } | undefined;
  readonly #context: ProcessorContext<K, V>;

  constructor(context: ProcessorContext<K, V>) {
    this.#context = context;
  }

  get applicationId(): string {
    return this.#context.applicationId;
  }

  get taskId(): string {
    return this.#context.taskId;
  }

  forward(record: StreamRecord<K, V>, childName?: string): void {
    if (this.current !== undefined && record.key !== this.current.key) {
      throw new TopologyError(
        'MILLRACE_TOPOLOGY_KEY_CHANGED',
        'A processor of processValues() forwarded a record under another key. Use process() for that.',
      );
    }
    this.#context.forward(record, childName);
  }

  getStateStore<S>(name: string): S {
    return this.#context.getStateStore(name);
  }

  schedule(
    intervalMs: number,
    type: PunctuationType,
    callback: (timestamp: number) => void | Promise<void>,
  ): Cancellable {
    return this.#context.schedule(intervalMs, type, callback);
  }

  commit(): void {
    this.#context.commit();
  }

  recordMetadata(): RecordMetadata | undefined {
    return this.#context.recordMetadata();
  }

  currentStreamTimeMs(): number {
    return this.#context.currentStreamTimeMs();
  }

  currentSystemTimeMs(): number {
    return this.#context.currentSystemTimeMs();
  }
}
