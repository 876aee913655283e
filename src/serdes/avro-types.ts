/** The TypeScript type of an Avro schema that was written `as const`. */

export type AvroSchema =
  | string
  | readonly AvroSchema[]
  | { readonly type: AvroSchema | 'record' | 'enum' | 'array' | 'map' | 'fixed'; readonly [property: string]: unknown };

interface Primitives {
  null: null;
  boolean: boolean;
  int: number;
  long: number;
  float: number;
  double: number;
  bytes: Buffer;
  string: string;
}

type Field = { readonly name: string; readonly type: unknown };

type RecordOf<Fields> = Fields extends readonly Field[]
  ? { -readonly [F in Fields[number] as F['name']]: AvroType<F['type']> }
  : never;

/**
 * Records become objects, enums unions of their symbols, unions unions. A reference to a named type by its name is
 * `unknown`: write the type out where it is used.
 */
export type AvroType<S> = S extends keyof Primitives
  ? Primitives[S]
  : S extends string
    ? unknown
    : S extends readonly (infer Branch)[]
      ? AvroType<Branch>
      : S extends { readonly type: 'record'; readonly fields: infer Fields }
        ? RecordOf<Fields>
        : S extends { readonly type: 'enum'; readonly symbols: readonly (infer Symbol)[] }
          ? Symbol
          : S extends { readonly type: 'array'; readonly items: infer Items }
            ? AvroType<Items>[]
            : S extends { readonly type: 'map'; readonly values: infer Values }
              ? Record<string, AvroType<Values>>
              : S extends { readonly type: 'fixed' }
                ? Buffer
                : S extends { readonly type: infer Inner }
                  ? AvroType<Inner>
                  : unknown;

export interface AvroRecordSchema {
  readonly type: 'record';
  readonly fields: readonly Field[];
}

/** The type of a record of which only some fields are read. */
export type AvroFields<S extends AvroRecordSchema, F> = {
  -readonly [X in S['fields'][number] as X['name'] extends F ? X['name'] : never]: AvroType<X['type']>;
};
