/**
 * Windowed keys in Kafka Streams' bytes: on a topic `key | start int64`; in a store and its changelog
 * `key | start int64 | sequence int32`.
 */
import { readInt64 } from '../bytes.ts';
import { DeserializationError, SerdeOptionError, SerializationError } from './errors.ts';
import { kindOf } from './kinds.ts';
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
/** Approximate bytes in memory of a window and of what holds it and the key. */
const WINDOW_BYTES = 48;

const WINDOWED = new WeakMap<object, Map<number, Serde<Windowed<unknown>>>>();
/** By the inner serde's token: the size of a window is not among the bytes. */
const TOKENS = new WeakMap<object, object>();

/**
 * Keys of time windows of one size, as `WindowedSerdes.timeWindowedSerdeFrom` in Java. The same serde for the same inner one
 * and size.
 * @param sizeMs the windows' size, a whole number ≥ 1: the end is not on the topic
 * @throws SerdeOptionError
 */
export function timeWindowed<K>(inner: Serde<K>, sizeMs: number): Serde<Windowed<K>> {
  if (!(Number.isSafeInteger(sizeMs) && sizeMs >= 1))
    throw new SerdeOptionError(`timeWindowed: a window size of ${sizeMs} ms; it must be a whole number ≥ 1.`);
  let sizes = WINDOWED.get(inner);
  if (sizes === undefined) WINDOWED.set(inner, (sizes = new Map()));
  let outer = sizes.get(sizeMs);
  if (outer === undefined) sizes.set(sizeMs, (outer = windowedOf(inner, sizeMs) as Serde<Windowed<unknown>>));
  return outer as Serde<Windowed<K>>;
}

/** What the inner serde has the outer one has. */
function windowedOf<K>(inner: Serde<K>, sizeMs: number): Serde<Windowed<K>> {
  const name = `timeWindowed(${inner.name})`;
  const { bytesToken } = inner;
  return {
    name,
    primitive: false,
    nullable: false,
    // Windows of one key stay in one partition, as in Java; of a key that is a window itself the outer one only is left out.
    unhashedSuffixBytes: START_BYTES,
    ...(inner.prepareWrite && { prepareWrite: (topic, side, signal) => inner.prepareWrite!(topic, side, signal) }),
    ...(inner.sizeOf && { sizeOf: ({ key }) => WINDOW_BYTES + inner.sizeOf!(key) }),
    ...(bytesToken && { bytesToken: windowedToken(bytesToken) }),
    write(value, out, topic, side) {
      const { key, window } = (value ?? {}) as Partial<Windowed<K>>;
      if (key === null || key === undefined || !Number.isSafeInteger(window?.startMs))
        throw new SerializationError(name, `${kindOf(value)} that is no key with a window`);
      inner.write(key, out, topic, side);
      out.int64(window!.startMs);
    },
    read(buffer, start, end, topic, side) {
      if (end - start < START_BYTES) throw new DeserializationError(name, `${end - start} bytes`);
      const startMs = readInt64(buffer, end - START_BYTES);
      if (!Number.isSafeInteger(startMs)) throw new DeserializationError(name, 'the start of a window is beyond ±2^53');
      const key = inner.read(buffer, start, end - START_BYTES, topic, side);
      return { key, window: { startMs, endMs: Math.min(startMs + sizeMs, Number.MAX_SAFE_INTEGER) } };
    },
  };
}

function windowedToken(inner: object): object {
  let token = TOKENS.get(inner);
  if (token === undefined) TOKENS.set(inner, (token = {}));
  return token;
}
