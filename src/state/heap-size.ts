/**
 * What a value takes of V8's heap, by walking it: for values whose serde has no `sizeOf`. Sizes are those of 64-bit V8
 * without pointer compression, as in Node; a word is 8 bytes.
 */

/** Behind this many objects each is remembered: what is shared, or is a cycle, counts once. */
const REMEMBERED_AFTER = 1024;
const MAX_DEPTH = 256;
/** An object that is filled with more properties than this is a hash table inside. */
const MAX_FAST_PROPERTIES = 16;
/** Names that are remembered, to tell fields from data. */
const MAX_NAMES = 4096;

const DOUBLE_BYTES = 16;
const STRING_HEAD_BYTES = 16;
const ARRAY_BYTES = 48;
const OBJECT_BYTES = 24;
/** Arrays that grow by push have a fifth of spare room on average. */
const ELEMENT_BYTES = 10;
const EMPTY_OBJECT_BYTES = 56;
/** In a hash table; or in a hidden class that no other object shares. */
const HASHED_PROPERTY_BYTES = 56;
const MAP_BYTES = 130;
const MAP_ENTRY_BYTES = 42;
const SET_ENTRY_BYTES = 30;
/** A view, and the memory that it shows. */
const BUFFER_BYTES = 200;

export interface HeapSize {
  bytes: number;
  /** Something in it is of a class: it may have private fields, which cannot be seen. */
  opaque: boolean;
}

const result: HeapSize = { bytes: 0, opaque: false };
let visited = 0;
let remembered: Set<object> | undefined;
let owner: unknown;
/** Property names to the one owner that they were seen in, or to `SHARED`. */
const owners = new Map<string, unknown>();
const SHARED = Symbol('shared');

/**
 * Bytes, without the reference to the value itself. The result is overwritten by the next call.
 * @param of what the value belongs to, a primitive. Names of properties that many owners have are fields: they cost a word.
 * Names that one owner has alone are data, e.g. of counts by page: the text, and a place in a table
 */
export function heapSizeOf(value: unknown, of: unknown): Readonly<HeapSize> {
  owner = of;
  result.opaque = false;
  visited = 0;
  remembered = undefined;
  result.bytes = sizeOf(value, 0);
  remembered = undefined;
  return result;
}

/** The bytes of a one-byte string of this length. */
export function textBytes(length: number): number {
  return (STRING_HEAD_BYTES + length + 7) & ~7;
}

function sizeOf(value: unknown, depth: number): number {
  switch (typeof value) {
    case 'number':
      // Small integers stand in the reference.
      return (value | 0) === value ? 0 : DOUBLE_BYTES;
    case 'string':
      return stringSize(value);
    case 'bigint':
      return 32;
    case 'object':
      return value === null ? 0 : objectSize(value, depth);
    default:
      return 0;
  }
}

function stringSize(text: string): number {
  const { length } = text;
  if (length === 0) return 0;
  // Looking at a character makes one string of a chain of concatenations, each of which would hold two others.
  let wide = text.charCodeAt(length - 1) > 0xff;
  if (length <= 32) for (let i = 0; i < length && !wide; i++) wide = text.charCodeAt(i) > 0xff;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of one-byte characters begins at 0
  else wide ||= /[^\x00-\xff]/.test(text);
  return textBytes(wide ? length * 2 : length);
}

function objectSize(value: object, depth: number): number {
  if (++visited > REMEMBERED_AFTER) {
    remembered ??= new Set();
    if (remembered.has(value)) return 0;
    remembered.add(value);
  }
  if (depth > MAX_DEPTH) return OBJECT_BYTES;
  if (Array.isArray(value)) return arraySize(value, depth);
  const prototype = Object.getPrototypeOf(value) as unknown;
  if (prototype === Object.prototype || prototype === null) return propertiesSize(value, depth);
  if (ArrayBuffer.isView(value)) return BUFFER_BYTES + value.byteLength;
  if (value instanceof Map) return mapSize(value, depth);
  if (value instanceof Set) return setSize(value, depth);
  if (value instanceof Date) return 100;
  result.opaque = true;
  return propertiesSize(value, depth);
}

function arraySize(value: readonly unknown[], depth: number): number {
  let bytes = ARRAY_BYTES + value.length * ELEMENT_BYTES;
  let doubles = 0;
  let others = false;
  for (const element of value) {
    if (typeof element === 'number') {
      if ((element | 0) !== element) doubles++;
    } else {
      others = true;
      bytes += sizeOf(element, depth + 1);
    }
  }
  // An array of numbers alone has doubles in place.
  return others ? bytes + doubles * DOUBLE_BYTES : bytes;
}

function propertiesSize(value: object, depth: number): number {
  let bytes = 0;
  let properties = 0;
  let own = 0;
  let names = 0;
  for (const name in value) {
    properties++;
    if (!isShared(name)) {
      own++;
      names += textBytes(name.length);
    }
    bytes += sizeOf((value as Record<string, unknown>)[name], depth + 1);
  }
  if (properties === 0) return EMPTY_OBJECT_BYTES;
  const hashed = properties > MAX_FAST_PROPERTIES ? properties : own;
  return OBJECT_BYTES + bytes + names + properties * 8 + hashed * HASHED_PROPERTY_BYTES;
}

function isShared(name: string): boolean {
  const before = owners.get(name);
  if (before === SHARED) return true;
  if (before === undefined) {
    if (owners.size >= MAX_NAMES) owners.clear();
    owners.set(name, owner);
    return false;
  }
  if (before === owner) return false;
  owners.set(name, SHARED);
  return true;
}

function mapSize(value: ReadonlyMap<unknown, unknown>, depth: number): number {
  let bytes = MAP_BYTES;
  for (const [key, item] of value) bytes += MAP_ENTRY_BYTES + sizeOf(key, depth + 1) + sizeOf(item, depth + 1);
  return bytes;
}

function setSize(value: ReadonlySet<unknown>, depth: number): number {
  let bytes = MAP_BYTES;
  for (const item of value) bytes += SET_ENTRY_BYTES + sizeOf(item, depth + 1);
  return bytes;
}
