/** The topics of a topology under test, as a test writes and reads them. */
import { type Header, NO_HEADERS } from '../headers.ts';
import { type Serde, serialize } from '../serdes/index.ts';

/** A record as written to a topic. */
export interface ProducedRecord {
  readonly topic: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timestamp: number;
  readonly headers: readonly Header[];
}

/** A record of an output topic. */
export interface TestRecord<K, V> {
  readonly key: K | null;
  readonly value: V | null;
  readonly timestamp: number;
  readonly headers: readonly Header[];
}

export class TestInputTopic<K, V> {
  readonly #pipe: (record: ProducedRecord) => Promise<void>;
  readonly #topic: string;
  readonly #key: Serde<K>;
  readonly #value: Serde<V>;
  #nextTimestamp = 0;

  constructor(pipe: (record: ProducedRecord) => Promise<void>, topic: string, key: Serde<K>, value: Serde<V>) {
    this.#pipe = pipe;
    this.#topic = topic;
    this.#key = key;
    this.#value = value;
  }

  /** @param timestamp ms since the epoch; default: that of the record before */
  async pipeInput(
    key: K | null,
    value: V | null,
    timestamp = this.#nextTimestamp,
    headers: readonly Header[] = NO_HEADERS,
  ): Promise<void> {
    this.#nextTimestamp = timestamp;
    await this.#key.prepareWrite?.(this.#topic, 'key');
    await this.#value.prepareWrite?.(this.#topic, 'value');
    await this.#pipe({
      topic: this.#topic,
      key: serialize(this.#key, key, this.#topic, 'key'),
      value: serialize(this.#value, value, this.#topic, 'value'),
      timestamp,
      headers,
    });
  }
}

export class TestOutputTopic<K, V> {
  readonly #records: () => ProducedRecord[];
  readonly #topic: string;
  readonly #key: Serde<K>;
  readonly #value: Serde<V>;

  constructor(records: () => ProducedRecord[], topic: string, key: Serde<K>, value: Serde<V>) {
    this.#records = records;
    this.#topic = topic;
    this.#key = key;
    this.#value = value;
  }

  /** The records not read yet, which are read with this. */
  readRecords(): TestRecord<K, V>[] {
    return this.#records()
      .splice(0)
      .map(({ key, value, timestamp, headers }) => ({
        key: key === null ? null : this.#key.read(key, 0, key.length, this.#topic, 'key'),
        value: value === null ? null : this.#value.read(value, 0, value.length, this.#topic, 'value'),
        timestamp,
        headers,
      }));
  }

  /** Like `readRecords`, as pairs of key and value. */
  readKeyValues(): [K | null, V | null][] {
    return this.readRecords().map(({ key, value }) => [key, value]);
  }
}
