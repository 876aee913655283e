/**
 * What a committed position carries besides the offset: the partition's time, and each windowed operator's stream time,
 * so that a restart judges lateness as before. Brokers take 4,096 bytes. Kafka Streams' own versions are read too.
 *
 *     base64( 80 | partitionTime int64 | count uint16 | { operator uint16 | time int64 }* )     ours
 *     base64( 01 | partitionTime int64 )   base64( 02 | partitionTime int64 | … )               Kafka Streams'
 */
import { ByteWriter, readInt64 } from '../../bytes.ts';

export interface CommitMetadata {
  readonly partitionTimeMs: number;
  /** By number of the operator within its sub-topology. */
  readonly operatorTimesMs: readonly number[];
}

const VERSION = 0x80;
const HEAD_BYTES = 11;
const OPERATOR_BYTES = 10;
/** Base64 makes four bytes of three. */
const MAX_BYTES = Math.floor((4096 / 4) * 3);

/** Operators that do not fit are left out: they judge lateness anew after a restart. */
export function encodeCommitMetadata({ partitionTimeMs, operatorTimesMs }: CommitMetadata): string {
  const fitting = operatorTimesMs.slice(0, Math.floor((MAX_BYTES - HEAD_BYTES) / OPERATOR_BYTES));
  const out = new ByteWriter(64).int8(VERSION).int64(partitionTimeMs).int16(fitting.length);
  fitting.forEach((timeMs, operator) => {
    out.int16(operator).int64(timeMs);
  });
  return out.copy().toString('base64');
}

/** Metadata of any other form reads as no times. */
export function decodeCommitMetadata(metadata: string | null): CommitMetadata {
  const bytes = Buffer.from(metadata ?? '', 'base64');
  if (bytes.length < 9 || ![1, 2, VERSION].includes(bytes[0]!)) return { partitionTimeMs: -1, operatorTimesMs: [] };
  const partitionTimeMs = readInt64(bytes, 1);
  const operatorTimesMs: number[] = [];
  if (bytes[0] === VERSION && bytes.length >= HEAD_BYTES) {
    const count = bytes.readUInt16BE(9);
    for (let i = 0; i < count && HEAD_BYTES + (i + 1) * OPERATOR_BYTES <= bytes.length; i++) {
      operatorTimesMs[bytes.readUInt16BE(HEAD_BYTES + i * OPERATOR_BYTES)] = readInt64(
        bytes,
        HEAD_BYTES + i * OPERATOR_BYTES + 2,
      );
    }
  }
  return { partitionTimeMs, operatorTimesMs };
}
