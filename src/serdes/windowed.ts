/**
 * Windowed keys in Kafka Streams' bytes: on a topic `key | start int64`; in a store and its changelog
 * `key | start int64 | sequence int32`.
 */
import { readInt64 } from '../bytes.ts';
import { DeserializationError } from './errors.ts';
import type { Serde } from './serde.ts';

/** A time window: start inclusive, end exclusive, in ms since the epoch. */
export interface Window {
  readonly startMs: number;
  readonly endMs: number;
}

/** A key of a windowed table. */
export interface Windowed<K> {
  readonly key: K;
  readonly window: Window;
}

const START_BYTES = 8;

/**
 * Keys of time windows of one size, as `WindowedSerdes.timeWindowedSerdeFrom` in Java.
 * @param sizeMs the windows' size: the end is not on the topic
 */
export function timeWindowed<K>(inner: Serde<K>, sizeMs: number): Serde<Windowed<K>> {
  return {
    name: `timeWindowed(${inner.name})`,
    primitive: false,
    nullable: false,
    // Windows of one key stay in one partition, as in Java.
    unhashedSuffixBytes: START_BYTES,
    ...(inner.prepareWrite === undefined ? {} : { prepareWrite: inner.prepareWrite.bind(inner) }),
    write(value, out, topic, side) {
      inner.write(value.key, out, topic, side);
      out.int64(value.window.startMs);
    },
    read(buffer, start, end, topic, side) {
      if (end - start < START_BYTES) throw new DeserializationError('timeWindowed', `${end - start} bytes`);
      const startMs = readInt64(buffer, end - START_BYTES);
      const key = inner.read(buffer, start, end - START_BYTES, topic, side);
      return { key, window: { startMs, endMs: Math.min(startMs + sizeMs, Number.MAX_SAFE_INTEGER) } };
    },
  };
}
