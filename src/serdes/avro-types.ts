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

type RecordOf<Fields, Space extends string> = Fields extends readonly Field[]
  ? { -readonly [F in Fields[number] as F['name']]: AvroType<F['type'], Space> }
  : never;

/**
 * Records become objects, enums unions of their symbols. A reference to a named type by its name is `unknown`: write the
 * type out where it is used.
 *
 * A union becomes a union of its branches' types where the value tells the branch: `['null', 'string']` is
 * `string | null`. Where two branches are one kind of value in JavaScript (two records, a record and a map, two numbers, a
 * string and an enum, bytes and a fixed), each value but null is an object whose one property is the branch's name, with its
 * namespace: `{ 'shop.Order': { … } } | { 'shop.Refund': { … } }`, `{ long: 5 } | { double: 0.5 } | null`. It is Avro's JSON
 * encoding, and what avsc and the Kafka clients built on it give. Values as they are would read nicely and could not be
 * written back: `{ id: 1 }` may be either record, and 5 would turn a double into a long.
 *
 * Of a schema that is an `AvroSchema`, read from a file for example, nothing is known: values are `unknown`.
 *
 * @typeParam Space the namespace of the schema that this one stands in
 */
export type AvroType<S, Space extends string = ''> =
  // A schema that is known at run time only: asking on would never end.
  [AvroSchema] extends [S] ? unknown : KnownType<S, Space>;

type KnownType<S, Space extends string> = S extends keyof Primitives
  ? Primitives[S]
  : S extends string
    ? unknown
    : S extends readonly unknown[]
      ? UnionOf<S, Space>
      : S extends { readonly type: 'record'; readonly fields: infer Fields }
        ? RecordOf<Fields, SpaceOf<S, Space>>
        : S extends { readonly type: 'enum'; readonly symbols: readonly (infer Symbol)[] }
          ? Symbol
          : S extends { readonly type: 'array'; readonly items: infer Items }
            ? AvroType<Items, Space>[]
            : S extends { readonly type: 'map'; readonly values: infer Values }
              ? Record<string, AvroType<Values, Space>>
              : S extends { readonly type: 'fixed' }
                ? Buffer
                : S extends { readonly type: infer Inner }
                  ? AvroType<Inner, Space>
                  : unknown;

type UnionOf<Branches extends readonly unknown[], Space extends string> =
  IsAmbiguous<Branches> extends true ? Wrapped<Branches[number], Space> : AvroType<Branches[number], Space>;

/** An object of one property for each branch but null. */
type Wrapped<Branch, Space extends string> = Branch extends 'null'
  ? null
  : unknown extends AvroType<Branch, Space>
    ? unknown
    : { [Name in BranchName<Branch, Space>]: AvroType<Branch, Space> };

type BranchName<Branch, Space extends string> = Branch extends string
  ? Branch
  : Branch extends { readonly name: infer Name extends string }
    ? FullName<Name, Branch, Space>
    : Branch extends { readonly type: infer Type extends string }
      ? Type
      : never;

/** True where two branches are one kind of value; a reference by name is no kind: the type is `unknown` anyway. */
type IsAmbiguous<Branches, Seen = never> = Branches extends readonly [infer First, ...infer Rest]
  ? KindOf<First> extends never
    ? IsAmbiguous<Rest, Seen>
    : KindOf<First> extends Seen
      ? true
      : IsAmbiguous<Rest, Seen | KindOf<First>>
  : false;

interface Kinds {
  null: 'null';
  boolean: 'boolean';
  int: 'number';
  long: 'number';
  float: 'number';
  double: 'number';
  string: 'string';
  enum: 'string';
  bytes: 'buffer';
  fixed: 'buffer';
  array: 'array';
  map: 'object';
  record: 'object';
}

type KindOf<Branch> = Branch extends keyof Kinds
  ? Kinds[Branch]
  : Branch extends { readonly type: infer Type extends keyof Kinds }
    ? Kinds[Type]
    : never;

type FullName<Name extends string, S, Space extends string> = Name extends `${string}.${string}`
  ? Name
  : S extends { readonly namespace: infer Own extends string }
    ? Qualified<Name, Own>
    : Qualified<Name, Space>;

type Qualified<Name extends string, Space extends string> = Space extends '' ? Name : `${Space}.${Name}`;

/** The namespace of the names within a record. */
type SpaceOf<S, Space extends string> = S extends { readonly namespace: infer Own extends string }
  ? Own
  : S extends { readonly name: infer Name extends string }
    ? Name extends `${string}.${string}`
      ? Parent<Name>
      : Space
    : Space;

/** What stands before the last dot. */
type Parent<Name extends string> = Name extends `${infer Head}.${infer Tail}`
  ? Tail extends `${string}.${string}`
    ? `${Head}.${Parent<Tail>}`
    : Head
  : never;

export interface AvroRecordSchema {
  readonly type: 'record';
  readonly fields: readonly Field[];
}

/** The type of a record of which only some fields are read. */
export type AvroFields<S extends AvroRecordSchema, F> = {
  -readonly [X in S['fields'][number] as X['name'] extends F ? X['name'] : never]: AvroType<X['type'], SpaceOf<S, ''>>;
};
