/** Raw requests about one partition, at one node: what tests of leaders and epochs send. */
import { type BatchIdentity, NO_PRODUCER, RecordBatch, RecordBatchBuilder } from '../../src/kafka/index.ts';
import { RawClient } from './raw-client.ts';

export function batchOf(values: readonly string[], identity: BatchIdentity = NO_PRODUCER): Buffer {
  const builder = new RecordBatchBuilder();
  const key = Buffer.from('k');
  for (const text of values) {
    const value = Buffer.from(text);
    builder.append(Date.now(), key, 0, key.length, value, 0, value.length, []);
  }
  return builder.build('none', identity);
}

export interface FetchOptions {
  readonly version?: number;
  readonly epoch?: number;
  readonly lastFetchedEpoch?: number;
  readonly committed?: boolean;
  readonly minBytes?: number;
  readonly maxWaitMs?: number;
}

export class PartitionClient {
  readonly raw: RawClient;
  readonly #topic: string;
  readonly #partition: number;

  constructor(raw: RawClient, topic: string, partition = 0) {
    this.raw = raw;
    this.#topic = topic;
    this.#partition = partition;
  }

  static async connect(address: string, topic: string, partition = 0): Promise<PartitionClient> {
    return new PartitionClient(await RawClient.connect(address), topic, partition);
  }

  /** What Metadata says of the partition here. */
  async metadata() {
    const { topics } = await this.raw.call('Metadata', 9, {
      topics: [{ name: this.#topic }],
      allowAutoTopicCreation: false,
      includeClusterOperations: false,
      includeTopicOperations: false,
    });
    return topics[0].partitions.find((one: { partition: number }) => one.partition === this.#partition);
  }

  async produce(
    values: readonly string[] | Buffer,
    { acks = -1, timeoutMs = 10_000, version = 8, transactionalId = null as string | null } = {},
  ) {
    const records = Buffer.isBuffer(values) ? values : batchOf(values);
    const topics = [{ name: this.#topic, partitions: [{ partition: this.#partition, records }] }];
    const answer = await this.raw.call('Produce', version, { transactionalId, acks, timeoutMs, topics });
    return answer.topics[0].partitions[0];
  }

  async fetch(offset: number, options: FetchOptions = {}) {
    const { version = 12, epoch = -1, lastFetchedEpoch = -1, committed = false, minBytes = 1, maxWaitMs = 0 } = options;
    const answer = await this.raw.call('Fetch', version, {
      replicaId: -1,
      maxWaitMs,
      minBytes,
      maxBytes: 50e6,
      isolationLevel: committed ? 1 : 0,
      sessionId: 0,
      sessionEpoch: -1,
      topics: [
        {
          name: this.#topic,
          partitions: [
            {
              partition: this.#partition,
              currentLeaderEpoch: epoch,
              fetchOffset: offset,
              lastFetchedEpoch,
              logStartOffset: -1,
              maxBytes: 50e6,
            },
          ],
        },
      ],
      forgotten: [],
      rackId: '',
    });
    const { records, ...rest } = answer.topics[0].partitions[0];
    return { ...rest, values: valuesOf(records[0]), epochs: epochsOf(records[0]) };
  }

  /** @param timestamp −1 the end, −2 the start */
  async listOffset(timestamp: number, { version = 7, epoch = -1, committed = false } = {}) {
    const partitions = [{ partition: this.#partition, currentLeaderEpoch: epoch, timestamp }];
    const answer = await this.raw.call('ListOffsets', version, {
      replicaId: -1,
      isolationLevel: committed ? 1 : 0,
      topics: [{ name: this.#topic, partitions }],
    });
    return answer.topics[0].partitions[0];
  }

  async endOfEpoch(leaderEpoch: number, { version = 4, epoch = -1 } = {}) {
    const partitions = [{ partition: this.#partition, currentLeaderEpoch: epoch, leaderEpoch }];
    const answer = await this.raw.call('OffsetForLeaderEpoch', version, {
      replicaId: -1,
      topics: [{ name: this.#topic, partitions }],
    });
    return answer.topics[0].partitions[0];
  }

  async deleteRecords(offset: number) {
    const partitions = [{ partition: this.#partition, offset }];
    const answer = await this.raw.call('DeleteRecords', 1, {
      topics: [{ name: this.#topic, partitions }],
      timeoutMs: 5000,
    });
    return answer.topics[0].partitions[0];
  }
}

function batchesOf(records: Buffer): { readonly batch: RecordBatch; readonly epoch: number }[] {
  const batches: { batch: RecordBatch; epoch: number }[] = [];
  for (let at = 0; records.length - at >= 12; ) {
    const size = 12 + records.readInt32BE(at + 8);
    if (size > records.length - at) break;
    const batch = new RecordBatch(records, at, { topic: '', partition: 0 });
    batches.push({ batch, epoch: records.readInt32BE(at + 12) });
    at += size;
  }
  return batches;
}

function valuesOf(records: Buffer): string[] {
  return batchesOf(records).flatMap(({ batch }) => {
    const values: string[] = [];
    const cursor = batch.records();
    while (!batch.isControl && cursor.next()) values.push(String(cursor.value()));
    return values;
  });
}

/** partitionLeaderEpoch of each batch. */
function epochsOf(records: Buffer): number[] {
  return batchesOf(records).map(({ epoch }) => epoch);
}
