/** The inputs of the producers fit the schemas: checked by `npm run typecheck`, never run. */
import type { AnomalyInput, AvroType, MetricInput, PredictionInput } from '../../src/index.ts';
import type { anomalySchema } from '../../src/schemas/anomaly.ts';
import type { metricSchema } from '../../src/schemas/metric.ts';
import type { predictionSchema } from '../../src/schemas/prediction.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<T extends true>(): T | undefined {
  return undefined;
}

type Schema = { readonly fields: readonly { readonly name: string; readonly type: unknown }[] };

type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

/** Each field under its name in the inputs. */
type Fields<S extends Schema> = {
  [F in S['fields'][number] as CamelCase<F['name']>]: AvroType<F['type']>;
};

/** As callers may hand collections in. */
type Read<T> = T extends (infer Item)[] ? readonly Item[] : T extends Record<string, string> ? Readonly<T> : T;

/** Fields of an input that the schema has in another type, or not at all. */
type Strays<S extends Schema, Input> = {
  [P in keyof Input]-?: P extends keyof Fields<S>
    ? Equal<Exclude<Input[P], undefined>, Read<Fields<S>[P]>> extends true
      ? never
      : P
    : P;
}[keyof Input];

is<Equal<Strays<typeof metricSchema, MetricInput>, never>>();
is<Equal<Strays<typeof predictionSchema, PredictionInput>, never>>();
is<Equal<Strays<typeof anomalySchema, AnomalyInput>, never>>();

/** Fields that must be handed in. */
type Needed<T> = { [P in keyof T]-?: Record<never, never> extends Pick<T, P> ? never : P }[keyof T];

/** Fields without a default in the schema. */
type WithoutDefault<S extends Schema> = CamelCase<Exclude<S['fields'][number], { readonly default: unknown }>['name']>;

is<Equal<Needed<MetricInput>, Exclude<WithoutDefault<typeof metricSchema>, 'timestamp' | 'labels'>>>();
is<Equal<Needed<PredictionInput>, Exclude<WithoutDefault<typeof predictionSchema>, 'timestamp'>>>();
is<Equal<Needed<AnomalyInput>, Exclude<WithoutDefault<typeof anomalySchema>, 'timestamp'>>>();

is<Equal<PredictionInput['predictionType'], 'FAILURE' | 'CAPACITY' | 'COST' | 'THREAT' | 'CHURN'>>();
is<Equal<PredictionInput['severity'], 'CRITICAL' | 'HIGH' | 'MEDIUM' | 'LOW' | 'INFO'>>();
