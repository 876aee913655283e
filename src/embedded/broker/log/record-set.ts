/** What a producer sends for a partition: one batch, as the protocol has it; what is checked and what is written into it. */
import { CorruptRecordError, crc32c, RecordBatch, type TopicPartition } from '../../../kafka/index.ts';

const LOG_APPEND_TIME = 0x08;

/** The batch, walked to its end. @throws KafkaError it is damaged, of an old format, or not what a client may write */
export function validatedBatch(records: Buffer, at: TopicPartition): RecordBatch {
  if (records.length < 17) throw new CorruptRecordError(`${records.length} bytes`, at);
  const batch = new RecordBatch(records, 0, at);
  if (batch.sizeBytes !== records.length) throw new CorruptRecordError('more than one batch, or one cut off', at);
  if (batch.isControl) throw new CorruptRecordError('a control batch from a client', at);
  if (batch.recordCount !== batch.lastOffset - batch.baseOffset + 1 || batch.recordCount === 0)
    throw new CorruptRecordError('record count and offsets differ', at);
  const cursor = batch.records();
  while (cursor.next());
  return batch;
}

export function hasNullKey(batch: RecordBatch): boolean {
  const cursor = batch.records();
  while (cursor.next()) if (cursor.keyLength < 0) return true;
  return false;
}

/** Gives every record of the batch this time. */
export function stampAppendTime(bytes: Buffer, nowMs: number): number {
  bytes.writeInt16BE(bytes.readInt16BE(21) | LOG_APPEND_TIME, 21);
  bytes.writeBigInt64BE(BigInt(nowMs), 35);
  bytes.writeUInt32BE(crc32c(bytes, 21), 17);
  return nowMs;
}

/** Where in the log the batch is, and under which leader: the checksum leaves both out. */
export function placeBatch(bytes: Buffer, baseOffset: number, leaderEpoch: number): void {
  bytes.writeBigInt64BE(BigInt(baseOffset), 0);
  bytes.writeInt32BE(leaderEpoch, 12);
}

export function leaderEpochOf(bytes: Buffer, start = 0): number {
  return bytes.readInt32BE(start + 12);
}
