/** What a reader's schema makes of a writer's, case by case; the judge is org.apache.avro (avro.kafka.test.ts). */
import type { Schema } from './schemas.ts';

export interface ResolutionCase {
  readonly name: string;
  readonly writer: Schema;
  readonly reader: Schema;
  readonly value: unknown;
  /** What is read; absent where it is refused. */
  readonly read?: unknown;
  /** Part of the message where it is refused. */
  readonly refused?: string;
  /** What Java does instead, and why we do not. */
  readonly unlikeJava?: string;
}

const record = (...fields: object[]): Schema => ({ type: 'record', name: 'R', fields });
const named = (name: string, ...fields: object[]): Schema => ({ type: 'record', name, fields });
const a = { name: 'a', type: 'long' };
const e = (name: string, symbols: readonly string[], more: object = {}): Schema => ({
  type: 'enum',
  name,
  symbols,
  ...more,
});
const holder = (type: Schema): Schema => record({ name: 'x', type });

export const resolutionCases: readonly ResolutionCase[] = [
  // Fields
  {
    name: 'an alias',
    writer: record(a),
    reader: record({ name: 'z', aliases: ['a'], type: 'long' }),
    value: { a: 5 },
    read: { z: 5 },
  },
  {
    name: 'an alias of a field that the reader has by its name too, behind it',
    writer: record(a),
    reader: record({ name: 'a', type: 'long', default: -2 }, { name: 'z', aliases: ['a'], type: 'long', default: -1 }),
    value: { a: 5 },
    read: { a: 5, z: -1 },
    unlikeJava: 'renames the field to z, and a has its default: what a writer calls a is read as something else',
  },
  {
    name: 'an alias of a field that the reader has by its name too, before it',
    writer: record(a),
    reader: record({ name: 'z', aliases: ['a'], type: 'long', default: -1 }, { name: 'a', type: 'long', default: -2 }),
    value: { a: 5 },
    read: { z: -1, a: 5 },
    unlikeJava: 'as above',
  },
  {
    name: 'a writer that has a field and its alias',
    writer: record(a, { name: 'z', type: 'long' }),
    reader: record({ name: 'z', aliases: ['a'], type: 'long' }, { name: 'q', type: 'long', default: 1 }),
    value: { a: 5, z: 6 },
    read: { z: 6, q: 1 },
    unlikeJava: 'refuses it: Duplicate field z in record R',
  },
  {
    name: 'two aliases that the writer has',
    writer: record(a, { name: 'b', type: 'long' }),
    reader: record({ name: 'z', aliases: ['b', 'a'], type: 'long' }, { name: 'q', type: 'long', default: 1 }),
    value: { a: 5, b: 6 },
    read: { z: 6, q: 1 },
    unlikeJava: 'refuses it: Duplicate field z in record R',
  },
  {
    name: 'two fields with one alias',
    writer: record(a),
    reader: record(
      { name: 'y', aliases: ['a'], type: 'long', default: -1 },
      { name: 'z', aliases: ['a'], type: 'long', default: -2 },
    ),
    value: { a: 5 },
    read: { y: 5, z: -2 },
    unlikeJava: 'gives it to the last, having gathered the aliases in a map',
  },
  {
    name: 'a field without a default',
    writer: record(a),
    reader: record({ name: 'b', type: 'long' }),
    value: { a: 5 },
    refused: 'the field b of R is not in',
  },
  // Names
  {
    name: 'a record of another namespace',
    writer: named('x.R', a),
    reader: named('y.R', a),
    value: { a: 5 },
    read: { a: 5 },
  },
  {
    name: 'a record by an alias',
    writer: named('Old', a),
    reader: { ...(named('New', a) as object), aliases: ['Old'] },
    value: { a: 5 },
    read: { a: 5 },
  },
  {
    name: 'a record of another name',
    writer: named('W', a),
    reader: record(a),
    value: { a: 5 },
    refused: 'record W is not record R',
    unlikeJava:
      'reads it, and a record without a common field as nothing but defaults; its SchemaCompatibility refuses it',
  },
  {
    name: 'an enum of another namespace',
    writer: holder(e('x.E', ['A'])),
    reader: holder(e('y.E', ['A'])),
    value: { x: 'A' },
    read: { x: 'A' },
  },
  {
    name: 'an enum by an alias',
    writer: holder(e('E', ['A'])),
    reader: holder(e('F', ['A'], { aliases: ['E'] })),
    value: { x: 'A' },
    read: { x: 'A' },
  },
  {
    name: 'an enum of another name',
    writer: holder(e('E', ['A'])),
    reader: holder(e('F', ['A'])),
    value: { x: 'A' },
    refused: 'enum E is not enum F',
  },
  {
    name: 'a fixed of another namespace',
    writer: holder({ type: 'fixed', name: 'x.F', size: 2 }),
    reader: holder({ type: 'fixed', name: 'y.F', size: 2 }),
    value: { x: Buffer.from('ab') },
    read: { x: Buffer.from('ab') },
  },
  {
    name: 'a fixed of another size',
    writer: holder({ type: 'fixed', name: 'F', size: 2 }),
    reader: holder({ type: 'fixed', name: 'F', size: 3 }),
    value: { x: Buffer.from('ab') },
    refused: 'fixed F 2 is not fixed F 3',
  },
  // Enums
  {
    name: 'a symbol that the reader has, of an enum that has others',
    writer: holder(e('E', ['A', 'B'])),
    reader: holder(e('E', ['B'])),
    value: { x: 'B' },
    read: { x: 'B' },
  },
  {
    name: 'a symbol that the reader lacks',
    writer: holder(e('E', ['A', 'B'])),
    reader: holder(e('E', ['B'])),
    value: { x: 'A' },
    refused: "a symbol that the reader's enum lacks in the field x",
  },
  {
    name: 'a symbol that the reader lacks, with a default',
    writer: holder(e('E', ['A', 'B'])),
    reader: holder(e('E', ['B'], { default: 'B' })),
    value: { x: 'A' },
    read: { x: 'B' },
  },
  // Promotions
  { name: 'int to float', writer: 'int', reader: 'float', value: 16_777_217, read: 16_777_216 },
  { name: 'long to double', writer: 'long', reader: 'double', value: 2 ** 53 - 1, read: 2 ** 53 - 1 },
  { name: 'double to float', writer: 'double', reader: 'float', value: 1, refused: 'double is not float' },
  { name: 'string to bytes', writer: 'string', reader: 'bytes', value: 'é', read: Buffer.from('é') },
  { name: 'bytes to string', writer: 'bytes', reader: 'string', value: Buffer.from('é'), read: 'é' },
  { name: 'string to int', writer: 'string', reader: 'int', value: 'x', refused: 'string is not int' },
  {
    name: 'items of an array',
    writer: { type: 'array', items: 'int' },
    reader: { type: 'array', items: 'double' },
    value: [1, 2],
    read: [1, 2],
  },
  // Unions
  { name: 'a union as one of its branches', writer: ['null', 'string'], reader: 'string', value: 'x', read: 'x' },
  {
    name: 'a union as one of its branches, with another',
    writer: ['null', 'string'],
    reader: 'string',
    value: null,
    refused: 'null is not string',
  },
  {
    name: 'a union with no branch that fits',
    writer: ['null', 'string'],
    reader: 'int',
    value: 'x',
    refused: 'string is not int',
  },
  {
    name: 'a type as a branch of its own, not as one before it that would do',
    writer: 'long',
    reader: ['double', 'long'],
    value: 5,
    read: { long: 5 },
  },
  {
    name: 'a type as the first branch that it can become',
    writer: 'int',
    reader: ['string', 'float', 'double', 'long'],
    value: 5,
    read: { float: 5 },
  },
  {
    name: 'records in a union by their names',
    writer: named('x.A', a),
    reader: [named('y.A', a), named('x.A', a)],
    value: { a: 5 },
    read: { 'x.A': { a: 5 } },
  },
  {
    name: 'records in a union by their names without namespaces',
    writer: named('x.A', a),
    reader: [named('y.B', a), named('y.A', a)],
    value: { a: 5 },
    read: { 'y.A': { a: 5 } },
  },
  {
    name: 'records in a union by an alias',
    writer: named('A', a),
    reader: [{ ...(named('B', a) as object), aliases: ['A'] }, named('C', a)],
    value: { a: 5 },
    read: { B: { a: 5 } },
  },
  {
    name: 'records in a union of no such name',
    writer: named('x.A', a),
    reader: [named('y.B', { name: 'b', type: 'long' }), named('y.C', a)],
    value: { a: 5 },
    refused: 'record x.A is not union',
    unlikeJava: 'takes the first of the same structure; its SchemaCompatibility refuses it',
  },
  {
    name: 'a branch that does not fit, where another is written',
    writer: record({ name: 'x', type: ['null', named('I', { name: 'p', type: 'long' })] }),
    reader: record({ name: 'x', type: ['null', named('I', { name: 'q', type: 'long' })] }),
    value: { x: null },
    read: { x: null },
  },
  {
    name: 'a branch that does not fit, where it is written',
    writer: record({ name: 'x', type: ['null', named('I', { name: 'p', type: 'long' })] }),
    reader: record({ name: 'x', type: ['null', named('I', { name: 'q', type: 'long' })] }),
    value: { x: { p: 1 } },
    refused: 'in the field x',
  },
  {
    name: 'a default of a union of records',
    writer: record(a),
    reader: record({ name: 'x', type: [named('n.A', a), named('n.B', a)], default: { a: 7 } }),
    value: { a: 5 },
    read: { x: { 'n.A': { a: 7 } } },
  },
];
