/** Turns what is handed in into the bytes of a record: each kind's schema, its key, and where it goes. */
import { ByteWriter } from '../bytes.ts';
import { messageOf } from '../errors.ts';
import { anomalySchema } from '../schemas/anomaly.ts';
import { metricSchema } from '../schemas/metric.ts';
import { predictionSchema } from '../schemas/prediction.ts';
import { type AvroSchema, type AvroType, avro, type SchemaRegistry, type Serde, SerdeError } from '../serdes/index.ts';
import { InvalidRecordError, type RecordName } from './errors.ts';
import type { RecordKind } from './inputs.ts';

/** Where a record goes, and its bytes: the key's first, the value's behind them. */
export interface EncodedRecord {
  readonly topic: string;
  readonly timestamp: number;
  readonly bytes: Buffer;
  readonly keyLength: number;
}

/** Every kind has it. */
interface Timed {
  readonly timestamp: number;
}

interface KindDescription<R extends Timed> {
  readonly schema: AvroSchema & { readonly fields: readonly { readonly name: string }[] };
  keyOf(record: R): string;
  /** Fields that may be left out without a default in the schema. */
  standIns(): Partial<R>;
}

type Metric = AvroType<typeof metricSchema>;
type Prediction = AvroType<typeof predictionSchema>;
type Anomaly = AvroType<typeof anomalySchema>;

const now = (): Timed => ({ timestamp: Date.now() });

const METRIC: KindDescription<Metric> = {
  schema: metricSchema,
  keyOf: ({ service, metric_name }) => `${service}:${metric_name}`,
  standIns: () => ({ ...now(), labels: {} }),
};
const PREDICTION: KindDescription<Prediction> = { schema: predictionSchema, keyOf: ({ id }) => id, standIns: now };
const ANOMALY: KindDescription<Anomaly> = { schema: anomalySchema, keyOf: ({ id }) => id, standIns: now };

/** Of each it gets what its schema has. */
const KINDS = { metric: METRIC, prediction: PREDICTION, anomaly: ANOMALY } as unknown as Readonly<
  Record<RecordKind, KindDescription<Timed>>
>;

export interface RecordEncoderOptions {
  readonly kind: RecordKind;
  readonly topic: string;
  readonly registry: SchemaRegistry;
  /** Bytes of a record at most. */
  readonly maxBytes: number;
}

export class RecordEncoder {
  readonly topic: string;
  readonly #options: RecordEncoderOptions;
  readonly #description: KindDescription<Timed>;
  readonly #serde: Serde<Timed>;
  /** The schema's names by those of the inputs. */
  readonly #fields: ReadonlyMap<string, string>;
  readonly #scratch = new ByteWriter(1024);

  constructor(options: RecordEncoderOptions) {
    this.#options = options;
    this.topic = options.topic;
    this.#description = KINDS[options.kind];
    const { schema } = this.#description;
    this.#serde = avro(options.registry, schema) as Serde<Timed>;
    this.#fields = new Map(schema.fields.map(({ name }) => [camelCase(name), name]));
  }

  /** Awaited before the first record: registers the schema, or looks it up. @param signal ends the wait */
  async prepare(signal: AbortSignal): Promise<void> {
    await this.#serde.prepareWrite?.(this.topic, 'value', signal);
  }

  /** @param index see {@link RecordName} @throws InvalidRecordError */
  encode(input: unknown, index: number | undefined): EncodedRecord {
    const { kind, maxBytes } = this.#options;
    const record = this.#recordOf(input, { kind, index });
    const scratch = this.#scratch;
    scratch.reset();
    try {
      // The value's first: it says which field is wrong, and the key is made of fields.
      this.#serde.write(record, scratch, this.topic, 'value');
    } catch (error) {
      if (!(error instanceof SerdeError)) throw error;
      throw invalid({ kind, index }, `does not fit its schema. ${error.message}`, error);
    }
    const { timestamp } = record;
    if (timestamp < 0)
      throw invalid(
        { kind, index },
        'has a negative timestamp: it must be ms since the epoch, which Kafka has from 0.',
      );
    const valueLength = scratch.position;
    scratch.utf8(this.#description.keyOf(record));
    const length = scratch.position;
    if (length > maxBytes) {
      throw new InvalidRecordError(
        'MILLRACE_PRODUCERS_RECORD_TOO_LARGE',
        { kind, index },
        `has ${length} bytes, more than maxBufferedBytes, ${maxBytes}, allows.`,
      );
    }
    const bytes = Buffer.allocUnsafe(length);
    scratch.buffer.copy(bytes, 0, valueLength, length);
    scratch.buffer.copy(bytes, length - valueLength, 0, valueLength);
    return { topic: this.topic, timestamp, bytes, keyLength: length - valueLength };
  }

  /** Under the schema's names. What has a default there stays undefined. */
  #recordOf(input: unknown, name: RecordName): Timed {
    if (typeof input !== 'object' || input === null) throw invalid(name, 'is no object.');
    const record: Record<string, unknown> = { ...this.#description.standIns() };
    try {
      for (const [property, value] of Object.entries(input)) {
        const field = this.#fields.get(property);
        // Under a wrong name it would be lost without a word.
        if (field === undefined) throw this.#unknown(property, name);
        if (value !== undefined) record[field] = value;
      }
    } catch (error) {
      throw error instanceof InvalidRecordError ? error : invalid(name, `cannot be read: ${messageOf(error)}.`, error);
    }
    return record as unknown as Timed;
  }

  #unknown(property: string, name: RecordName): InvalidRecordError {
    return invalid(name, `has no field ${property}; there are ${[...this.#fields.keys()].join(', ')}.`);
  }
}

export function invalid(name: Partial<RecordName>, what: string, cause?: unknown): InvalidRecordError {
  return new InvalidRecordError('MILLRACE_PRODUCERS_INVALID_RECORD', name, what, cause);
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
