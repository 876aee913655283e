/**
 * Reads Avro binary straight from a range of a buffer, by code compiled once for a writer's and a reader's schema: one
 * flat function, nothing allocated but the value, the fields that the reader lacks skipped. Avro's resolution rules
 * (promotion, defaults, aliases, unions) are decided while compiling. Every length and every count is checked against the
 * bytes that are left, so that hostile input fails at once instead of looping or filling memory.
 *
 * Types within themselves and unions whose branches avsc wraps are left to avsc, behind a compiled check of the same kind.
 */
import type { Type } from 'avsc';
import { viewOf } from '../byte-views.ts';
import { DeserializationError } from './errors.ts';
import { seenString } from './seen-strings.ts';

/** Reads one value that fills bytes `start` to `end`. @throws DeserializationError */
export type AvroReader = (buffer: Buffer, start: number, end: number) => unknown;

/** A parsed schema, as avsc exposes it. */
interface AvroNode {
  readonly typeName: string;
  readonly name?: string;
  readonly fields?: readonly AvroField[];
  readonly symbols?: readonly string[];
  readonly itemsType?: AvroNode;
  readonly valuesType?: AvroNode;
  readonly types?: readonly AvroNode[];
  readonly size?: number;
  createResolver(writer: AvroNode): unknown;
}

interface AvroField {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly type: AvroNode;
  defaultValue(): unknown;
}

/**
 * @param name of the serde, for messages
 * @returns undefined where the schemas are for avsc to read
 * @throws Error the reader's schema cannot read the writer's
 */
export function compileAvroReader(name: string, writer: Type, reader: Type): AvroReader | undefined {
  // avsc judges whether the two fit; what follows may rely on it.
  reader.createResolver(writer);
  const compiler = new Compiler();
  const value = compiler.read(writer as unknown as AvroNode, reader as unknown as AvroNode);
  return value === undefined ? undefined : compiler.link(name, value);
}

/**
 * Walks over one value of the writer's schema and checks every length and count: what passes is safe for avsc to read.
 * @returns undefined where the schema has a type unknown here
 */
export function compileAvroCheck(name: string, writer: Type): AvroReader | undefined {
  const compiler = new Compiler();
  return compiler.skip(writer as unknown as AvroNode) ? compiler.link(name, 'undefined') : undefined;
}

/** Where a helper leaves the position behind what it read. */
const after = { p: 0 };

const NUMBERS = ['int', 'long', 'float', 'double'];

/**
 * Writes statements that move `p` through `b` up to `e`; a value is named by the expression that is returned. `m` and `n`
 * are scratch, nothing is kept in them across statements.
 */
class Compiler {
  #lines: string[] = [];
  /** Functions of record types that contain themselves, by type. */
  readonly #functions: string[] = [];
  readonly #functionOf = new Map<AvroNode, string>();
  readonly #constants = new Map<string, unknown>();
  readonly #open = new Set<AvroNode>();
  #counter = 0;
  #usesView = false;

  link(name: string, value: string): AvroReader {
    const fail = (why: string): never => {
      throw new DeserializationError(name, why);
    };
    const source = `'use strict';
${this.#functions.join('\n')}
return (b, start, e) => {
  let p = start, m = 0, n = 0;
  ${this.#usesView ? 'const d = viewOf(b);' : ''}
  ${this.#lines.join('\n  ')}
  if (p !== e) fail(p > e ? 'cut off' : 'the value has bytes behind it');
  return ${value};
};`;
    return new Function('viewOf', 'after', 'fail', 'readLong', 'text', 'setKey', ...this.#constants.keys(), source)(
      viewOf,
      after,
      fail,
      (b: Buffer, p: number, e: number) => readLong(b, p, e, fail),
      seenString,
      setKey,
      ...this.#constants.values(),
    ) as AvroReader;
  }

  /** An expression for the writer's value as the reader's; undefined where they are for avsc. */
  read(writer: AvroNode, reader: AvroNode): string | undefined {
    if (isWrapped(writer) || isWrapped(reader)) return undefined;
    if (writer.types !== undefined) {
      const same = reader.types !== undefined && String(writer) === String(reader);
      return this.#union(writer.types, (branch, index) => this.read(branch, same ? reader.types![index]! : reader));
    }
    const target = reader.types === undefined ? reader : branchFor(writer, reader.types);
    if (target === undefined) return undefined;
    const from = writer.typeName;
    const to = target.typeName;
    if (NUMBERS.includes(from) && NUMBERS.includes(to)) return this.#number(from);
    if (from === 'string' || from === 'bytes') {
      this.#length();
      const value = to === 'string' ? 'text(b, p, p + n)' : 'Buffer.from(b.subarray(p, p + n))';
      return this.#define(value, 'p += n;');
    }
    switch (from) {
      case 'null':
        return 'null';
      case 'boolean':
        this.#need(1);
        return this.#define('b[p++] !== 0');
      case 'fixed':
        this.#need(writer.size!);
        return this.#define(`Buffer.from(b.subarray(p, p + ${writer.size}))`, `p += ${writer.size};`);
      case 'enum':
        return this.#enum(writer, target);
      case 'array':
      case 'map':
        return this.#collection(writer, target);
      case 'record':
        return this.#record(writer, target);
      default:
        return undefined;
    }
  }

  /** Steps over a value; false where its type is unknown here. */
  skip(writer: AvroNode): boolean {
    const { typeName } = writer;
    if (writer.types !== undefined) {
      return this.#union(writer.types, (branch) => (this.skip(branch) ? 'undefined' : undefined)) !== undefined;
    }
    switch (typeName) {
      case 'null':
        return true;
      case 'int':
      case 'long':
        this.#number(typeName);
        return true;
      case 'boolean':
      case 'float':
      case 'double':
      case 'fixed':
        this.#lines.push(`p += ${{ boolean: 1, float: 4, double: 8, fixed: writer.size }[typeName]};`);
        this.#need(0);
        return true;
      case 'string':
      case 'bytes':
        this.#length();
        this.#lines.push('p += n;');
        return true;
      case 'enum':
        this.#number('int');
        return true;
      case 'array':
      case 'map':
        return this.#blocks(() => {
          if (typeName === 'map') {
            this.#length();
            this.#lines.push('p += n;');
          }
          return this.skip(typeName === 'map' ? writer.valuesType! : writer.itemsType!);
        });
      case 'record':
        return this.#skipRecord(writer);
      default:
        return false;
    }
  }

  /** A type that contains itself becomes a function, others are laid flat. */
  #skipRecord(writer: AvroNode): boolean {
    const known = this.#functionOf.get(writer);
    if (known !== undefined) {
      this.#lines.push(`p = ${known}(b, p, e);`);
      return true;
    }
    if (!isRecursive(writer)) return writer.fields!.every((field) => this.skip(field.type));
    const name = this.#fresh('skip');
    this.#functionOf.set(writer, name);
    const outer = this.#lines;
    this.#lines = [];
    const isKnown = writer.fields!.every((field) => this.skip(field.type));
    this.#functions.push(`function ${name}(b, p, e) { let m = 0, n = 0; ${this.#lines.join('\n')} return p; }`);
    this.#lines = outer;
    this.#lines.push(`p = ${name}(b, p, e);`);
    return isKnown;
  }

  #record(writer: AvroNode, reader: AvroNode): string | undefined {
    if (this.#open.has(writer)) return undefined;
    this.#open.add(writer);
    const values = new Map<AvroField, string>();
    for (const field of writer.fields!) {
      const target = reader.fields!.find(({ name, aliases }) => name === field.name || aliases.includes(field.name));
      if (target === undefined) {
        if (!this.skip(field.type)) return undefined;
        continue;
      }
      const value = this.read(field.type, target.type);
      if (value === undefined) return undefined;
      values.set(target, value);
    }
    this.#open.delete(writer);
    const properties = reader.fields!.map((field) => {
      const value = values.get(field) ?? `${this.#constant(() => plain(field.defaultValue()))}()`;
      return `${JSON.stringify(field.name)}: ${value}`;
    });
    return this.#define(`{ ${properties.join(', ')} }`);
  }

  #enum(writer: AvroNode, reader: AvroNode): string {
    const fallback = (reader as { readonly default?: string }).default;
    const symbols = writer.symbols!.map((symbol) => (reader.symbols!.includes(symbol) ? symbol : fallback));
    const index = this.#number('int');
    this.#lines.push(`if (!(${index} >= 0 && ${index} < ${symbols.length})) fail('enum index');`);
    return this.#define(`${this.#constant(symbols)}[${index}]`);
  }

  #collection(writer: AvroNode, reader: AvroNode): string | undefined {
    const isMap = writer.typeName === 'map';
    const out = this.#define(isMap ? '{}' : '[]');
    const done = this.#blocks(() => {
      let key = '';
      if (isMap) {
        this.#length();
        key = this.#define('text(b, p, p + n)', 'p += n;');
      }
      const value = this.read(
        isMap ? writer.valuesType! : writer.itemsType!,
        isMap ? reader.valuesType! : reader.itemsType!,
      );
      if (value === undefined) return false;
      this.#lines.push(
        isMap
          ? `if (${key} === '__proto__') setKey(${out}, ${key}, ${value}); else ${out}[${key}] = ${value};`
          : `${out}.push(${value});`,
      );
      return true;
    });
    return done ? out : undefined;
  }

  /** The blocks of an array or a map; an element may take no bytes (null): a count above what is left is refused all the same. */
  #blocks(element: () => boolean): boolean {
    const count = this.#fresh('count');
    this.#lines.push(
      `for (let ${count} = readLong(b, p, e); (p = after.p, ${count} !== 0); ${count} = readLong(b, p, e)) {`,
    );
    this.#lines.push(`if (${count} < 0) { ${count} = -${count}; readLong(b, p, e); p = after.p; }`);
    this.#lines.push(`if (${count} > e - p) fail('more elements announced than bytes left');`);
    this.#lines.push(`for (; ${count} > 0; ${count}--) {`);
    const known = element();
    this.#lines.push('} }');
    return known;
  }

  #union(
    branches: readonly AvroNode[],
    read: (branch: AvroNode, index: number) => string | undefined,
  ): string | undefined {
    const value = this.#fresh('value');
    const index = this.#number('int');
    this.#lines.push(`let ${value};`, `switch (${index}) {`);
    for (const [position, branch] of branches.entries()) {
      this.#lines.push(`case ${position}: {`);
      const expression = read(branch, position);
      if (expression === undefined) return undefined;
      this.#lines.push(`${value} = ${expression}; break; }`);
    }
    this.#lines.push("default: fail('union branch'); }");
    return value;
  }

  /** An integer of one byte is read in place. */
  #number(typeName: string): string {
    if (typeName === 'float' || typeName === 'double') {
      const [bytes, method] = typeName === 'float' ? [4, 'getFloat32'] : [8, 'getFloat64'];
      this.#need(bytes);
      this.#usesView = true;
      return this.#define(`d.${method}(p, true)`, `p += ${bytes};`);
    }
    const value = this.#fresh('value');
    this.#need(1);
    this.#lines.push(
      `let ${value} = b[p];`,
      `if (${value} < 0x80) { p++; ${value} = (${value} >>> 1) ^ -(${value} & 1); } else { ${value} = readLong(b, p, e); p = after.p; }`,
    );
    return value;
  }

  /** Leaves a length in `n`, checked against what is left. */
  #length(): void {
    this.#need(1);
    this.#lines.push(
      'm = b[p];',
      'if (m < 0x80) { p++; n = (m >>> 1) ^ -(m & 1); } else { n = readLong(b, p, e); p = after.p; }',
      "if (n < 0 || n > e - p) fail('a length beyond the value');",
    );
  }

  #need(bytes: number): void {
    this.#lines.push(`if (p + ${bytes} > e) fail('cut off');`);
  }

  #define(expression: string, then = ''): string {
    const name = this.#fresh('value');
    this.#lines.push(`const ${name} = ${expression}; ${then}`);
    return name;
  }

  #constant(value: unknown): string {
    const name = this.#fresh('constant');
    this.#constants.set(name, value);
    return name;
  }

  #fresh(stem: string): string {
    return `${stem}${this.#counter++}`;
  }
}

/** avsc gives the branches of ambiguous unions as objects of one property. */
function isWrapped(type: AvroNode): boolean {
  return type.typeName === 'union:wrapped';
}

/** The reader's branch for a writer's type: one of the same name first, then the first that can read it. */
function branchFor(writer: AvroNode, branches: readonly AvroNode[]): AvroNode | undefined {
  const fits = (branch: AvroNode): boolean => {
    try {
      branch.createResolver(writer);
      return true;
    } catch {
      return false;
    }
  };
  return (
    branches.find((branch) => branch.typeName === writer.typeName && branch.name === writer.name && fits(branch)) ??
    branches.find(fits)
  );
}

function isRecursive(record: AvroNode): boolean {
  const seen = new Set<AvroNode>();
  const reaches = (type: AvroNode): boolean => {
    if (type === record) return true;
    if (seen.has(type)) return false;
    seen.add(type);
    return partsOf(type).some(reaches);
  };
  return partsOf(record).some(reaches);
}

function partsOf({ fields, itemsType, valuesType, types }: AvroNode): readonly AvroNode[] {
  if (fields !== undefined) return fields.map((field) => field.type);
  return types ?? [itemsType ?? valuesType].filter((part) => part !== undefined);
}

/** A default of a record type comes from avsc as an instance of a class of its own. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

function setKey(out: object, key: string, value: unknown): void {
  Object.defineProperty(out, key, { value, enumerable: true, writable: true, configurable: true });
}

/** Hot. Zigzag; beyond ±2^53 it is refused, as avsc does. Leaves the position behind it in `after`. */
function readLong(b: Buffer, start: number, e: number, fail: (why: string) => never): number {
  let p = start;
  if (p >= e) fail('cut off');
  let byte = b[p++]!;
  let value = byte & 0x7f;
  for (let shift = 7; byte > 0x7f && shift < 28; shift += 7) {
    if (p >= e) fail('cut off');
    byte = b[p++]!;
    value |= (byte & 0x7f) << shift;
  }
  if (byte < 0x80) {
    after.p = p;
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
  after.p = p;
  return value & 1 ? -magnitude - 1 : magnitude;
}
