/** Avro schemas: parsed by avsc, asked for what readers and writers need, cut down to some fields. */
import avsc from 'avsc';
import { messageOf } from '../errors.ts';
import { SchemaError } from './errors.ts';

/** A parsed schema, as avsc exposes it. */
export interface AvroNode {
  /** A primitive's or complex type's name; `union:wrapped` and `union:unwrapped` for unions. */
  readonly typeName: string;
  /** A named type's name with its namespace. */
  readonly name?: string | undefined;
  readonly aliases?: readonly string[] | undefined;
  readonly fields?: readonly AvroField[];
  readonly symbols?: readonly string[];
  /** Of an enum: what stands for symbols that the reader lacks. */
  readonly default?: string | undefined;
  readonly itemsType?: AvroNode;
  readonly valuesType?: AvroNode;
  readonly types?: readonly AvroNode[];
  readonly size?: number;
}

export interface AvroField {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly type: AvroNode;
  /** undefined where there is none. */
  defaultValue(): unknown;
}

/** @throws SchemaError */
export function parseSchema(schema: unknown): AvroNode {
  try {
    return avsc.Type.forSchema(schema as avsc.Schema) as unknown as AvroNode;
  } catch (error) {
    throw new SchemaError(messageOf(error));
  }
}

export function isRecord({ typeName }: AvroNode): boolean {
  return typeName === 'record' || typeName === 'error';
}

/**
 * True for unions whose values are objects of one property, the branch's name: those with two branches that are one kind of
 * value in JavaScript (two numbers, two records, a record and a map, a string and an enum, bytes and a fixed). See AvroType.
 */
export function isWrapped({ typeName }: AvroNode): boolean {
  return typeName === 'union:wrapped';
}

/** What a value is in JavaScript, objects last: arrays and buffers are objects too. */
const VALUE_KINDS = ['null', 'boolean', 'number', 'string', 'buffer', 'array', 'object'] as const;

export type ValueKind = (typeof VALUE_KINDS)[number];

/** The branches of a union with what tells their values; of one that is not wrapped, one of each kind, objects last. */
export function branchesByKind(
  branches: readonly AvroNode[],
): { readonly kind: ValueKind; readonly index: number; readonly branch: AvroNode }[] {
  return branches
    .map((branch, index) => ({ kind: valueKindOf(branch), index, branch }))
    .sort((a, b) => VALUE_KINDS.indexOf(a.kind) - VALUE_KINDS.indexOf(b.kind));
}

function valueKindOf({ typeName }: AvroNode): ValueKind {
  switch (typeName) {
    case 'null':
    case 'boolean':
    case 'string':
    case 'array':
      return typeName;
    case 'enum':
      return 'string';
    case 'bytes':
    case 'fixed':
      return 'buffer';
    case 'record':
    case 'error':
    case 'map':
      return 'object';
    default:
      return 'number';
  }
}

/** A branch's name in a union, and the record's name of RecordNameStrategy: `Schema#getFullName` in Java. */
export function nameOf({ name, typeName }: AvroNode): string {
  return name ?? typeName.replace(/:.*/, '');
}

/** True where a value of the type can hold another of it. */
export function isRecursive(record: AvroNode): boolean {
  const seen = new Set<AvroNode>();
  const reaches = (type: AvroNode): boolean => {
    if (type === record) return true;
    if (seen.has(type)) return false;
    seen.add(type);
    return partsOf(type).some(reaches);
  };
  return partsOf(record).some(reaches);
}

/** True where values take no bytes: null, and records of such fields. */
export function isEmpty(type: AvroNode, known = new Map<AvroNode, boolean>()): boolean {
  const { typeName, fields, size } = type;
  if (fields === undefined) return typeName === 'null' || size === 0;
  const before = known.get(type);
  if (before !== undefined) return before;
  // A record that contains itself without a byte in between has no values at all.
  known.set(type, false);
  const empty = fields.every((field) => isEmpty(field.type, known));
  known.set(type, empty);
  return empty;
}

function partsOf({ fields, itemsType, valuesType, types }: AvroNode): readonly AvroNode[] {
  if (fields !== undefined) return fields.map((field) => field.type);
  return types ?? [itemsType ?? valuesType].filter((part) => part !== undefined);
}

/** A field's default as plain objects: a record's comes from avsc as an instance of a class. */
export function defaultOf(field: AvroField): unknown {
  return plain(field.defaultValue());
}

function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

/** A schema as it is written, before it is parsed. */
interface Written {
  readonly type: unknown;
  readonly name?: string;
  readonly namespace?: string;
  readonly fields?: readonly { readonly name: string; readonly type: unknown }[];
  readonly items?: unknown;
  readonly values?: unknown;
}

/**
 * The record with some of its fields. A type that one of the others defines is written out where it is first named.
 * @throws SchemaError where it is no record, or has no such field
 */
export function projection(schema: unknown, fields: readonly string[]): object {
  const { fields: all } = schema as Written;
  if (!Array.isArray(all)) throw new SchemaError('fields are picked from a record, and this is none');
  const missing = fields.find((name) => !all.some((field) => field.name === name));
  if (missing !== undefined) throw new SchemaError(`the record has no field '${missing}'`);
  const definitions = new Map<string, Written>();
  walk(schema, '', (type, name) => void definitions.set(name, type));
  const kept = { ...(schema as object), fields: all.filter(({ name }) => fields.includes(name)) };
  const defined = new Set<string>();
  const complete = (type: unknown, space: string): unknown =>
    rewrite(
      type,
      space,
      (reference, name) => {
        const definition = definitions.get(name);
        if (definition === undefined || defined.has(name)) return reference;
        const namespace = name.includes('.') ? name.replace(/\.[^.]*$/, '') : '';
        return complete({ ...definition, name: name.replace(/.*\./, ''), namespace }, '');
      },
      defined,
    );
  return complete(kept, '') as object;
}

/**
 * The record with these defaults in fields that have none.
 * @throws SchemaError where it is no record, or has no such field
 */
export function withDefaults(schema: unknown, defaults: Readonly<Record<string, unknown>>): object {
  const { fields } = schema as { readonly fields?: readonly { readonly name: string; readonly default?: unknown }[] };
  if (!Array.isArray(fields)) throw new SchemaError('fields have defaults in a record, and this is none');
  const missing = Object.keys(defaults).find((name) => !fields.some((field) => field.name === name));
  if (missing !== undefined) throw new SchemaError(`the record has no field '${missing}'`);
  const standIn = (name: string): object => (Object.hasOwn(defaults, name) ? { default: defaults[name] } : {});
  return { ...(schema as object), fields: fields.map((field) => ({ ...standIn(field.name), ...field })) };
}

/** Calls `visit` with each definition of a named type and its full name. */
function walk(type: unknown, space: string, visit: (type: Written, name: string) => void): void {
  if (Array.isArray(type)) for (const branch of type) walk(branch, space, visit);
  if (typeof type !== 'object' || type === null || Array.isArray(type)) return;
  const written = type as Written;
  if (written.name !== undefined) visit(written, fullName(written, space));
  const inner = spaceOf(written, space);
  for (const field of written.fields ?? []) walk(field.type, inner, visit);
  walk(written.items, inner, visit);
  walk(written.values, inner, visit);
}

/** A copy of the type with references to names replaced; `defined` gathers the names that it defines. */
function rewrite(
  type: unknown,
  space: string,
  reference: (type: string, name: string) => unknown,
  defined: Set<string>,
): unknown {
  if (typeof type === 'string') return reference(type, fullName({ type, name: type }, space));
  if (Array.isArray(type)) return type.map((branch) => rewrite(branch, space, reference, defined));
  if (typeof type !== 'object' || type === null) return type;
  const written = type as Written;
  if (written.name !== undefined) {
    const name = fullName(written, space);
    if (defined.has(name)) return name;
    defined.add(name);
  }
  const inner = spaceOf(written, space);
  const into = (part: unknown): unknown => rewrite(part, inner, reference, defined);
  return {
    ...written,
    ...(written.fields === undefined
      ? {}
      : { fields: written.fields.map((field) => ({ ...field, type: into(field.type) })) }),
    ...(written.items === undefined ? {} : { items: into(written.items) }),
    ...(written.values === undefined ? {} : { values: into(written.values) }),
  };
}

function fullName({ name = '', namespace }: Written, space: string): string {
  if (name.includes('.')) return name.replace(/^\./, '');
  const prefix = namespace ?? space;
  return prefix === '' ? name : `${prefix}.${name}`;
}

/** The namespace of the names within a type. */
function spaceOf({ name, namespace }: Written, space: string): string {
  if (namespace !== undefined) return namespace;
  return name?.includes('.') ? name.replace(/\.[^.]*$/, '') : space;
}
