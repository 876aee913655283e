/** Random Avro schemas, values of them, and schemas that came of them later. The same number gives the same. */
import { random } from '../metrics.ts';

type Next = () => number;
export type Schema = string | Schema[] | { [property: string]: unknown };

/** Whole numbers below `n`. */
const below = (next: Next, n: number): number => Math.floor(next() * n);
const pick = <T>(next: Next, items: readonly T[]): T => items[below(next, items.length)]!;

const PRIMITIVES = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'] as const;
const LONGS = [
  0,
  -1,
  2 ** 31,
  -(2 ** 31) - 1,
  1.7e12,
  2 ** 34 - 1,
  -(2 ** 27),
  2 ** 53 - 2,
  2 ** 53 - 1,
  1 - 2 ** 53,
  -(2 ** 52) - 1,
];
const TEXTS = ['', 'a', 'constructor', '__proto__', 'é😀', 'x'.repeat(70), '0'];

export function randomSchema(seed: number): { [property: string]: unknown } {
  const next = random(seed);
  let names = 0;
  const named = (): { name: string; namespace?: string } => ({
    name: `T${names++}`,
    ...(next() < 0.3 ? { namespace: pick(next, ['x.y', 'z', '']) } : {}),
  });
  const schema = (depth: number, inUnion = false): Schema => {
    const kind = pick(next, ['primitive', 'primitive', 'enum', 'fixed', 'array', 'map', 'record', 'union', 'union']);
    if (depth === 0 || kind === 'primitive') return pick(next, PRIMITIVES);
    switch (kind) {
      case 'enum':
        return { type: 'enum', ...named(), symbols: ['A', 'B', 'C'].slice(0, 1 + below(next, 3)) };
      case 'fixed':
        return { type: 'fixed', ...named(), size: below(next, 4) };
      case 'array':
        return { type: 'array', items: schema(depth - 1) };
      case 'map':
        return { type: 'map', values: schema(depth - 1) };
      case 'union':
        return inUnion ? 'int' : union(depth - 1);
      default:
        return record(depth - 1);
    }
  };
  const union = (depth: number): Schema => {
    const branches = new Map<string, Schema>();
    for (let n = 1 + below(next, 4); n > 0; n--) {
      const branch = schema(depth, true);
      branches.set(
        typeof branch === 'string'
          ? branch
          : String((branch as { name?: string }).name ?? (branch as { type: string }).type),
        branch,
      );
    }
    return [...branches.values()];
  };
  const record = (depth: number): { [property: string]: unknown } => {
    const fields = Array.from({ length: below(next, 5) }, (_, i) => ({ name: `f${i}`, type: schema(depth) }));
    return { type: 'record', ...named(), fields };
  };
  return {
    ...record(3),
    fields: Array.from({ length: 1 + below(next, 4) }, (_, i) => ({ name: `f${i}`, type: schema(3) })),
  };
}

/** A value as our serdes have it: unions of one kind of value wrapped in an object with the branch's name. */
export function randomValue(schema: Schema, next: Next, space = ''): unknown {
  if (Array.isArray(schema)) {
    const branch = pick(next, schema);
    const value = randomValue(branch, next, space);
    return branch === 'null' || !isAmbiguous(schema) ? value : { [nameOf(branch, space)]: value };
  }
  const type = typeof schema === 'string' ? schema : schema['type'];
  const description = schema as {
    symbols: string[];
    size: number;
    items: Schema;
    values: Schema;
    fields: { name: string; type: Schema }[];
  };
  const inner = typeof schema === 'string' ? space : String(schema['namespace'] ?? space);
  const many = <T>(make: () => T): T[] => Array.from({ length: below(next, 3) }, make);
  switch (type) {
    case 'null':
      return null;
    case 'boolean':
      return next() < 0.5;
    case 'int':
      return pick(next, [0, -1, 63, 64, -64, -65, 8191, -8193, 2 ** 31 - 1, -(2 ** 31), below(next, 2 ** 30)]);
    case 'long':
      return pick(next, LONGS);
    case 'float':
      return Math.fround(next() * 100 - 50);
    case 'double':
      return pick(next, [0, next(), -1e300, Number.MIN_VALUE, Number.POSITIVE_INFINITY, 5]);
    case 'bytes':
      return Buffer.from(pick(next, TEXTS));
    case 'string':
      return pick(next, TEXTS);
    case 'enum':
      return pick(next, description.symbols);
    case 'fixed':
      return Buffer.alloc(description.size, below(next, 256));
    case 'array':
      return description.items === 'null'
        ? []
        : many(() => randomValue(description.items, next, inner)).filter((item) => !takesNothing(item));
    case 'map':
      return Object.fromEntries(
        many(() => [
          pick(
            next,
            TEXTS.filter((text) => text !== '__proto__'),
          ),
          randomValue(description.values, next, inner),
        ]),
      );
    default:
      return Object.fromEntries(description.fields.map((field) => [field.name, randomValue(field.type, next, inner)]));
  }
}

/** What takes no bytes cannot be an array's element: the count would be above the bytes that are left. */
function takesNothing(value: unknown): boolean {
  if (Buffer.isBuffer(value)) return value.length === 0;
  return value === null || (typeof value === 'object' && Object.values(value).every(takesNothing));
}

/** A schema that readers may have for it: fields left out, added and moved, numbers promoted, unions made of types and back. */
export function evolved(schema: Schema, next: Next): Schema {
  if (Array.isArray(schema)) {
    const branches = schema.map((branch) => evolved(branch, next)).filter((branch) => !Array.isArray(branch));
    if (next() < 0.2) return pick(next, schema);
    const names = new Set(branches.map((branch) => nameOf(branch, '')));
    const shuffled = [...branches].sort(() => next() - 0.5).filter((branch) => names.delete(nameOf(branch, '')));
    return shuffled.length === 0 ? schema : shuffled;
  }
  if (typeof schema === 'string') {
    if (schema === 'int' && next() < 0.3) return pick(next, ['long', 'float', 'double']);
    if (schema === 'long' && next() < 0.3) return pick(next, ['float', 'double']);
    if (schema === 'string' && next() < 0.2) return 'bytes';
    if (schema === 'bytes' && next() < 0.2) return 'string';
    return schema !== 'null' && next() < 0.1 ? ['null', schema] : schema;
  }
  switch (schema['type']) {
    case 'array':
      return { ...schema, items: evolved(schema['items'] as Schema, next) };
    case 'map':
      return { ...schema, values: evolved(schema['values'] as Schema, next) };
    case 'enum': {
      const symbols = [...(schema['symbols'] as string[])].reverse();
      if (next() < 0.3) symbols.unshift('NEW');
      if (next() < 0.3 && symbols.length > 1) symbols.pop();
      return { ...schema, symbols, ...(next() < 0.3 ? { default: symbols[0] } : {}) };
    }
    case 'record': {
      const fields = (schema['fields'] as { name: string; type: Schema }[])
        .filter(() => next() < 0.8)
        .map((field) => {
          const type = evolved(field.type, next);
          return next() < 0.2 ? { name: `${field.name}_renamed`, aliases: [field.name], type } : { ...field, type };
        });
      if (next() < 0.3) fields.unshift({ name: 'added', type: 'long', default: -5 } as never);
      return { ...schema, fields: fields.sort(() => next() - 0.5) };
    }
    default:
      return schema;
  }
}

function kindOf(schema: Schema): string {
  const type = typeof schema === 'string' ? schema : String((schema as { type: unknown }).type);
  const kinds: Record<string, string> = {
    ...{ int: 'number', long: 'number', float: 'number', double: 'number', enum: 'string' },
    ...{ fixed: 'bytes', record: 'object', map: 'object' },
  };
  return kinds[type] ?? type;
}

function isAmbiguous(branches: readonly Schema[]): boolean {
  return new Set(branches.map(kindOf)).size < branches.length;
}

function nameOf(schema: Schema, space: string): string {
  if (typeof schema === 'string') return schema;
  const { name, type, namespace = space } = schema as { name?: string; type: string; namespace?: string };
  return name === undefined ? type : namespace === '' ? name : `${namespace}.${name}`;
}
