/**
 * Kafka's protocol types, as values that read and write: messages are described once, with the versions in which each
 * field is there, and handlers get and give plain objects. Flexible versions (KIP-482) have compact lengths and tagged
 * fields; which versions those are is the message's to say.
 *
 * Every length and count is checked against what is left: a hostile frame fails, it never allocates.
 */
import { ByteWriter } from '../../bytes.ts';

/** A frame that does not hold what its header says. Its connection is closed. */
export class MalformedRequestError extends Error {}

export class FrameReader {
  readonly buffer: Buffer;
  readonly version: number;
  readonly flexible: boolean;
  position: number;

  constructor(buffer: Buffer, position: number, version: number, flexible: boolean) {
    this.buffer = buffer;
    this.position = position;
    this.version = version;
    this.flexible = flexible;
  }

  /** Moves over `bytes` and returns where they begin. */
  take(bytes: number): number {
    const at = this.position;
    if (bytes < 0 || bytes > this.buffer.length - at) throw new MalformedRequestError(`${bytes} bytes at ${at}`);
    this.position = at + bytes;
    return at;
  }

  unsignedVarint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.buffer[this.take(1)]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new MalformedRequestError('variable-length integer');
  }

  /** −1 stands for null. Compact lengths are one more than the length. */
  length(wide: boolean): number {
    if (this.flexible) return this.unsignedVarint() - 1;
    return wide ? this.buffer.readInt32BE(this.take(4)) : this.buffer.readInt16BE(this.take(2));
  }

  skipTags(): void {
    if (!this.flexible) return;
    for (let count = this.unsignedVarint(); count > 0; count--) {
      this.unsignedVarint();
      this.take(this.unsignedVarint());
    }
  }
}

export class FrameWriter {
  readonly out = new ByteWriter(512);
  readonly version: number;
  readonly flexible: boolean;
  /** What is written so far and large buffers that stand in between, which are not copied. */
  readonly #parts: Buffer[] = [];
  #from = 0;

  constructor(version: number, flexible: boolean) {
    this.version = version;
    this.flexible = flexible;
  }

  unsignedVarint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.out.int8((rest & 0x7f) | 0x80);
      rest = Math.floor(rest / 128);
    }
    this.out.int8(rest);
  }

  length(value: number, wide: boolean): void {
    if (this.flexible) this.unsignedVarint(value + 1);
    else if (wide) this.out.int32(value);
    else this.out.int16(value);
  }

  tags(): void {
    if (this.flexible) this.out.int8(0);
  }

  /** Bytes that are handed to the socket as they are. */
  large(bytes: Buffer): void {
    this.#cut();
    this.#parts.push(bytes);
  }

  parts(): readonly Buffer[] {
    this.#cut();
    return this.#parts;
  }

  #cut(): void {
    if (this.out.position > this.#from) this.#parts.push(this.out.copy(this.#from));
    this.#from = this.out.position;
  }
}

export interface WireType<T> {
  read(reader: FrameReader): T;
  write(writer: FrameWriter, value: T): void;
}

export type ValueOf<W> = W extends WireType<infer T> ? T : never;

export const int8: WireType<number> = {
  read: (r) => r.buffer.readInt8(r.take(1)),
  write: (w, value) => void w.out.int8(value),
};
export const bool: WireType<boolean> = {
  read: (r) => r.buffer[r.take(1)] !== 0,
  write: (w, value) => void w.out.int8(value ? 1 : 0),
};
export const int16: WireType<number> = {
  read: (r) => r.buffer.readInt16BE(r.take(2)),
  write: (w, value) => void w.out.int16(value),
};
export const int32: WireType<number> = {
  read: (r) => r.buffer.readInt32BE(r.take(4)),
  write: (w, value) => void w.out.int32(value),
};
/** As a number: exact within ±2^53. */
export const int64: WireType<number> = {
  read: (r) => Number(r.buffer.readBigInt64BE(r.take(8))),
  write: (w, value) => void w.out.int64(value),
};
/** 16 bytes as hex. */
export const uuid: WireType<string> = {
  read(r) {
    const at = r.take(16);
    return r.buffer.toString('hex', at, at + 16);
  },
  write: (w, value) => void w.out.bytes(Buffer.from(value, 'hex')),
};

export const nullableString: WireType<string | null> = {
  read(r) {
    const length = r.length(false);
    if (length === -1) return null;
    const at = r.take(length);
    return r.buffer.toString('utf8', at, at + length);
  },
  write(w, value) {
    if (value === null) {
      w.length(-1, false);
      return;
    }
    w.length(Buffer.byteLength(value), false);
    w.out.utf8(value);
  },
};
export const string: WireType<string> = {
  read: (r) => nullableString.read(r) ?? malformed('null where a string must be'),
  write: nullableString.write,
};

/** A view of the frame. */
export const nullableBytes: WireType<Buffer | null> = {
  read(r) {
    const length = r.length(true);
    if (length === -1) return null;
    const at = r.take(length);
    return r.buffer.subarray(at, at + length);
  },
  write(w, value) {
    w.length(value === null ? -1 : value.length, true);
    if (value === null) return;
    if (value.length > 1024) w.large(value);
    else w.out.bytes(value);
  },
};
export const bytes: WireType<Buffer> = {
  read: (r) => nullableBytes.read(r) ?? malformed('null where bytes must be'),
  write: nullableBytes.write,
};

export function nullableArray<T>(item: WireType<T>): WireType<readonly T[] | null> {
  return {
    read(r) {
      const count = r.length(true);
      if (count === -1) return null;
      // An item takes a byte at least: what cannot be is refused before anything is sized by it.
      if (count < 0 || count > r.buffer.length - r.position) malformed(`an array of ${count}`);
      const items: T[] = [];
      for (let i = 0; i < count; i++) items.push(item.read(r));
      return items;
    },
    write(w, items) {
      w.length(items === null ? -1 : items.length, true);
      for (const one of items ?? []) item.write(w, one);
    },
  };
}

export function array<T>(item: WireType<T>): WireType<readonly T[]> {
  const inner = nullableArray(item);
  return { read: (r) => inner.read(r) ?? [], write: inner.write };
}

/** A field that some versions do not have. */
export interface VersionedField<T> {
  readonly type: WireType<T>;
  readonly from: number;
  readonly to: number;
  /** What a reader gets where the field is not there. */
  readonly fallback: T;
}

/** @param from the first version with the field, @param to the last */
export function since<T>(
  from: number,
  type: WireType<T>,
  fallback: NoInfer<T>,
  to = Number.POSITIVE_INFINITY,
): VersionedField<T> {
  return { type, from, to, fallback };
}

/** A field that flexible versions may have or not, behind the others: null where it is not there. */
export interface TaggedField<T> {
  readonly tag: number;
  readonly type: WireType<T>;
}

/** @param tag the field's number in its struct */
export function tagged<T>(tag: number, type: WireType<T>): TaggedField<T> {
  return { tag, type };
}

// biome-ignore lint/suspicious/noExplicitAny: fields of any types; the struct's own type is inferred from them
type Field = WireType<any> | VersionedField<any> | TaggedField<any>;

type FieldValue<F> =
  F extends TaggedField<infer T>
    ? T | null
    : F extends VersionedField<infer T>
      ? T
      : F extends WireType<infer T>
        ? T
        : never;

/** A message or a part of one: fields in the order they stand in. In flexible versions tagged fields follow. */
export function struct<const F extends Readonly<Record<string, Field>>>(
  fields: F,
): WireType<{ readonly [K in keyof F]: FieldValue<F[K]> }> {
  type Value = { readonly [K in keyof F]: FieldValue<F[K]> };
  const entries: (VersionedField<unknown> & { readonly name: string })[] = [];
  const tags: (TaggedField<unknown> & { readonly name: string })[] = [];
  for (const [name, field] of Object.entries(fields)) {
    if ('tag' in field) tags.push({ name, ...field });
    else if ('from' in field) entries.push({ name, ...field });
    else entries.push({ name, type: field, from: 0, to: Number.POSITIVE_INFINITY, fallback: null });
  }
  return {
    read(r) {
      const value: Record<string, unknown> = {};
      for (const { name, type, from, to, fallback } of entries)
        value[name] = r.version >= from && r.version <= to ? type.read(r) : fallback;
      if (tags.length === 0) r.skipTags();
      else readTags(r, tags, value);
      return value as Value;
    },
    write(w, value) {
      const values = value as Record<string, unknown>;
      for (const { name, type, from, to } of entries)
        if (w.version >= from && w.version <= to) type.write(w, values[name]);
      if (tags.length === 0) w.tags();
      else writeTags(w, tags, values);
    },
  };
}

type NamedTag = TaggedField<unknown> & { readonly name: string };

/** count varint | tag varint, bytes varint, the field … */
function readTags(r: FrameReader, tags: readonly NamedTag[], value: Record<string, unknown>): void {
  for (const { name } of tags) value[name] = null;
  if (!r.flexible) return;
  for (let count = r.unsignedVarint(); count > 0; count--) {
    const tag = r.unsignedVarint();
    const size = r.unsignedVarint();
    const at = r.take(size);
    const known = tags.find((one) => one.tag === tag);
    if (known !== undefined)
      value[known.name] = known.type.read(new FrameReader(r.buffer.subarray(at, at + size), 0, r.version, true));
  }
}

function writeTags(w: FrameWriter, tags: readonly NamedTag[], values: Record<string, unknown>): void {
  if (!w.flexible) return;
  const present = tags.filter(({ name }) => values[name] !== null);
  w.unsignedVarint(present.length);
  for (const { name, tag, type } of present) {
    const field = new FrameWriter(w.version, true);
    type.write(field, values[name]);
    const bytes = Buffer.concat(field.parts());
    w.unsignedVarint(tag);
    w.unsignedVarint(bytes.length);
    w.out.bytes(bytes);
  }
}

function malformed(why: string): never {
  throw new MalformedRequestError(why);
}
