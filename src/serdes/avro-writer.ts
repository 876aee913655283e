/**
 * Writes values as Avro binary, by code compiled once for a schema. It takes what the reader gives for the same schema and
 * nothing else, and says of what it refuses where it stands and what is needed there, never what it is: paths hold the names
 * of fields, `[]` for an element of an array and `{}` for a value of a map.
 *
 * Two things are let pass: undefined stands for null, as everywhere, and for a field's default where it has one.
 */
import type { ByteWriter } from '../bytes.ts';
import { MAX_FLAT_LINES, onlyKeyOf, within } from './avro-code.ts';
import { LONG_BYTES, writeLong } from './avro-integers.ts';
import {
  type AvroNode,
  branchesByKind,
  defaultOf,
  isRecord,
  isRecursive,
  isWrapped,
  nameOf,
  type ValueKind,
} from './avro-schema.ts';
import { SerializationError } from './errors.ts';
import { isBytes, misfit } from './kinds.ts';

/** Appends a value's bytes. @throws SerializationError */
export type AvroWriter = (value: unknown, out: ByteWriter) => void;

/** @param name of the serde, for messages */
export function compileAvroWriter(name: string, type: AvroNode): AvroWriter {
  const compiler = new Compiler();
  compiler.write(type, 'v', '');
  return compiler.link(name);
}

/** What compiled code calls where a value is none of the type; `needed` with its article. */
type Refuse = (path: string, needed: string, value: unknown) => never;

/** Bytes that room is made for at once: several numbers share one look at the buffer. */
const ROOM_BYTES = 64;

/** Between a call that moves the writer's position, perhaps to another buffer, and the next byte. */
const RELOAD = 'p = out.position; b = out.buffer; d = out.view;';

/** Writes statements that move `p` through `b` (seen by the view `d`) as `out` grows. */
class Compiler {
  #lines: string[] = [];
  readonly #functions: string[] = [];
  readonly #writers = new Map<AvroNode, string>();
  readonly #constants = new Map<string, unknown>();
  #counter = 0;
  /** Bytes for which there is room at this place of the code. */
  #room = 0;

  link(name: string): AvroWriter {
    const refuse: Refuse = (path, needed, value) => {
      throw new SerializationError(name, misfit(path, needed, value));
    };
    const source = `'use strict';
${this.#functions.join('\n')}
return (v, out) => { ${body(this.#lines)} };`;
    return new Function(
      'refuse',
      'writeLong',
      'writeText',
      'writeBytes',
      'isBytes',
      'keysOf',
      'onlyKey',
      ...this.#constants.keys(),
      source,
    )(refuse, writeLong, writeText, writeBytes, isBytes, keysOf, onlyKeyOf, ...this.#constants.values()) as AvroWriter;
  }

  write(type: AvroNode, value: string, path: string): void {
    if (type.types !== undefined) {
      if (isWrapped(type)) this.#wrapped(type.types, value, path);
      else this.#union(type.types, value, path);
      return;
    }
    if (isRecord(type)) {
      this.#record(type, value, path);
      return;
    }
    switch (type.typeName) {
      case 'null':
        this.#check(`${value} === null || ${value} === undefined`, value, 'null', path);
        return;
      case 'boolean':
        this.#check(`typeof ${value} === 'boolean'`, value, 'a boolean', path);
        this.#bytes(1, `b[p++] = ${value} ? 1 : 0;`);
        return;
      case 'int':
        this.#check(`typeof ${value} === 'number' && (${value} | 0) === ${value}`, value, 'a 32-bit integer', path);
        this.#long(value);
        return;
      case 'long':
        this.#check(`Number.isSafeInteger(${value})`, value, 'an integer within ±2^53', path);
        this.#long(value);
        return;
      case 'float':
      case 'double':
        this.#check(`typeof ${value} === 'number'`, value, 'a number', path);
        if (type.typeName === 'float') this.#bytes(4, `d.setFloat32(p, ${value}, true); p += 4;`);
        else this.#bytes(8, `d.setFloat64(p, ${value}, true); p += 8;`);
        return;
      case 'string':
        this.#check(`typeof ${value} === 'string'`, value, 'a string', path);
        this.#call(`writeText(out, ${value});`);
        return;
      case 'bytes':
        this.#check(`isBytes(${value})`, value, 'a Buffer', path);
        this.#call(`writeBytes(out, ${value});`);
        return;
      case 'fixed':
        this.#check(
          `isBytes(${value}) && ${value}.length === ${type.size}`,
          value,
          `a Buffer of ${type.size} bytes`,
          path,
        );
        this.#call(`out.bytes(${value});`);
        return;
      case 'enum':
        this.#enum(type, value, path);
        return;
      case 'array':
        this.#array(type.itemsType!, value, path);
        return;
      default:
        this.#map(type.valuesType!, value, path);
    }
  }

  #record(type: AvroNode, value: string, path: string): void {
    let name = this.#writers.get(type);
    if (name === undefined && this.#lines.length <= MAX_FLAT_LINES && !isRecursive(type)) {
      this.#fields(type, value, path);
      return;
    }
    if (name === undefined) {
      name = this.#fresh('write');
      this.#writers.set(type, name);
      const outer = this.#lines;
      const room = this.#room;
      this.#lines = [];
      this.#room = 0;
      this.#fields(type, 'v', nameOf(type));
      this.#functions.push(`function ${name}(v, out) { ${body(this.#lines)} }`);
      this.#lines = outer;
      this.#room = room;
    }
    this.#call(`${name}(${value}, out);`);
  }

  #fields(type: AvroNode, value: string, path: string): void {
    const isObject = `typeof ${value} === 'object' && ${value} !== null && !Array.isArray(${value})`;
    this.#check(isObject, value, `an object with the fields of ${nameOf(type)}`, path);
    for (const field of type.fields!) {
      const name = this.#fresh('field');
      this.#lines.push(`let ${name} = ${value}[${JSON.stringify(field.name)}];`);
      const standIn = defaultOf(field);
      if (standIn !== undefined) this.#lines.push(`if (${name} === undefined) ${name} = ${this.#constant(standIn)};`);
      this.write(field.type, name, within(path, field.name));
    }
  }

  #enum(type: AvroNode, value: string, path: string): void {
    const index = this.#fresh('index');
    const indices = this.#constant(new Map(type.symbols!.map((symbol, i) => [symbol, i])));
    this.#lines.push(`const ${index} = ${indices}.get(${value});`);
    this.#check(`${index} !== undefined`, value, `a symbol of ${nameOf(type)}`, path);
    this.#long(index);
  }

  #array(items: AvroNode, value: string, path: string): void {
    this.#check(`Array.isArray(${value})`, value, 'an array', path);
    const at = this.#fresh('i');
    const count = this.#fresh('count');
    const item = this.#fresh('item');
    this.#lines.push(`const ${count} = ${value}.length;`);
    this.#block(`if (${count} > 0)`, () => {
      this.#long(count);
      this.#block(`for (let ${at} = 0; ${at} < ${count}; ${at}++)`, () => {
        this.#lines.push(`const ${item} = ${value}[${at}];`);
        this.write(items, item, `${path}[]`);
      });
    });
    this.#bytes(1, 'b[p++] = 0;');
  }

  #map(values: AvroNode, value: string, path: string): void {
    const keys = this.#fresh('keys');
    const key = this.#fresh('key');
    const item = this.#fresh('item');
    this.#lines.push(`const ${keys} = keysOf(${value});`);
    this.#check(`${keys} !== undefined`, value, 'an object of keys and values', path);
    this.#block(`if (${keys}.length > 0)`, () => {
      this.#long(`${keys}.length`);
      this.#block(`for (const ${key} of ${keys})`, () => {
        this.#lines.push(`const ${item} = ${value}[${key}];`);
        this.#call(`writeText(out, ${key});`);
        this.write(values, item, `${path}{}`);
      });
    });
    this.#bytes(1, 'b[p++] = 0;');
  }

  /** By the kind of value, of which there is one branch each. */
  #union(branches: readonly AvroNode[], value: string, path: string): void {
    for (const [position, { kind, index, branch }] of branchesByKind(branches).entries()) {
      this.#block(`${position === 0 ? '' : 'else '}if (${TESTS[kind](value)})`, () => {
        this.#long(String(index));
        if (branch.typeName !== 'null') this.write(branch, value, path);
      });
    }
    this.#lines.push(`else ${refusal(value, `one of ${branches.map(nameOf).join(', ')}`, path)}`);
  }

  #wrapped(branches: readonly AvroNode[], value: string, path: string): void {
    const key = this.#fresh('key');
    const inner = this.#fresh('inner');
    const hasNull = branches.findIndex(({ typeName }) => typeName === 'null');
    const names = branches.map(nameOf).filter((name) => name !== 'null');
    const needed = `an object with one property, ${names.join(' or ')}${hasNull < 0 ? ',' : ', or null'}`;
    if (hasNull >= 0)
      this.#block(`if (${value} === null || ${value} === undefined)`, () => this.#long(String(hasNull)));
    this.#block(hasNull >= 0 ? 'else' : '', () => {
      this.#lines.push(`const ${key} = onlyKey(${value});`, `switch (${key}) {`);
      for (const [index, branch] of branches.entries()) {
        if (index === hasNull) continue;
        const name = nameOf(branch);
        this.#block(`case ${JSON.stringify(name)}:`, () => {
          this.#long(String(index));
          this.#lines.push(`const ${inner} = ${value}[${key}];`);
          this.write(branch, inner, within(path, name));
          this.#lines.push('break;');
        });
      }
      this.#lines.push(`default: ${refusal(value, needed, path)} }`);
    });
  }

  #check(condition: string, value: string, needed: string, path: string): void {
    this.#lines.push(`if (!(${condition})) ${refusal(value, needed, path)}`);
  }

  /** Small ones, as counts and indices are, in place. */
  #long(value: string): void {
    this.#bytes(
      LONG_BYTES,
      `if (${value} >= -64 && ${value} < 64) b[p++] = (${value} << 1) ^ (${value} >> 31); else p = writeLong(b, p, ${value});`,
    );
  }

  /** A statement that writes at most `most` bytes. */
  #bytes(most: number, statement: string): void {
    if (this.#room < most) {
      const bytes = Math.max(most, ROOM_BYTES);
      this.#lines.push(`if (p + ${bytes} > b.length) { out.position = p; out.ensure(${bytes}); ${RELOAD} }`);
      this.#room = bytes;
    }
    this.#room -= most;
    this.#lines.push(statement);
  }

  /** A statement that writes through `out`. */
  #call(statement: string): void {
    this.#lines.push(`out.position = p; ${statement} ${RELOAD}`);
    this.#room = 0;
  }

  /** Code that may run never or often: what room there is before it or behind it is not known. */
  #block(head: string, inside: () => void): void {
    this.#lines.push(`${head} {`);
    this.#room = 0;
    inside();
    this.#lines.push('}');
    this.#room = 0;
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

function body(lines: readonly string[]): string {
  return `let p = out.position, b = out.buffer, d = out.view;
${lines.join('\n')}
out.position = p;`;
}

function refusal(value: string, needed: string, path: string): string {
  return `refuse(${JSON.stringify(path)}, ${JSON.stringify(needed)}, ${value});`;
}

/** What tells the branches of a union that is not wrapped, objects last: arrays and buffers are objects too. */
const TESTS: Readonly<Record<ValueKind, (value: string) => string>> = {
  null: (value) => `${value} === null || ${value} === undefined`,
  boolean: (value) => `typeof ${value} === 'boolean'`,
  number: (value) => `typeof ${value} === 'number'`,
  string: (value) => `typeof ${value} === 'string'`,
  buffer: (value) => `isBytes(${value})`,
  array: (value) => `Array.isArray(${value})`,
  object: (value) => `typeof ${value} === 'object' && ${value} !== null`,
};

/** Texts of this many bytes have a length of one byte. */
const SHORT_BYTES = 64;

/** Hot. Length and UTF-8. */
function writeText(out: ByteWriter, value: string): void {
  const { length } = value;
  // Three bytes a UTF-16 unit is UTF-8's worst case.
  out.ensure(length * 3 + LONG_BYTES);
  const { buffer, position } = out;
  if (length < SHORT_BYTES) {
    // Short ASCII, as names are, beats the call into native code.
    let i = 0;
    for (let unit = 0; i < length && (unit = value.charCodeAt(i)) < 0x80; i++) buffer[position + 1 + i] = unit;
    if (i === length) {
      buffer[position] = length << 1;
      out.position = position + 1 + length;
      return;
    }
  }
  const start = writeLong(buffer, position, Buffer.byteLength(value));
  out.position = start + buffer.write(value, start, 'utf8');
}

function writeBytes(out: ByteWriter, value: Uint8Array): void {
  out.ensure(LONG_BYTES);
  out.position = writeLong(out.buffer, out.position, value.length);
  out.bytes(value);
}

/** undefined where the value is no object of properties: what a Map or a Date holds would be lost without a word. */
function keysOf(value: unknown): string[] | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const isPlain = Object.getPrototypeOf(value) === Object.prototype;
  return isPlain || Object.prototype.toString.call(value) === '[object Object]' ? Object.keys(value) : undefined;
}
