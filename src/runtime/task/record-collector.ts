/**
 * Takes what a task writes, sink records and changelog records, and encodes it straight into the producer's batches.
 * Mirrors `RecordCollectorImpl`. One scratch buffer per thread: serialising a record allocates nothing.
 */
import { nowReading, nowWriting } from '../../byte-views.ts';
import { ByteWriter } from '../../bytes.ts';
import { type Header, NO_HEADERS } from '../../headers.ts';
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
  ): void;
  /** 0 where it is not known. */
  partitionCount(topic: string): number;
}

const EMPTY = Buffer.alloc(0);
/** How often it was tried, which KIP-1034 has no header for. */
const ATTEMPTS_HEADER = '__millrace.errors.attempts';

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

  /** Writes a record to a dead letter topic, with the headers of KIP-1034 and the number of tries. */
  sendDeadLetter(topic: string, record: DeadLetter): void {
    const { key, value, error } = record;
    const text = (name: string, content: string): Header => ({
      key: `__streams.errors.${name}`,
      value: Buffer.from(content),
    });
    const headers = [
      ...record.headers,
      text('exception', error.name),
      text('stacktrace', error.stack ?? ''),
      text('message', error.message),
      ...(record.topic === null
        ? []
        : [
            text('topic', record.topic),
            text('partition', String(record.partition)),
            text('offset', String(record.offset)),
          ]),
      { key: ATTEMPTS_HEADER, value: Buffer.from(String(record.attempts)) },
    ];
    const timestamp = Math.max(record.timestamp, 0);
    this.sink.send(
      topic,
      -1,
      timestamp,
      key ?? EMPTY,
      0,
      key?.length ?? -1,
      value ?? EMPTY,
      0,
      value?.length ?? -1,
      headers,
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
