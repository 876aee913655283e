/** The context that one processor of a task sees. Mirrors `ProcessorContextImpl`. */
import type { LiveStore } from '../../state/index.ts';
import type {
  AsynchronousEnvironment,
  AsynchronousOperator,
  Cancellable,
  DeadLetter,
  DropReason,
  InternalProcessorContext,
  OperatorTime,
  ProcessingContext,
  PunctuationType,
  RecordBytes,
  RecordMetadata,
  StreamRecord,
  TopologyNode,
} from '../../topology/index.ts';
import { StreamsError } from '../errors.ts';
import { sendDeadLetter } from './dead-letters.ts';
import type { Task } from './task.ts';

/** A node at work. */
export interface RuntimeNode {
  readonly name: string;
  readonly context: NodeContext;
  readonly processor: { process(record: StreamRecord<unknown, unknown>): unknown };
}

export class NodeContext implements InternalProcessorContext {
  readonly applicationId: string;
  readonly taskId: string;
  readonly #task: Task;
  readonly #node: TopologyNode;
  readonly #children: RuntimeNode[] = [];
  #onlyChild: RuntimeNode | undefined;

  constructor(task: Task, node: TopologyNode) {
    this.#task = task;
    this.#node = node;
    this.applicationId = task.options.applicationId;
    this.taskId = task.name;
  }

  get nodeName(): string {
    return this.#node.name;
  }

  get exposesValues(): boolean {
    return this.#task.options.subTopology.exposingNodes.has(this.#node.name);
  }

  addChild(child: RuntimeNode): void {
    this.#children.push(child);
    this.#onlyChild = this.#children.length === 1 ? child : undefined;
  }

  /** Hot: a single child is the usual case. */
  forward(record: StreamRecord<unknown, unknown>, childName?: string): void {
    const task = this.#task;
    const only = this.#onlyChild;
    if (only !== undefined && childName === undefined) {
      task.currentNode = only.name;
      only.processor.process(record);
      // What throws behind a forward is this node again.
      task.currentNode = this.#node.name;
      return;
    }
    let found = childName === undefined;
    for (const child of this.#children) {
      if (childName !== undefined && child.name !== childName) continue;
      found = true;
      task.currentNode = child.name;
      child.processor.process(record);
    }
    task.currentNode = this.#node.name;
    if (!found) {
      throw new StreamsError(
        'MILLRACE_TOPOLOGY_UNKNOWN_CHILD',
        `${this.#node.name} has no child ${childName} to forward to.`,
        {
          context: { node: this.#node.name },
        },
      );
    }
  }

  getStateStore<S>(name: string): S {
    this.#task.liveStore(this.#node.name, name);
    return this.#task.facade(name) as S;
  }

  liveStore<K, V>(name: string): LiveStore<K, V, ProcessingContext> {
    return this.#task.liveStore(this.#node.name, name) as unknown as LiveStore<K, V, ProcessingContext>;
  }

  schedule(
    intervalMs: number,
    type: PunctuationType,
    callback: (timestamp: number) => void | Promise<void>,
  ): Cancellable {
    const { name } = this.#node;
    return this.#task.punctuations.add(name, intervalMs, type, this.#task.options.nowMs(), (timestamp) => {
      this.#task.currentNode = name;
      return callback(timestamp);
    });
  }

  commit(): void {
    this.#task.commitRequested = true;
  }

  recordMetadata(): RecordMetadata | undefined {
    const { topic, partition, offset } = this.#task.context;
    return topic === null ? undefined : { topic, partition, offset };
  }

  currentStreamTimeMs(): number {
    return this.#task.streamTimeMs;
  }

  currentSystemTimeMs(): number {
    return this.#task.options.nowMs();
  }

  drop(reason: DropReason): void {
    this.#task.options.metrics.drop(reason);
  }

  withContext(context: ProcessingContext, run: () => void): void {
    const before = this.#task.context;
    this.#task.context = context;
    this.#task.currentNode = this.#node.name;
    run();
    this.#task.context = before;
  }

  asynchronous(operator: AsynchronousOperator): AsynchronousEnvironment {
    return this.#task.asynchronous(this.#node, operator);
  }

  sourceBytes(): RecordBytes | null {
    return this.#task.sourceBytes();
  }

  sendDeadLetter(letter: DeadLetter): boolean {
    return sendDeadLetter(this.#task, this.#node, letter);
  }

  operatorTime(): OperatorTime {
    const time: OperatorTime = { observedMs: -1 };
    this.#task.operatorTimes.push(time);
    return time;
  }
}
