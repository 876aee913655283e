/**
 * Reads Avro binary straight from a range of a buffer, by code compiled once for a writer's and a reader's schema: flat
 * functions, nothing allocated but the value, the fields that the reader lacks stepped over. What resolution decides
 * (promotion, defaults, aliases, unions) is decided while compiling. Every length and every count is checked against the
 * bytes that are left, so that hostile input fails at once instead of looping or filling memory.
 */
import { viewOf } from '../byte-views.ts';
import { MAX_FLAT_LINES, property, setKey, within } from './avro-code.ts';
import { after, type Fail, readLong, readRounded } from './avro-integers.ts';
import { fieldPairs, Resolution } from './avro-resolution.ts';
import {
  type AvroField,
  type AvroNode,
  defaultOf,
  isEmpty,
  isRecord,
  isRecursive,
  isWrapped,
  nameOf,
} from './avro-schema.ts';
import { DeserializationError } from './errors.ts';
import { seenString } from './seen-strings.ts';

/** Reads one value that fills bytes `start` to `end`. @throws DeserializationError */
export type AvroReader = (buffer: Buffer, start: number, end: number) => unknown;

/**
 * Where the reader's schema cannot read the writer's, every value is refused.
 * @param name of the serde, for messages
 */
export function compileAvroReader(name: string, writer: AvroNode, reader: AvroNode): AvroReader {
  const compiler = new Compiler();
  return compiler.link(name, compiler.read(writer, reader, ''));
}

const NUMBERS = ['int', 'long', 'float', 'double'];
/** Elements without content in one value, at most: a few bytes can announce thousands of millions. */
const MOST_EMPTY = 65_536;

/**
 * Writes statements that move `p` through `b` (seen by the view `d`) up to `e`; a value is named by the expression that is
 * returned. `m` and `n` are scratch, nothing is kept in them across statements. A path names a field in messages: it is
 * part of the code, so that reading keeps no account of where it is.
 */
class Compiler {
  readonly #resolution = new Resolution();
  #lines: string[] = [];
  /** Functions of records that hold themselves, and of those that come when the code is long. */
  readonly #functions: string[] = [];
  readonly #readers = new Map<AvroNode, Map<AvroNode, string>>();
  readonly #skippers = new Map<AvroNode, string>();
  readonly #constants = new Map<string, unknown>();
  #counter = 0;
  #usesView = false;
  #usesEmpty = false;

  link(name: string, value: string): AvroReader {
    const fail: Fail = (why, path) => {
      throw new DeserializationError(name, path === '' ? why : `${why} in the field ${path}`);
    };
    const body = `
  let p = start, m = 0, n = 0;${this.#usesEmpty ? ' after.empty = 0;' : ''}
  const d = ${this.#usesView ? 'viewOf(b)' : 'undefined'};
  ${this.#lines.join('\n  ')}
  if (p !== e) fail(p > e ? 'cut off' : 'the value has bytes behind it', '');
  return ${value};`;
    const source = `'use strict';
${this.#functions.join('\n')}
return (b, start, e) => {${this.#functions.length === 0 ? body : guarded(body)}};`;
    return new Function(
      'viewOf',
      'after',
      'fail',
      'readLong',
      'readRounded',
      'text',
      'setKey',
      ...this.#constants.keys(),
      source,
    )(
      viewOf,
      after,
      fail,
      (b: Buffer, p: number, e: number, path: string) => readLong(b, p, e, path, fail),
      (b: Buffer, p: number, e: number, path: string) => readRounded(b, p, e, path, fail),
      seenString,
      setKey,
      ...this.#constants.values(),
    ) as AvroReader;
  }

  /** An expression for the writer's value as the reader's; where none can be, code that fails. */
  read(writer: AvroNode, reader: AvroNode, path: string): string {
    if (writer.types !== undefined) {
      return this.#union(writer.types, path, (branch) => this.read(branch, reader, path));
    }
    const mismatch = this.#resolution.mismatch(writer, reader);
    if (mismatch !== undefined) {
      this.#lines.push(failure(`the schemas do not fit: ${mismatch}`, path));
      return 'undefined';
    }
    if (reader.types === undefined) return this.#readAs(writer, reader, path);
    const target = this.#resolution.branchFor(writer, reader.types)!;
    const value = this.#readAs(writer, target, path);
    return isWrapped(reader) && target.typeName !== 'null'
      ? this.#define(`{ ${property(nameOf(target))}: ${value} }`)
      : value;
  }

  /** Of types that are no unions, and that fit. */
  #readAs(writer: AvroNode, reader: AvroNode, path: string): string {
    const { typeName } = writer;
    if (NUMBERS.includes(typeName)) return this.#number(typeName, reader.typeName, path);
    if (isRecord(writer)) return this.#record(writer, reader, path);
    switch (typeName) {
      case 'string':
      case 'bytes': {
        this.#length(path);
        const value = reader.typeName === 'string' ? 'text(b, p, p + n)' : 'Buffer.from(b.subarray(p, p + n))';
        return this.#define(value, 'p += n;');
      }
      case 'boolean':
        this.#need(1, path);
        return this.#define('b[p++] !== 0');
      case 'fixed':
        this.#need(writer.size!, path);
        return this.#define(`Buffer.from(b.subarray(p, p + ${writer.size}))`, `p += ${writer.size};`);
      case 'enum':
        return this.#enum(writer, reader, path);
      case 'array':
      case 'map':
        return this.#collection(writer, reader, path);
      default:
        return 'null';
    }
  }

  /** Steps over a value. */
  #skip(writer: AvroNode, path: string): void {
    const { typeName } = writer;
    if (writer.types !== undefined) {
      this.#union(writer.types, path, (branch) => {
        this.#skip(branch, path);
        return 'undefined';
      });
      return;
    }
    if (isRecord(writer)) {
      this.#skipRecord(writer, path);
      return;
    }
    switch (typeName) {
      case 'null':
        return;
      case 'int':
      case 'long':
      case 'enum':
        // Of any size: a number beyond what JavaScript counts exactly is no fault where nobody reads it.
        this.#need(1, path);
        this.#lines.push(
          `m = 0; while (b[p++] > 0x7f) if (++m > 9 || p >= e) ${failure('cut off, or an integer of more than 10 bytes', path)}`,
        );
        return;
      case 'string':
      case 'bytes':
        this.#length(path);
        this.#lines.push('p += n;');
        return;
      case 'array':
        this.#blocks(path, isEmpty(writer.itemsType!), () => this.#skip(writer.itemsType!, `${path}[]`));
        return;
      case 'map':
        this.#blocks(path, false, () => {
          this.#length(path);
          this.#lines.push('p += n;');
          this.#skip(writer.valuesType!, `${path}{}`);
        });
        return;
      default:
        this.#lines.push(`p += ${{ boolean: 1, float: 4, double: 8 }[typeName] ?? writer.size};`);
        this.#need(0, path);
    }
  }

  #skipRecord(writer: AvroNode, path: string): void {
    let name = this.#skippers.get(writer);
    if (name === undefined && !this.#isApart(writer)) {
      for (const field of writer.fields!) this.#skip(field.type, within(path, field.name));
      return;
    }
    if (name === undefined) {
      name = this.#fresh('skip');
      this.#skippers.set(writer, name);
      this.#function(name, () => {
        for (const field of writer.fields!) this.#skip(field.type, within(nameOf(writer), field.name));
        return 'p';
      });
    }
    this.#lines.push(`p = ${name}(b, d, p, e);`);
  }

  #record(writer: AvroNode, reader: AvroNode, path: string): string {
    let name = this.#readers.get(writer)?.get(reader);
    if (name === undefined && !this.#isApart(writer)) return this.#fields(writer, reader, path);
    if (name === undefined) {
      name = this.#fresh('read');
      const known = this.#readers.get(writer) ?? new Map<AvroNode, string>();
      this.#readers.set(writer, known.set(reader, name));
      this.#function(name, () => {
        const value = this.#fields(writer, reader, nameOf(reader));
        this.#lines.push('after.p = p;');
        return value;
      });
    }
    return this.#define(`${name}(b, d, p, e)`, 'p = after.p;');
  }

  #fields(writer: AvroNode, reader: AvroNode, path: string): string {
    const pairs = fieldPairs(writer, reader);
    const values = new Map<AvroField, string>();
    for (const field of writer.fields!) {
      const target = pairs.get(field);
      const place = within(path, target?.name ?? field.name);
      if (target === undefined) this.#skip(field.type, place);
      else values.set(target, this.read(field.type, target.type, place));
    }
    const properties = reader.fields!.map((field) => {
      const value = values.get(field) ?? `${this.#constant(() => defaultOf(field))}()`;
      return `${property(field.name)}: ${value}`;
    });
    return this.#define(`{ ${properties.join(', ')} }`);
  }

  #isApart(record: AvroNode): boolean {
    return this.#lines.length > MAX_FLAT_LINES || isRecursive(record);
  }

  #function(name: string, body: () => string): void {
    const outer = this.#lines;
    this.#lines = [];
    const value = body();
    this.#functions.push(
      `function ${name}(b, d, p, e) { let m = 0, n = 0; ${this.#lines.join('\n')} return ${value}; }`,
    );
    this.#lines = outer;
  }

  #enum(writer: AvroNode, reader: AvroNode, path: string): string {
    const symbols = writer.symbols!.map((symbol) => (reader.symbols!.includes(symbol) ? symbol : reader.default));
    const index = this.#number('int', 'int', path);
    this.#lines.push(`if (!(${index} >= 0 && ${index} < ${symbols.length})) ${failure('an enum index', path)}`);
    const symbol = this.#define(`${this.#constant(symbols)}[${index}]`);
    if (symbols.includes(undefined))
      this.#lines.push(`if (${symbol} === undefined) ${failure("a symbol that the reader's enum lacks", path)}`);
    return symbol;
  }

  #collection(writer: AvroNode, reader: AvroNode, path: string): string {
    if (writer.typeName === 'array') {
      const out = this.#define('[]');
      this.#blocks(path, isEmpty(writer.itemsType!), () => {
        const value = this.read(writer.itemsType!, reader.itemsType!, `${path}[]`);
        this.#lines.push(`${out}.push(${value});`);
      });
      return out;
    }
    const out = this.#define('{}');
    this.#blocks(path, false, () => {
      this.#length(path);
      const key = this.#define('text(b, p, p + n)', 'p += n;');
      const value = this.read(writer.valuesType!, reader.valuesType!, `${path}{}`);
      this.#lines.push(`if (${key} === '__proto__') setKey(${out}, ${key}, ${value}); else ${out}[${key}] = ${value};`);
    });
    return out;
  }

  /** The blocks of an array or a map. @param empty elements take no bytes (nulls): what is left does not bound their count */
  #blocks(path: string, empty: boolean, element: () => void): void {
    const count = this.#fresh('count');
    const next = `readLong(b, p, e, ${JSON.stringify(path)})`;
    this.#lines.push(`for (let ${count} = ${next}; (p = after.p, ${count} !== 0); ${count} = ${next}) {`);
    this.#lines.push(`if (${count} < 0) { ${count} = -${count}; ${next}; p = after.p; }`);
    this.#lines.push(
      empty
        ? `if ((after.empty += ${count}) > ${MOST_EMPTY}) ${failure('too many elements without content', path)}`
        : `if (${count} > e - p) ${failure('more elements announced than bytes left', path)}`,
    );
    this.#usesEmpty ||= empty;
    this.#lines.push(`for (; ${count} > 0; ${count}--) {`);
    element();
    this.#lines.push('} }');
  }

  #union(branches: readonly AvroNode[], path: string, read: (branch: AvroNode) => string): string {
    const value = this.#fresh('value');
    const index = this.#number('int', 'int', path);
    this.#lines.push(`let ${value};`, `switch (${index}) {`);
    for (const [position, branch] of branches.entries()) {
      this.#lines.push(`case ${position}: {`);
      const expression = read(branch);
      this.#lines.push(`${value} = ${expression}; break; }`);
    }
    this.#lines.push(`default: ${failure('a union branch', path)} }`);
    return value;
  }

  /** An integer of one byte is read in place. */
  #number(from: string, to: string, path: string): string {
    if (from === 'float' || from === 'double') {
      const [bytes, method] = from === 'float' ? [4, 'getFloat32'] : [8, 'getFloat64'];
      this.#need(bytes, path);
      this.#usesView = true;
      return this.#define(`d.${method}(p, true)`, `p += ${bytes};`);
    }
    const value = this.#fresh('value');
    const place = JSON.stringify(path);
    // As a float or double a long is rounded, as in Java; as an integer it must be exact.
    const read = to === 'float' || to === 'double' ? 'readRounded' : 'readLong';
    this.#need(1, path);
    this.#lines.push(
      `let ${value} = b[p];`,
      `if (${value} < 0x80) { p++; ${value} = (${value} >>> 1) ^ -(${value} & 1); }`,
      `else { ${value} = ${read}(b, p, e, ${place}); p = after.p; ${from === 'int' ? int32(value, path) : ''} }`,
    );
    return to === 'float' ? `Math.fround(${value})` : value;
  }

  /** Leaves a length in `n`, checked against what is left. */
  #length(path: string): void {
    this.#need(1, path);
    this.#lines.push(
      'm = b[p];',
      `if (m < 0x80) { p++; n = (m >>> 1) ^ -(m & 1); } else { n = readLong(b, p, e, ${JSON.stringify(path)}); p = after.p; }`,
      `if (n < 0 || n > e - p) ${failure('a length beyond the value', path)}`,
    );
  }

  #need(bytes: number, path: string): void {
    this.#lines.push(`if (p + ${bytes} > e) ${failure('cut off', path)}`);
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

function failure(why: string, path: string): string {
  return `fail(${JSON.stringify(why)}, ${JSON.stringify(path)});`;
}

function int32(value: string, path: string): string {
  return `if ((${value} | 0) !== ${value}) ${failure('an int of more than 32 bits', path)}`;
}

/** Values within values, level by level, end where the stack does. */
function guarded(body: string): string {
  return `try {${body}
} catch (error) { if (error instanceof RangeError) fail('values within values, too many levels', ''); throw error; }`;
}
