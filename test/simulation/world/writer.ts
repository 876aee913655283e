/**
 * Writes the input: a plain idempotent producer of its own, one batch in flight a partition, repeated until it is
 * acknowledged. What it was told is written must never be missing afterwards.
 */
import { partitionForKey, RecordBatchBuilder } from '../../../src/kafka/index.ts';
import { RawClient } from '../../support/raw-client.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Owner } from '../kernel/owner.ts';
import type { Random } from '../kernel/random.ts';
import type { Cluster } from './cluster.ts';

export interface PlannedRecord {
  readonly id: number;
  /** Virtual ms from the start of the run. */
  readonly atMs: number;
  readonly topic: string;
  readonly key: string;
  readonly by: string;
  /** ms that the record's timestamp is behind the time of its writing. */
  readonly lateMs: number;
}

const TIMEOUT_MS = 5_000;
const PAUSE_MS = 200;
const NONE = 0;
const DUPLICATE = 46;
const UNKNOWN_TOPIC = 3;
/** The broker has lost what it knew of this producer: a new id is due. */
const LOST_PRODUCER = new Set([45, 47, 59]);

interface Identity {
  producerId: number;
  producerEpoch: number;
  sequence: number;
}

export class Writer {
  readonly owner: Owner;
  /** Numbers of the records that the broker has acknowledged. */
  readonly acknowledged = new Set<number>();
  readonly #kernel: Kernel;
  readonly #cluster: Cluster;
  readonly #lanes = new Map<string, PlannedRecord[]>();
  #left: number;

  constructor(kernel: Kernel, cluster: Cluster, plan: readonly PlannedRecord[]) {
    this.#kernel = kernel;
    this.#cluster = cluster;
    this.#left = plan.length;
    this.owner = kernel.createOwner('writer', 'writer');
    for (const record of plan)
      kernel.schedule(record.atMs * 1000 - kernel.nowUs, this.owner, 'call', () => this.#write(record));
  }

  get isDone(): boolean {
    return this.#left === 0;
  }

  #write(record: PlannedRecord): void {
    const partitions = this.#cluster.partitionsOf(record.topic);
    if (partitions === 0) {
      // The topic is gone, and what was to go there with it.
      this.#left--;
      return;
    }
    const key = Buffer.from(record.key);
    const partition = partitionForKey(key, partitions, 0, key.length);
    const name = `${record.topic}/${partition}`;
    const lane = this.#lanes.get(name);
    if (lane !== undefined) lane.push(record);
    else {
      const fresh = [record];
      this.#lanes.set(name, fresh);
      void this.#run(record.topic, partition, fresh);
    }
  }

  async #run(topic: string, partition: number, lane: PlannedRecord[]): Promise<void> {
    const connection = new Reconnecting(this.#cluster);
    let identity: Identity | undefined;
    /** The same until it is acknowledged: a broker knows a repetition by its sequences. */
    let batch: PlannedRecord[] = [];
    for (;;) {
      if (batch.length === 0) batch = lane.splice(0, 10);
      if (batch.length === 0) {
        await this.#kernel.sleep(10);
        continue;
      }
      try {
        identity ??= await newIdentity(connection);
        const records = build(batch, identity);
        const answer = (await connection.call('Produce', 9, {
          transactionalId: null,
          acks: -1,
          timeoutMs: TIMEOUT_MS,
          topics: [{ name: topic, partitions: [{ partition, records }] }],
        })) as { topics: { partitions: { errorCode: number }[] }[] };
        const code = answer.topics[0]!.partitions[0]!.errorCode;
        if (code === NONE || code === DUPLICATE) {
          identity.sequence += batch.length;
          this.#left -= batch.length;
          for (const { id } of batch) this.acknowledged.add(id);
          batch = [];
          continue;
        }
        // Another node may lead it.
        connection.drop();
        if (LOST_PRODUCER.has(code)) identity = undefined;
        else if (code === UNKNOWN_TOPIC && this.#cluster.partitionsOf(topic) <= partition) {
          this.#left -= batch.length + lane.length;
          batch = [];
          lane.length = 0;
        }
      } catch {
        connection.drop();
      }
      await this.#kernel.sleep(PAUSE_MS);
    }
  }
}

/** A connection to the first broker that answers. */
class Reconnecting {
  readonly #cluster: Cluster;
  #client: RawClient | undefined;
  #turn = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  drop(): void {
    this.#client?.close();
    this.#client = undefined;
    this.#turn++;
  }

  /** @throws Error no connection, no answer in time */
  async call(api: string, version: number, request: unknown): Promise<unknown> {
    const { brokers } = this.#cluster;
    if (this.#client?.isOpen !== true)
      this.#client = await inTime(RawClient.connect(brokers[this.#turn % brokers.length]!));
    return inTime(this.#client.call(api, version, request, 'writer'));
  }
}

function inTime<T>(promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no answer in time')), TIMEOUT_MS);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

async function newIdentity(connection: Reconnecting): Promise<Identity> {
  const answer = (await connection.call('InitProducerId', 1, {
    transactionalId: null,
    transactionTimeoutMs: 60_000,
  })) as {
    errorCode: number;
    producerId: number;
    producerEpoch: number;
  };
  if (answer.errorCode !== NONE) throw new Error(`InitProducerId: ${answer.errorCode}`);
  return { producerId: answer.producerId, producerEpoch: answer.producerEpoch, sequence: 0 };
}

function build(records: readonly PlannedRecord[], { producerId, producerEpoch, sequence }: Identity): Buffer {
  const builder = new RecordBatchBuilder();
  for (const { id, by, key, atMs, lateMs } of records) {
    const keyBytes = Buffer.from(key);
    const value = Buffer.from(JSON.stringify({ id, by }));
    builder.append(START_MS + atMs - lateMs, keyBytes, 0, keyBytes.length, value, 0, value.length, []);
  }
  return builder.build('none', { producerId, producerEpoch, baseSequence: sequence });
}

/** Timestamps count from here: the virtual clock's beginning. */
const START_MS = Date.UTC(2030, 0, 1);

const BURSTS = 5;
/** How long one lasts, on average. */
const BURST_MS = 300;

export interface WorkloadOptions {
  readonly records: number;
  readonly firstId: number;
  readonly keys: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly topics: readonly string[];
  /** ms that records are late at most. */
  readonly lateMs: number;
  /** Share of the records that come in bursts. */
  readonly bursts: number;
}

/** Which records are written when, by the seed. A shorter plan is the beginning of a longer one. */
export function planRecords(random: Random, options: WorkloadOptions): PlannedRecord[] {
  const { records, firstId, keys, fromMs, toMs, topics, lateMs, bursts } = options;
  const centers = Array.from({ length: BURSTS }, () => random.between(fromMs, toMs));
  const timeMs = (): number =>
    random.chance(bursts)
      ? Math.min(toMs, random.pick(centers) + random.exponential(BURST_MS))
      : random.between(fromMs, toMs);
  return Array.from({ length: records }, (_, index) => {
    const draw = random.next() ** 2;
    return {
      id: firstId + index,
      atMs: Math.round(timeMs()),
      key: `k${Math.floor(draw * keys)}`,
      by: `b${random.int(0, keys - 1)}`,
      topic: random.pick(topics),
      lateMs: random.chance(0.2) ? random.int(0, lateMs) : 0,
    };
  });
}
