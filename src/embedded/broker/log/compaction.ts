/**
 * Log compaction: of each key the latest record stays, under its offset; tombstones stay for delete.retention.ms.
 * Mirrors `LogCleaner`. Batches keep their offsets, producers and sequences; one that loses all its records goes, but for
 * the last of each segment, which holds the segment's end.
 */
import { writeInt64, writeVarint } from '../../../bytes.ts';
import { COMPRESSION_IDS, compress, crc32c, type RecordBatch } from '../../../kafka/index.ts';
import type { TopicConfig } from '../topic-config.ts';
import type { ProducerStates } from './producer-states.ts';
import type { Segment } from './segment.ts';

const HEADER_BYTES = 61;

/** @param log of the segments: what is not decided, or not replicated, is left alone */
export function compacted(
  segments: readonly Segment[],
  { producers, lastStableOffset }: { readonly producers: ProducerStates; readonly lastStableOffset: number },
  config: TopicConfig,
  nowMs: number,
): Segment[] {
  const youngest = nowMs - config.number('min.compaction.lag.ms');
  const cleanable = segments.filter((s) => s.endOffset <= lastStableOffset && s.maxTimestamp <= youngest);
  const aborted = producers.aborted(0, Number.POSITIVE_INFINITY);
  const isAborted = (batch: RecordBatch): boolean =>
    batch.isTransactional &&
    aborted.some(
      (a) => a.producerId === batch.producerId && batch.baseOffset >= a.firstOffset && batch.lastOffset <= a.lastOffset,
    );
  const latest = new Map<string, number>();
  for (const segment of cleanable) {
    for (const entry of segment.entries) {
      const batch = segment.batch(entry);
      if (batch.isControl || isAborted(batch)) continue;
      const cursor = batch.records();
      while (cursor.next()) latest.set(cursor.key()!.toString('latin1'), cursor.offset);
    }
  }
  const oldest = nowMs - config.number('delete.retention.ms');
  return segments.map((segment) => {
    if (!cleanable.includes(segment)) return segment;
    const kept: Buffer[] = [];
    for (const [index, entry] of segment.entries.entries()) {
      const batch = segment.batch(entry);
      const [bytes] = segment.read([entry]);
      if (batch.isControl) {
        kept.push(bytes!);
        continue;
      }
      const dropsAll = isAborted(batch);
      const rewritten = rewrite(bytes!, batch, (key, isTombstone, offset) => {
        if (dropsAll || latest.get(key) !== offset) return false;
        return !(isTombstone && batch.maxTimestamp < oldest);
      });
      if (rewritten !== undefined || index === segment.entries.length - 1) kept.push(rewritten ?? emptied(bytes!));
    }
    return segment.replaced(kept);
  });
}

/** The batch with some of its records; undefined where none is left. */
function rewrite(
  bytes: Buffer,
  batch: RecordBatch,
  keeps: (key: string, isTombstone: boolean, offset: number) => boolean,
): Buffer | undefined {
  const records: Buffer[] = [];
  const cursor = batch.records();
  const scratch = Buffer.alloc(10);
  while (cursor.next()) {
    if (!keeps(cursor.key()!.toString('latin1'), cursor.valueLength < 0, cursor.offset)) continue;
    const body = cursor.bodyBytes();
    records.push(Buffer.from(scratch.subarray(0, writeVarint(scratch, body.length, 0))), body);
  }
  const count = records.length / 2;
  if (count === batch.recordCount) return bytes;
  if (count === 0) return undefined;
  const type = batch.compression!;
  const body = compress(type, Buffer.concat(records));
  return sealed(Buffer.concat([bytes.subarray(0, HEADER_BYTES), body]), count, COMPRESSION_IDS[type]);
}

/** A batch without records: it holds its offsets. */
function emptied(bytes: Buffer): Buffer {
  return sealed(Buffer.from(bytes.subarray(0, HEADER_BYTES)), 0, COMPRESSION_IDS.none);
}

function sealed(batch: Buffer, count: number, compression: number): Buffer {
  writeInt64(batch, Number(batch.readBigInt64BE(0)), 0);
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeInt16BE((batch.readInt16BE(21) & ~7) | compression, 21);
  batch.writeInt32BE(count, 57);
  batch.writeUInt32BE(crc32c(batch, 21), 17);
  return batch;
}
