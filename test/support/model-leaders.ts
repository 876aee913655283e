/**
 * Brokers as a fetcher sees them, in memory: each has its own log of a partition and believes to lead it under an epoch, or
 * not to. What metadata shows is said by the test, so that clients may be told of old leaders. Timers are the global ones.
 */
import { ByteWriter } from '../../src/bytes.ts';
import { findApi } from '../../src/embedded/broker/apis/index.ts';
import { FrameReader } from '../../src/embedded/broker/wire-types.ts';
import type { FetcherCluster } from '../../src/kafka/fetcher.ts';
import { ErrorCode, KafkaConnectionError, NO_PRODUCER, RecordBatchBuilder } from '../../src/kafka/index.ts';
import type { ApiRequest } from '../../src/kafka/requests/request.ts';

export interface Replica {
  /** −1: does not lead. */
  epoch: number;
  startOffset: number;
  /** A record each. */
  readonly log: { readonly epoch: number; readonly value: string }[];
}

export interface SeenRequest {
  readonly api: string;
  readonly nodeId: number;
  readonly atMs: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at requests of any API
  readonly body: any;
}

/** A partition of a Fetch, a ListOffsets or an OffsetForLeaderEpoch, with what its API has of these. */
interface AskedPartition {
  readonly partition: number;
  readonly currentLeaderEpoch: number;
  readonly fetchOffset: number;
  readonly timestamp: number;
  readonly leaderEpoch: number;
}

const FETCH = 1;
const LIST_OFFSETS = 2;
const OFFSET_FOR_LEADER_EPOCH = 23;
const EARLIEST = -2;

export class ModelLeaders implements FetcherCluster {
  /** By topic and partition, by node id. */
  readonly replicas = new Map<string, Map<number, Replica>>();
  /** What metadata shows: leader and epoch, by topic and partition. */
  readonly metadata = new Map<string, { leader: number; epoch: number }>();
  readonly seen: SeenRequest[] = [];
  readonly logged: { readonly level: string; readonly fields: object; readonly message: string }[] = [];
  readonly nodes = new Set([1]);
  refreshes = 0;
  lookUps = 0;
  /** Requests that fail, by node. */
  readonly unreachable = new Set<number>();
  /** Requests that are never answered, by node. */
  readonly silent = new Set<number>();
  onRefresh: () => void = () => {};
  /** An error for a partition in place of its answer. */
  fault: (topic: string, partition: number, nodeId: number) => number = () => 0;
  readonly logger: FetcherCluster['logger'];
  #known = new Map<string, { leader: number; epoch: number }>();
  #version = 0;
  #closed: (() => void)[] = [];

  constructor() {
    const at = (level: string) => (fields: object, message: string) =>
      void this.logged.push({ level, fields, message });
    this.logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  }

  readonly connections = connectionsOf(this.nodes);

  /** A partition of values that `nodeId` leads, and metadata says so. */
  lead(partition: number, nodeId: number, epoch: number, values: readonly string[] = [], topic = 't'): Replica {
    const key = `${topic}-${partition}`;
    const all = this.replicas.get(key) ?? new Map<number, Replica>();
    this.replicas.set(key, all);
    const replica = { epoch, startOffset: 0, log: values.map((value) => ({ epoch, value })) };
    all.set(nodeId, replica);
    if (nodeId >= 0) this.nodes.add(nodeId);
    this.metadata.set(key, { leader: nodeId, epoch });
    return replica;
  }

  get metadataVersion(): number {
    return this.#version;
  }

  async refresh(): Promise<void> {
    this.refreshes++;
    await new Promise((resolve) => setTimeout(resolve, 1));
    this.onRefresh();
    this.#known = new Map([...this.metadata].map(([key, entry]) => [key, { ...entry }]));
    this.#version++;
  }

  /** A refresh found other brokers. */
  setNode(nodeId: number, isThere: boolean): void {
    if (isThere) this.nodes.add(nodeId);
    else this.nodes.delete(nodeId);
    this.#version++;
  }

  leaderOf(topic: string, partition: number): number {
    this.lookUps++;
    return this.#known.get(`${topic}-${partition}`)?.leader ?? -1;
  }

  leaderEpochOf(topic: string, partition: number): number {
    this.lookUps++;
    return this.#known.get(`${topic}-${partition}`)?.epoch ?? -1;
  }

  /** Requests of an API, or of all. */
  requests(api?: string): SeenRequest[] {
    return this.seen.filter((request) => api === undefined || request.api === api);
  }

  warnings(): { readonly fields: object; readonly message: string }[] {
    return this.logged.filter(({ level }) => level === 'warn');
  }

  close(): Promise<void> {
    for (const end of this.#closed.splice(0)) end();
    return Promise.resolve();
  }

  async send<T>(nodeId: number, request: ApiRequest<T>): Promise<T> {
    const out = new ByteWriter();
    request.write(out);
    const body = findApi(request.apiKey)!.request.read(new FrameReader(out.copy(), 0, request.apiVersion, false)) as {
      maxWaitMs: number;
      topics: { name: string; partitions: AskedPartition[] }[];
    };
    this.seen.push({ api: request.apiName, nodeId, atMs: Date.now(), body });
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (this.silent.has(nodeId)) await this.untilClosed();
    if (this.unreachable.has(nodeId)) throw new KafkaConnectionError(`nobody at ${nodeId}`);
    const answer = () =>
      body.topics.flatMap(({ name, partitions }) =>
        partitions.map((asked) => this.#answer(request.apiKey, nodeId, name, asked)),
      );
    let partitions = answer();
    const hasSomething = partitions.some(
      (p) => p['errorCode'] !== 0 || (p['records'] as Buffer | undefined)?.length !== 0,
    );
    if (request.apiKey === FETCH && !hasSomething) {
      await Promise.race([new Promise((resolve) => setTimeout(resolve, body.maxWaitMs)), this.untilClosed()]);
      partitions = answer();
    }
    return { throttleTimeMs: 0, errorCode: 0, partitions } as T;
  }

  /** Rejects when the client is closed. */
  untilClosed(): Promise<never> {
    return new Promise((_, reject) => this.#closed.push(() => reject(new KafkaConnectionError('closed'))));
  }

  #answer(apiKey: number, nodeId: number, topic: string, asked: AskedPartition): Record<string, unknown> {
    const { partition } = asked;
    const replica = this.replicas.get(`${topic}-${partition}`)?.get(nodeId);
    const fault = this.fault(topic, partition, nodeId);
    const errorCode =
      fault !== 0
        ? fault
        : replica === undefined || replica.epoch < 0
          ? ErrorCode.NOT_LEADER_OR_FOLLOWER
          : asked.currentLeaderEpoch >= 0 && asked.currentLeaderEpoch < replica.epoch
            ? ErrorCode.FENCED_LEADER_EPOCH
            : asked.currentLeaderEpoch > replica.epoch
              ? ErrorCode.UNKNOWN_LEADER_EPOCH
              : ErrorCode.NONE;
    const at = { topic, partition };
    if (apiKey === LIST_OFFSETS) {
      const offset = errorCode !== 0 ? -1 : asked.timestamp === EARLIEST ? replica!.startOffset : replica!.log.length;
      return { ...at, errorCode, offset, leaderEpoch: -1 };
    }
    if (apiKey === OFFSET_FOR_LEADER_EPOCH) {
      const epochs =
        errorCode !== 0 ? [] : replica!.log.map(({ epoch }) => epoch).filter((e) => e <= asked.leaderEpoch);
      const leaderEpoch = epochs.length === 0 ? -1 : Math.max(...epochs);
      const endOffset = leaderEpoch < 0 ? -1 : replica!.log.findLastIndex(({ epoch }) => epoch <= leaderEpoch) + 1;
      return { ...at, errorCode, leaderEpoch, endOffset };
    }
    return this.#fetch(at, asked.fetchOffset, errorCode, replica);
  }

  #fetch(
    at: { readonly topic: string; readonly partition: number },
    offset: number,
    errorCode: number,
    replica: Replica | undefined,
  ): Record<string, unknown> {
    const end = replica?.log.length ?? -1;
    const isOut = errorCode === 0 && (offset > end || offset < replica!.startOffset);
    const code = isOut ? ErrorCode.OFFSET_OUT_OF_RANGE : errorCode;
    const records = code !== 0 ? Buffer.alloc(0) : Buffer.concat(replica!.log.slice(offset).map(toBatch(offset)));
    return {
      ...at,
      errorCode: code,
      highWatermark: end,
      lastStableOffset: end,
      logStartOffset: 0,
      abortedTransactions: [],
      records,
    };
  }
}

function connectionsOf(nodes: ReadonlySet<number>): FetcherCluster['connections'] {
  return {
    get nodeIds() {
      return [...nodes];
    },
    has: (nodeId) => nodes.has(nodeId),
    fetchedBytes: () => 0,
  };
}

function toBatch(from: number) {
  return ({ epoch, value }: { readonly epoch: number; readonly value: string }, index: number): Buffer => {
    const builder = new RecordBatchBuilder();
    const bytes = Buffer.from(value);
    builder.append(1, bytes, 0, -1, bytes, 0, bytes.length, []);
    const batch = builder.build('none', NO_PRODUCER);
    batch.writeBigInt64BE(BigInt(from + index), 0);
    batch.writeInt32BE(epoch, 12);
    return batch;
  };
}
