/**
 * Takes what a task writes, sink records and changelog records, and encodes it straight into the producer's batches.
 * Mirrors `RecordCollectorImpl`. One scratch buffer per thread: serialising a record allocates nothing.
 */
import { nowReading, nowWriting } from '../../byte-views.ts';
import { ByteWriter } from '../../bytes.ts';
import { type Header, NO_HEADERS } from '../../headers.ts';
import type { DeliveryListener } from '../../kafka/index.ts';
import { partitionForKey } from '../../kafka/murmur2.ts';
import { sharesBytes } from '../../serdes/index.ts';
import type { DeadLetter, SinkNode, StreamRecord } from '../../topology/index.ts';
import { StreamsError } from '../errors.ts';
import type { RecordQueue } from './record-queue.ts';

/** What records are written to; `Producer` is one. Length −1 is null, partition −1 the default partitioning. */
export interface RecordSink {
  send(
    topic: string,
    partition: number,
    timestamp: number,
    keyBuffer: Uint8Array,
    keyStart: number,
    keyLength: number,
    valueBuffer: Uint8Array,
    valueStart: number,
    valueLength: number,
    headers: readonly Header[],
    listener?: DeliveryListener,
  ): void;
  /** 0 where it is not known. */
  partitionCount(topic: string): number;
}

const EMPTY = Buffer.alloc(0);
const KIP_1034 = '__streams.errors.';
const STACKTRACE = 'stacktrace';
/** How often it was tried, which KIP-1034 has no header for. */
const ATTEMPTS_HEADER = '__millrace.errors.attempts';
/** Of a letter without its bytes: how many there were. They are in the topic that the letter names. */
const OMITTED_HEADER = '__millrace.errors.omitted';

export class RecordCollector {
  readonly sink: RecordSink;
  readonly #scratch = new ByteWriter(64 * 1024);

  constructor(sink: RecordSink) {
    this.sink = sink;
  }

  /**
   * Hot. Writes a sink's record.
   * @param origin the queue whose record is being processed: where the node allows it, a value that is still the source's
   *   object, under a serde that can read its bytes, is copied as bytes
   */
  send(node: SinkNode, topic: string, record: StreamRecord<unknown, unknown>, origin: RecordQueue | undefined): void {
    const { key, value } = record;
    const scratch = this.#scratch;
    scratch.reset();
    let keyLength = -1;
    if (key !== null && key !== undefined) {
      node.key.write(key, scratch, topic, 'key');
      keyLength = scratch.position;
    }
    const partition = this.#partition(node, topic, record, keyLength);
    if (
      node.reusesSourceBytes === true &&
      origin !== undefined &&
      value !== null &&
      value === origin.head?.value &&
      sharesBytes(node.value, origin.node.value)
    ) {
      const raw = origin.raw!;
      // Another task's head may have been read since this record was.
      nowReading(raw.buffer, raw.view);
      nowWriting(scratch.buffer, scratch.view);
      this.sink.send(
        topic,
        partition,
        record.timestamp,
        scratch.buffer,
        0,
        keyLength,
        raw.buffer,
        raw.valueStart,
        raw.valueLength,
        record.headers,
      );
      return;
    }
    const valueStart = scratch.position;
    let valueLength = -1;
    if (value !== null && value !== undefined) {
      node.value.write(value, scratch, topic, 'value');
      valueLength = scratch.position - valueStart;
    }
    nowWriting(scratch.buffer, scratch.view);
    this.sink.send(
      topic,
      partition,
      record.timestamp,
      scratch.buffer,
      0,
      keyLength,
      scratch.buffer,
      valueStart,
      valueLength,
      record.headers,
    );
  }

  /**
   * Writes a record to a dead letter topic, with the headers of KIP-1034 and the number of tries. Where it is too large for the
   * topic, with its headers, it goes without its bytes, and says so: a record that its own topic just took must not stop
   * everything.
   */
  sendDeadLetter(topic: string, record: DeadLetter): void {
    const headers = deadLetterHeaders(record);
    const listener: DeliveryListener = {
      delivered: () => {},
      failed: (error) => {
        if (error.code === 'MILLRACE_KAFKA_RECORD_REFUSED')
          this.#sendLetter(topic, { ...record, key: null, value: null }, withoutBytes(headers, record));
      },
    };
    this.#sendLetter(topic, record, headers, listener);
  }

  #sendLetter(
    topic: string,
    { timestamp, key, value }: DeadLetter,
    headers: readonly Header[],
    listener?: DeliveryListener,
  ): void {
    this.sink.send(
      topic,
      -1,
      Math.max(timestamp, 0),
      key ?? EMPTY,
      0,
      key?.length ?? -1,
      value ?? EMPTY,
      0,
      value?.length ?? -1,
      headers,
      listener,
    );
  }

  sendChangelog(
    topic: string,
    partition: number,
    timestamp: number,
    key: Buffer,
    keyStart: number,
    keyEnd: number,
    value: Buffer,
    valueStart: number,
    valueLength: number,
  ): void {
    this.sink.send(
      topic,
      partition,
      timestamp,
      key,
      keyStart,
      keyEnd - keyStart,
      value,
      valueStart,
      valueLength,
      NO_HEADERS,
    );
  }

  #partition(node: SinkNode, topic: string, record: StreamRecord<unknown, unknown>, keyLength: number): number {
    const suffix = node.key.unhashedSuffixBytes ?? 0;
    if (node.partitioner === undefined && suffix === 0) return -1;
    const count = this.sink.partitionCount(topic);
    if (count === 0) {
      throw new StreamsError(
        'MILLRACE_RUNTIME_UNKNOWN_TOPIC',
        `${node.name} computes partitions of topic ${topic}, which is not known. Create it first.`,
        {
          context: { topic, node: node.name },
        },
      );
    }
    const chosen = node.partitioner?.(topic, record.key, record.value, count);
    if (chosen !== undefined) return chosen;
    return keyLength < 0 ? -1 : partitionForKey(this.#scratch.buffer, count, 0, keyLength - suffix);
  }
}

function deadLetterHeaders({ headers, error, topic, partition, offset, attempts }: DeadLetter): Header[] {
  const errors: [name: string, content: string][] = [
    ['exception', error.name],
    [STACKTRACE, error.stack ?? ''],
    ['message', error.message],
  ];
  if (topic !== null) errors.push(['topic', topic], ['partition', String(partition)], ['offset', String(offset)]);
  return [
    ...headers,
    ...errors.map(([name, content]) => header(KIP_1034 + name, content)),
    header(ATTEMPTS_HEADER, String(attempts)),
  ];
}

function withoutBytes(headers: readonly Header[], { key, value }: DeadLetter): Header[] {
  const kept = headers.filter((one) => one.key.startsWith(KIP_1034) && one.key !== KIP_1034 + STACKTRACE);
  return [...kept, header(OMITTED_HEADER, `key ${key?.length ?? 0} bytes, value ${value?.length ?? 0} bytes`)];
}

function header(key: string, content: string): Header {
  return { key, value: Buffer.from(content) };
}
