/**
 * Reads Avro binary straight from a range of a buffer, by code compiled once for a writer's and a reader's schema: the
 * fields that the reader lacks are skipped, nothing is allocated but the value. Every length and every count is checked
 * against the bytes that are left, so that hostile input fails at once instead of looping or filling memory.
 *
 * Compiles where both schemas agree on the types they share; where Avro's resolution rules are needed (promotion,
 * defaults, renamed fields, unions that differ) it gives undefined, and avsc's resolver is used.
 */
import type { Type } from 'avsc';
import { DeserializationError } from './errors.ts';
import { seenString } from './seen-strings.ts';

/** Reads one value that fills bytes `start` to `end`. @throws DeserializationError */
export type AvroReader = (buffer: Buffer, start: number, end: number) => unknown;

/** A parsed schema, as avsc exposes it. */
type Schema = string | readonly Schema[] | ComplexSchema;

interface ComplexSchema {
  readonly type: string;
  readonly name?: string;
  readonly fields?: readonly { readonly name: string; readonly type: Schema }[];
  readonly symbols?: readonly string[];
  readonly items?: Schema;
  readonly values?: Schema;
  readonly size?: number;
}

/** @returns undefined where the schemas need Avro's resolution rules */
export function compileAvroReader(name: string, writer: Type, reader: Type): AvroReader | undefined {
  const compiler = new Compiler();
  const value = compiler.read(schemaOf(writer), schemaOf(reader));
  if (value === undefined) return undefined;
  const source = `'use strict';
${compiler.functions.join('\n')}
return (buffer, start, end) => {
  const s = { b: buffer, p: start, e: end };
  const value = ${value};
  if (s.p !== end) fail('the value has bytes behind it');
  return value;
};`;
  const fail = (why: string): never => {
    throw new DeserializationError(name, why);
  };
  return new Function('fail', 'readLong', 'readLength', 'seenString', ...compiler.constants.keys(), source)(
    fail,
    (s: State) => readLong(s, fail),
    (s: State) => readLength(s, fail),
    seenString,
    ...compiler.constants.values(),
  ) as AvroReader;
}

function schemaOf(type: Type): Schema {
  return type.schema({ exportAttrs: true }) as unknown as Schema;
}

interface State {
  readonly b: Buffer;
  /** Position. */
  p: number;
  /** End. */
  readonly e: number;
}

/** Writes an expression for each value; composite types become functions. Named types are compiled once. */
class Compiler {
  readonly functions: string[] = [];
  readonly constants = new Map<string, unknown>();
  readonly #named = new Map<string, Schema>();
  #counter = 0;

  /** An expression that reads the writer's value as the reader's; undefined where they differ. */
  read(writer: Schema, reader: Schema): string | undefined {
    const w = this.#resolve(writer);
    const r = this.#resolve(reader);
    if (Array.isArray(w) || Array.isArray(r)) {
      return Array.isArray(w) && Array.isArray(r) && sameShape(w, r)
        ? this.#union(w, (branch) => this.read(branch, branch))
        : undefined;
    }
    const kind = kindOf(w);
    if (kind !== kindOf(r)) return undefined;
    if (kind === 'record') return this.#record(w as ComplexSchema, r as ComplexSchema);
    return sameShape(w, r) ? this.#value(kind, w, (inner) => this.read(inner, inner)) : undefined;
  }

  /** A statement's expression that steps over a value. */
  #skip(schema: Schema): string | undefined {
    const w = this.#resolve(schema);
    if (Array.isArray(w)) return this.#union(w, (branch) => this.#skip(branch));
    const kind = kindOf(w);
    switch (kind) {
      case 'string':
      case 'bytes':
        // In two statements: `s.p += …` would read s.p before the length moves it.
        return this.#function('const n = readLength(s); s.p += n;');
      case 'record':
        return this.#record(w as ComplexSchema, { type: 'record', fields: [] });
      default:
        return this.#value(kind, w, (inner) => this.#skip(inner));
    }
  }

  #value(kind: string, schema: Schema, inner: (schema: Schema) => string | undefined): string | undefined {
    const complex = schema as ComplexSchema;
    switch (kind) {
      case 'null':
        return 'null';
      case 'boolean':
        return this.#function("if (s.p >= s.e) fail('cut off'); return s.b[s.p++] !== 0;");
      case 'int':
      case 'long':
        return 'readLong(s)';
      case 'float':
        return this.#function("const at = s.p; if ((s.p += 4) > s.e) fail('cut off'); return s.b.readFloatLE(at);");
      case 'double':
        return this.#function("const at = s.p; if ((s.p += 8) > s.e) fail('cut off'); return s.b.readDoubleLE(at);");
      case 'string':
        return this.#function('const n = readLength(s), at = s.p; s.p = at + n; return seenString(s.b, at, at + n);');
      case 'bytes':
        return this.#function(
          'const n = readLength(s), at = s.p; s.p = at + n; return Buffer.from(s.b.subarray(at, at + n));',
        );
      case 'fixed':
        return this.#function(
          `const at = s.p; if ((s.p += ${complex.size}) > s.e) fail('cut off'); return Buffer.from(s.b.subarray(at, s.p));`,
        );
      case 'enum': {
        const symbols = this.#constant(complex.symbols);
        return this.#function(
          `const i = readLong(s); if (!(i >= 0 && i < ${complex.symbols!.length})) fail('enum index'); return ${symbols}[i];`,
        );
      }
      case 'array':
        return this.#blocks('[]', complex.items!, inner, (item) => `out.push(${item});`);
      case 'map':
        return this.#blocks(
          '{}',
          complex.values!,
          inner,
          (item) => `const key = ${this.#value('string', 'string', inner)}; out[key] = ${item};`,
        );
      default:
        return undefined;
    }
  }

  #blocks(
    empty: string,
    element: Schema,
    inner: (schema: Schema) => string | undefined,
    add: (item: string) => string,
  ): string | undefined {
    const item = inner(element);
    if (item === undefined) return undefined;
    // An element may take no bytes (null): a count above what any block could hold is refused all the same.
    return this.#function(
      `const out = ${empty};
  for (let n = readLong(s); n !== 0; n = readLong(s)) {
    if (n < 0) { n = -n; readLong(s); }
    if (n > s.e - s.p) fail('more elements announced than bytes left');
    for (; n > 0; n--) { ${add(item)} }
  }
  return out;`,
    );
  }

  #union(branches: readonly Schema[], inner: (schema: Schema) => string | undefined): string | undefined {
    // avsc wraps the branches of ambiguous unions: those are left to it.
    const kinds = branches.map((branch) => kindOf(this.#resolve(branch)));
    const buckets = new Set(
      kinds.map((kind) =>
        ['int', 'long', 'float', 'double'].includes(kind)
          ? 'number'
          : ['map', 'record'].includes(kind)
            ? 'object'
            : ['string', 'enum'].includes(kind)
              ? 'string'
              : ['bytes', 'fixed'].includes(kind)
                ? 'buffer'
                : kind,
      ),
    );
    if (buckets.size !== branches.length) return undefined;
    const cases: string[] = [];
    for (const [index, branch] of branches.entries()) {
      const value = inner(branch);
      if (value === undefined) return undefined;
      cases.push(`case ${index}: return ${value};`);
    }
    return this.#function(`switch (readLong(s)) { ${cases.join(' ')} default: fail('union branch'); }`);
  }

  #record(writer: ComplexSchema, reader: ComplexSchema): string | undefined {
    const wanted = new Map(reader.fields!.map((field) => [field.name, field]));
    const statements: string[] = [];
    const names = new Map<string, string>();
    for (const [index, field] of writer.fields!.entries()) {
      const target = wanted.get(field.name);
      const value = target === undefined ? this.#skip(field.type) : this.read(field.type, target.type);
      if (value === undefined) return undefined;
      if (target === undefined) statements.push(`${value};`);
      else {
        statements.push(`const f${index} = ${value};`);
        names.set(field.name, `f${index}`);
      }
    }
    // A field that the writer lacks needs the reader's default.
    if (reader.fields!.some((field) => !names.has(field.name))) return undefined;
    const properties = reader.fields!.map((field) => `${JSON.stringify(field.name)}: ${names.get(field.name)}`);
    return this.#function(`${statements.join('\n  ')}\n  return { ${properties.join(', ')} };`);
  }

  #function(body: string): string {
    const name = `read${this.#counter++}`;
    this.functions.push(`function ${name}(s) {\n  ${body}\n}`);
    return `${name}(s)`;
  }

  #constant(value: unknown): string {
    const name = `constant${this.#counter++}`;
    this.constants.set(name, value);
    return name;
  }

  /** Follows references to named types and notes the names of new ones. A type within itself is left to avsc. */
  #resolve(schema: Schema): Schema {
    if (typeof schema === 'string') return this.#named.get(schema) ?? schema;
    if (!Array.isArray(schema)) {
      const { name } = schema as ComplexSchema;
      if (name !== undefined) this.#named.set(name, 'recursive');
    }
    return schema;
  }
}

function kindOf(schema: Schema): string {
  if (typeof schema === 'string') return schema;
  if (Array.isArray(schema)) return 'union';
  return (schema as ComplexSchema).type;
}

function sameShape(a: Schema, b: Schema): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Hot. Zigzag; beyond ±2^53 it is refused, as avsc does. */
function readLong(s: State, fail: (why: string) => never): number {
  const { b, e } = s;
  let p = s.p;
  if (p >= e) fail('cut off');
  let byte = b[p++]!;
  let value = byte & 0x7f;
  for (let shift = 7; byte > 0x7f && shift < 28; shift += 7) {
    if (p >= e) fail('cut off');
    byte = b[p++]!;
    value |= (byte & 0x7f) << shift;
  }
  if (byte < 0x80) {
    s.p = p;
    return (value >>> 1) ^ -(value & 1);
  }
  // Above 28 bits: the sign is the lowest bit, and what remains is exact in a double up to 2^53.
  let high = 0;
  for (let scale = 1; byte > 0x7f; scale *= 128) {
    if (p >= e || scale > 2 ** 42) fail('cut off, or an integer of more than 10 bytes');
    byte = b[p++]!;
    high += (byte & 0x7f) * scale;
  }
  const magnitude = high * 2 ** 27 + (value >>> 1);
  if (magnitude > Number.MAX_SAFE_INTEGER) fail('an integer beyond ±2^53');
  s.p = p;
  return value & 1 ? -magnitude - 1 : magnitude;
}

function readLength(s: State, fail: (why: string) => never): number {
  const length = readLong(s, fail);
  if (length < 0 || length > s.e - s.p) fail('a length beyond the value');
  return length;
}
