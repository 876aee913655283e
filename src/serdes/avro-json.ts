/**
 * Makes values of an Avro schema from parsed JSON of the same shape, by code compiled once for the schema: equal to what the
 * Avro of the value reads as, in an object literal of the same properties, so that code behind it sees one kind of object.
 *
 * The shape is what people write, not Avro's JSON encoding: a union's value stands for itself (`null`, `"text"`), and has the
 * branch's name around it only where the value does not tell the branch, as in AvroType; of a union of a string and bytes a
 * text is the string. Bytes are texts of the characters up to U+00FF. Of an object's properties those that the schema lacks
 * are passed over, and one that is missing has its field's default. Everything else is refused, told by its path as the
 * writer tells it: never by what it is.
 */
import { MAX_FLAT_LINES, onlyKeyOf, property, setKey, within } from './avro-code.ts';
import {
  type AvroField,
  type AvroNode,
  branchesByKind,
  defaultOf,
  isRecord,
  isRecursive,
  isWrapped,
  nameOf,
  type ValueKind,
} from './avro-schema.ts';
import { DeserializationError } from './errors.ts';
import { misfit } from './kinds.ts';

/** Takes what JSON.parse gave. @throws DeserializationError */
export type JsonReader = (parsed: unknown) => unknown;

/**
 * @param name of the serde, for messages
 * @param fields of the record that are put into its values; the others may be missing, and are checked where they are not.
 *   Left out: all
 */
export function compileJsonReader(name: string, type: AvroNode, fields?: readonly string[]): JsonReader {
  const compiler = new Compiler(fields === undefined ? undefined : { record: type, fields: new Set(fields) });
  return compiler.link(name, compiler.read(type, 'v', ''));
}

/** Code that reads `v`; the value is named by the expression that `read` returns. */
class Compiler {
  /** The record of which only some fields are used. */
  readonly #part: { readonly record: AvroNode; readonly fields: ReadonlySet<string> } | undefined;
  #lines: string[] = [];
  readonly #functions: string[] = [];
  readonly #readers = new Map<AvroNode, string>();
  readonly #constants = new Map<string, unknown>();
  #counter = 0;

  constructor(part: { readonly record: AvroNode; readonly fields: ReadonlySet<string> } | undefined) {
    this.#part = part;
  }

  link(name: string, value: string): JsonReader {
    const refuse = (path: string, needed: string, found: unknown): never => {
      throw new DeserializationError(name, misfit(path, needed, found));
    };
    const missing = (path: string): never => {
      throw new DeserializationError(name, `the field ${path} is missing and has no default`);
    };
    const source = `'use strict';
${this.#functions.join('\n')}
return (v) => { ${this.#lines.join('\n')} return ${value}; };`;
    return new Function('refuse', 'missing', 'bytesOf', 'onlyKey', 'setKey', ...this.#constants.keys(), source)(
      refuse,
      missing,
      bytesOf,
      onlyKeyOf,
      setKey,
      ...this.#constants.values(),
    ) as JsonReader;
  }

  read(type: AvroNode, value: string, path: string): string {
    if (type.types !== undefined) {
      return isWrapped(type) ? this.#wrapped(type.types, value, path) : this.#union(type.types, value, path);
    }
    if (isRecord(type)) return this.#record(type, value, path);
    switch (type.typeName) {
      case 'null':
        this.#check(`${value} === null`, value, 'null', path);
        return 'null';
      case 'boolean':
        this.#check(`typeof ${value} === 'boolean'`, value, 'a boolean', path);
        return value;
      case 'int':
        // JSON has a zero below 0, and integers have none.
        this.#check(`typeof ${value} === 'number' && (${value} | 0) === ${value}`, value, 'a 32-bit integer', path);
        return `(${value} | 0)`;
      case 'long':
        this.#check(`Number.isSafeInteger(${value})`, value, 'an integer within ±2^53', path);
        return `(${value} + 0)`;
      case 'float':
        this.#check(
          `typeof ${value} === 'number' && Number.isFinite(Math.fround(${value}))`,
          value,
          'a number in the range of a float',
          path,
        );
        return `Math.fround(${value})`;
      case 'double':
        this.#check(`Number.isFinite(${value})`, value, 'a number in the range of a double', path);
        return value;
      case 'string':
        this.#check(`typeof ${value} === 'string'`, value, 'a string', path);
        return value;
      case 'enum':
        return this.#enum(type, value, path);
      case 'array':
        return this.#array(type.itemsType!, value, path);
      case 'map':
        return this.#map(type.valuesType!, value, path);
      default:
        return this.#bytes(type.size, value, path);
    }
  }

  #record(type: AvroNode, value: string, path: string): string {
    let name = this.#readers.get(type);
    if (name === undefined && this.#lines.length <= MAX_FLAT_LINES && !isRecursive(type))
      return this.#fields(type, value, path);
    if (name === undefined) {
      name = this.#fresh('read');
      this.#readers.set(type, name);
      const outer = this.#lines;
      this.#lines = [];
      const result = this.#fields(type, 'v', nameOf(type));
      this.#functions.push(`function ${name}(v) { ${this.#lines.join('\n')} return ${result}; }`);
      this.#lines = outer;
    }
    return this.#define(`${name}(${value})`);
  }

  #fields(type: AvroNode, value: string, path: string): string {
    this.#check(isObject(value), value, `an object with the fields of ${nameOf(type)}`, path);
    const names = new Set(type.fields!.map((field) => field.name));
    const properties: string[] = [];
    for (const field of type.fields!) {
      const isUsed = this.#part?.record !== type || this.#part.fields.has(field.name);
      const result = this.#field(field, names, value, within(path, field.name), isUsed);
      if (isUsed) properties.push(`${property(field.name)}: ${result}`);
    }
    return this.#define(`{ ${properties.join(', ')} }`);
  }

  /** @param names of the record's fields: an alias never takes what another field is named */
  #field(field: AvroField, names: ReadonlySet<string>, value: string, path: string, isUsed: boolean): string {
    const found = this.#fresh('found');
    const result = this.#fresh('field');
    this.#lines.push(`let ${found} = ${own(value, field.name)}, ${result};`);
    for (const alias of field.aliases)
      if (!names.has(alias)) this.#lines.push(`if (${found} === undefined) ${found} = ${own(value, alias)};`);
    this.#lines.push(`if (${found} !== undefined) {`);
    this.#lines.push(`${result} = ${this.read(field.type, found, path)};`);
    const standIn = defaultOf(field);
    if (standIn !== undefined) this.#lines.push(`} else { ${result} = ${this.#default(field, standIn)};`);
    else if (isUsed) this.#lines.push(`} else { missing(${JSON.stringify(path)});`);
    this.#lines.push('}');
    return result;
  }

  /** What can be changed is made anew for each value. */
  #default(field: AvroField, value: unknown): string {
    const isFixed = typeof value !== 'object' || value === null;
    return isFixed ? this.#constant(value) : `${this.#constant(() => defaultOf(field))}()`;
  }

  /** As in resolution, a symbol that is not among the enum's stands for its default. */
  #enum(type: AvroNode, value: string, path: string): string {
    const symbols = this.#constant(new Set(type.symbols));
    if (type.default === undefined) {
      this.#check(`${symbols}.has(${value})`, value, `a symbol of ${nameOf(type)}`, path);
      return value;
    }
    this.#check(`typeof ${value} === 'string'`, value, `a symbol of ${nameOf(type)}`, path);
    return this.#define(`${symbols}.has(${value}) ? ${value} : ${JSON.stringify(type.default)}`);
  }

  #array(items: AvroNode, value: string, path: string): string {
    this.#check(`Array.isArray(${value})`, value, 'an array', path);
    const out = this.#define('[]');
    const item = this.#fresh('item');
    this.#lines.push(`for (const ${item} of ${value}) {`);
    this.#lines.push(`${out}.push(${this.read(items, item, `${path}[]`)});`, '}');
    return out;
  }

  #map(values: AvroNode, value: string, path: string): string {
    this.#check(isObject(value), value, 'an object of keys and values', path);
    const out = this.#define('{}');
    const key = this.#fresh('key');
    const item = this.#fresh('item');
    this.#lines.push(`for (const ${key} of Object.keys(${value})) {`, `const ${item} = ${value}[${key}];`);
    const result = this.read(values, item, `${path}{}`);
    this.#lines.push(`if (${key} === '__proto__') setKey(${out}, ${key}, ${result}); else ${out}[${key}] = ${result};`);
    this.#lines.push('}');
    return out;
  }

  /** @param size of a fixed */
  #bytes(size: number | undefined, value: string, path: string): string {
    const needed = 'a string of characters up to U+00FF';
    const result = this.#define(`bytesOf(${value})`);
    const fits = size === undefined ? '' : ` && ${result}.length === ${size}`;
    this.#check(
      `${result} !== undefined${fits}`,
      value,
      size === undefined ? needed : `${needed}, ${size} of them,`,
      path,
    );
    return result;
  }

  #union(branches: readonly AvroNode[], value: string, path: string): string {
    const result = this.#fresh('branch');
    this.#lines.push(`let ${result};`);
    for (const [position, { kind, branch }] of branchesByKind(branches).entries()) {
      this.#lines.push(`${position === 0 ? '' : 'else '}if (${TESTS[kind](value)}) {`);
      this.#lines.push(`${result} = ${this.read(branch, value, path)};`, '}');
    }
    this.#lines.push(`else ${refusal(value, `one of ${branches.map(nameOf).join(', ')}`, path)}`);
    return result;
  }

  #wrapped(branches: readonly AvroNode[], value: string, path: string): string {
    const result = this.#fresh('branch');
    const inner = this.#fresh('inner');
    const named = branches.filter(({ typeName }) => typeName !== 'null');
    const takesNull = named.length < branches.length;
    const needed = `an object with one property, ${named.map(nameOf).join(' or ')}${takesNull ? ', or null' : ','}`;
    this.#lines.push(`let ${result} = null, ${inner};`, takesNull ? `if (${value} !== null)` : '');
    this.#lines.push(`switch (onlyKey(${value})) {`);
    for (const branch of named) {
      const name = nameOf(branch);
      this.#lines.push(`case ${JSON.stringify(name)}: {`, `${inner} = ${value}[${JSON.stringify(name)}];`);
      const expression = this.read(branch, inner, within(path, name));
      this.#lines.push(`${result} = { ${property(name)}: ${expression} };`, 'break; }');
    }
    this.#lines.push(`default: ${refusal(value, needed, path)} }`);
    return result;
  }

  #check(condition: string, value: string, needed: string, path: string): void {
    this.#lines.push(`if (!(${condition})) ${refusal(value, needed, path)}`);
  }

  #define(expression: string): string {
    const name = this.#fresh('value');
    this.#lines.push(`const ${name} = ${expression};`);
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

function refusal(value: string, needed: string, path: string): string {
  return `refuse(${JSON.stringify(path)}, ${JSON.stringify(needed)}, ${value});`;
}

function isObject(value: string): string {
  return `typeof ${value} === 'object' && ${value} !== null && !Array.isArray(${value})`;
}

/** A property of the object's own: what every object has, `constructor` for example, is none. */
function own(value: string, name: string): string {
  const access = `${value}[${JSON.stringify(name)}]`;
  return name in {} ? `(Object.hasOwn(${value}, ${JSON.stringify(name)}) ? ${access} : undefined)` : access;
}

/** What tells the branches of a union that is not wrapped; bytes are texts, and come behind what is one. */
const TESTS: Readonly<Record<ValueKind, (value: string) => string>> = {
  null: (value) => `${value} === null`,
  boolean: (value) => `typeof ${value} === 'boolean'`,
  number: (value) => `typeof ${value} === 'number'`,
  string: (value) => `typeof ${value} === 'string'`,
  buffer: (value) => `typeof ${value} === 'string'`,
  array: (value) => `Array.isArray(${value})`,
  object: (value) => `typeof ${value} === 'object'`,
};

/** The bytes that a text's characters are; undefined where it is none, or has others. */
function bytesOf(value: unknown): Buffer | undefined {
  if (typeof value !== 'string') return undefined;
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 0xff) return undefined;
  return Buffer.from(value, 'latin1');
}
