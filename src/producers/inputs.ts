/**
 * What the services hand in: the fields of the platform's schemas in camelCase. A field that is left out, or undefined, has
 * the schema's default. Each field goes to the one of its name, so that a new one is a line here and nothing else.
 */
import type { predictionSchema } from '../schemas/prediction.ts';
import type { AvroType } from '../serdes/index.ts';

type Prediction = AvroType<typeof predictionSchema>;

/** A measured value. Its key on the topic is `service:metricName`. */
export interface MetricInput {
  readonly service: string;
  readonly metricName: string;
  readonly value: number;
  /** Default: none. */
  readonly labels?: Readonly<Record<string, string>>;
  /** The machine or pod that it was measured on. Default null. */
  readonly node?: string | null;
  /** Of the value. Default null. */
  readonly unit?: string | null;
  /** Where it was measured, `production` for example. Default null. */
  readonly environment?: string | null;
  /** ms since the epoch, ≥ 0; the record on the topic has it too. Default: now. */
  readonly timestamp?: number;
}

/** What is expected to happen. Its key on the topic is the id. */
export interface PredictionInput {
  readonly id: string;
  readonly predictionType: Prediction['prediction_type'];
  readonly service: string;
  /** From 0 to 1. */
  readonly probability: number;
  /** From 0 to 1. */
  readonly confidence: number;
  /** When it is expected, ms since the epoch. Default null. */
  readonly predictedTime?: number | null;
  /** ms since the epoch, ≥ 0; the record on the topic has it too. Default: now. */
  readonly timestamp?: number;
  readonly severity: Prediction['severity'];
  readonly affectedComponents: readonly string[];
  readonly recommendedActions: readonly string[];
  readonly details: Readonly<Record<string, string>>;
}

/** What was found out about a service. Its key on the topic is the id. */
export interface AnomalyInput {
  readonly id: string;
  readonly service: string;
  /** ms since the epoch, ≥ 0; the record on the topic has it too. Default: now. */
  readonly timestamp?: number;
  readonly isAnomaly: boolean;
  readonly anomalyScore: number;
  readonly affectedMetrics: readonly string[];
  /** Alerts go out for `critical` and `high`, in whatever letter case. */
  readonly severity: string;
  /** Default null. */
  readonly rootCause?: string | null;
  /** Default false. */
  readonly remediationSuggested?: boolean;
}

/** A record of `sendBatch`: one property says of which kind it is. */
export type OutgoingRecord =
  | { readonly metric: MetricInput }
  | { readonly prediction: PredictionInput }
  | { readonly anomaly: AnomalyInput };

export interface Inputs {
  readonly metric: MetricInput;
  readonly prediction: PredictionInput;
  readonly anomaly: AnomalyInput;
}

/** What a record is. */
export type RecordKind = keyof Inputs;
