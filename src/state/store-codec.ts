/**
 * A store's keys and values to bytes and back. A stored value is `[timestamp int64] | value`, the changelog's is without
 * the timestamp. What a serde throws gets the names of the store and of the node at work; what is not ours is left to
 * `cause`, its message may hold record content.
 */
import { ByteWriter, latin1, readInt64 } from '../bytes.ts';
import {
  DeserializationError,
  SchemaPendingError,
  type Serde,
  SerdeError,
  SerializationError,
} from '../serdes/index.ts';
import type { LiveEntry, WriteContext } from './live-entry.ts';
import type { AnyStoreDescription } from './store.ts';

/** Memory of the writer above this is given back after a flush. */
const KEPT_BYTES = 1024 * 1024;
const TIMESTAMP_BYTES = 8;

export class StoreCodec<K, V> {
  /** Where a stored value begins, behind its timestamp. */
  readonly valueStart: number;
  readonly #store: string;
  readonly #key: Serde<K>;
  readonly #value: Serde<V>;
  readonly #topic: string;
  readonly #node: () => string | undefined;
  /** Written and read within one call: nothing may be kept in it. */
  #out = new ByteWriter(1024);

  /**
   * @param topic the topic that serdes see
   * @param node the node at work, for errors
   */
  constructor(description: AnyStoreDescription, topic: string, node: () => string | undefined) {
    this.#store = description.name;
    this.#key = description.key;
    this.#value = description.value;
    this.#topic = topic;
    this.#node = node;
    this.valueStart = description.timestamped ? TIMESTAMP_BYTES : 0;
  }

  /** The store's writer, empty. What is in it is gone at the next use of the codec. */
  cleared(): ByteWriter {
    this.#out.reset();
    return this.#out;
  }

  /** @throws SerdeError of the code MILLRACE_SERDES_SERIALIZATION */
  writeKey(key: K, out: ByteWriter): void {
    if (key === null || key === undefined) {
      throw this.#typed(new SerializationError(this.#key.name, `${key} cannot be a store's key`));
    }
    try {
      this.#key.write(key, out, this.#topic, 'key');
    } catch (error) {
      throw this.#typed(error instanceof SerdeError ? error : unwritable(this.#key.name, error));
    }
  }

  /** What stands for the key in a Map: itself where its serde is primitive, else its bytes as text. */
  cacheKeyOf(key: K): K | string {
    return this.#key.primitive ? key : this.keyText(key);
  }

  /** The same, checked, and with nothing of the caller's: a part of a string would keep the whole one in memory. */
  ownCacheKeyOf(key: K): K | string {
    const out = this.cleared();
    this.writeKey(key, out);
    if (!this.#key.primitive) return latin1(out.buffer, 0, out.position);
    const own = this.readKey(out.buffer, 0, out.position);
    return own === key ? own : key;
  }

  /** The key of a cache key; an object of its own. */
  keyOf(cacheKey: K | string): K {
    if (this.#key.primitive) return cacheKey as K;
    const out = this.cleared();
    writeText(out, cacheKey as string);
    return this.readKey(out.buffer, 0, out.position);
  }

  /** Hot. Appends the bytes of a cache key. */
  writeCacheKey(cacheKey: K | string, out: ByteWriter): void {
    if (this.#key.primitive) this.writeKey(cacheKey as K, out);
    else writeText(out, cacheKey as string);
  }

  /** Hot. @throws SerdeError of the code MILLRACE_SERDES_SERIALIZATION */
  writeValue(value: V, out: ByteWriter): void {
    try {
      this.#value.write(value, out, this.#topic, 'value');
    } catch (error) {
      throw this.#typed(error instanceof SerdeError ? error : unwritable(this.#value.name, error));
    }
  }

  /** @throws SerdeError of the code MILLRACE_SERDES_DESERIALIZATION */
  readKey(buffer: Buffer, start: number, end: number): K {
    try {
      return this.#key.read(buffer, start, end, this.#topic, 'key');
    } catch (error) {
      throw this.#typed(error instanceof SerdeError ? error : unreadable(this.#key.name, error));
    }
  }

  /** Hot. @throws SerdeError of the code MILLRACE_SERDES_DESERIALIZATION */
  readValue(buffer: Buffer, start: number, end: number): V {
    try {
      return this.#value.read(buffer, start, end, this.#topic, 'value');
    } catch (error) {
      throw this.#typed(error instanceof SerdeError ? error : unreadable(this.#value.name, error));
    }
  }

  /** The key's bytes as text. */
  keyText(key: K): string {
    const out = this.cleared();
    this.writeKey(key, out);
    return latin1(out.buffer, 0, out.position);
  }

  /**
   * The value's bytes as text, a character each. That takes 16 bytes beside the content; a Buffer takes 100, and may keep
   * 8 KiB that it shared with others.
   */
  valueText(value: V): string {
    const out = this.cleared();
    this.writeValue(value, out);
    return latin1(out.buffer, 0, out.position);
  }

  /** The value of {@link valueText}, an object of its own. */
  valueOfText(text: string): V {
    const out = this.cleared();
    writeText(out, text);
    return this.readValue(out.buffer, 0, out.position);
  }

  /** An entry that is not deleted as it is stored, in the codec's writer. */
  writeStored(entry: LiveEntry<K, V, WriteContext>): ByteWriter {
    const out = this.cleared();
    if (this.valueStart > 0) out.int64(entry.timestamp);
    if (entry.text === undefined) this.writeValue(entry.value!, out);
    else writeText(out, entry.text);
    return out;
  }

  readStored(stored: Buffer): V {
    return this.readValue(stored, this.valueStart, stored.length);
  }

  /** −1 in a store without timestamps. */
  timestampOf(stored: Buffer): number {
    return this.valueStart > 0 ? readInt64(stored, 0) : -1;
  }

  /** Through the serde: an object of its own. What is no object is its own copy. */
  copyOf(value: V): V {
    if (typeof value !== 'object' || value === null) return value;
    const out = this.cleared();
    this.writeValue(value, out);
    return this.readValue(out.buffer, 0, out.position);
  }

  /** Gives back the memory that a large value took. */
  trim(): void {
    if (this.#out.buffer.length > KEPT_BYTES) this.#out = new ByteWriter(1024);
  }

  #typed(error: SerdeError): SerdeError {
    if (error instanceof SchemaPendingError) return error;
    const node = this.#node();
    return new SerdeError(error.code, `Store ${this.#store}: ${error.message}`, {
      cause: error.cause ?? error,
      context: { store: this.#store, ...(node === undefined ? {} : { node }) },
    });
  }
}

/** Appends bytes that are held as text. */
function writeText(out: ByteWriter, text: string): void {
  out.ensure(text.length);
  out.position += out.buffer.write(text, out.position, 'latin1');
}

function unwritable(serde: string, error: unknown): SerdeError {
  return new SerializationError(serde, `it threw ${nameOf(error)}, see the cause`, error);
}

function unreadable(serde: string, error: unknown): SerdeError {
  return new DeserializationError(serde, `it threw ${nameOf(error)}, see the cause`, error);
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : `a ${typeof error}`;
}
