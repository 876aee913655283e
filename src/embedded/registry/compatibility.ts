/**
 * Whether a schema can read what another has written: Avro's schema resolution, as `SchemaCompatibility` has it. Says
 * every reason, with the path of the field it is about.
 */
import type { AvroField, AvroNode, ParsedSchema } from './avro-schema.ts';

export const LEVELS = [
  'NONE',
  'BACKWARD',
  'BACKWARD_TRANSITIVE',
  'FORWARD',
  'FORWARD_TRANSITIVE',
  'FULL',
  'FULL_TRANSITIVE',
] as const;

export type CompatibilityLevel = (typeof LEVELS)[number];

/** What each type of number or text can be read as. */
const PROMOTIONS: Readonly<Record<string, readonly string[]>> = {
  int: ['long', 'float', 'double'],
  long: ['float', 'double'],
  float: ['double'],
  string: ['bytes'],
  bytes: ['string'],
};

/**
 * Why a new schema does not fit those before it; empty: it does.
 * @param earlier oldest first
 */
export function incompatibilities(
  level: CompatibilityLevel,
  next: ParsedSchema,
  earlier: readonly ParsedSchema[],
): string[] {
  if (level === 'NONE') return [];
  const against = level.endsWith('_TRANSITIVE') ? [...earlier].reverse() : earlier.slice(-1);
  const backward = level.startsWith('BACKWARD') || level.startsWith('FULL');
  const forward = level.startsWith('FORWARD') || level.startsWith('FULL');
  for (const old of against) {
    const faults = [
      ...(backward ? cannotRead(next.node, old.node, ['new', 'old']) : []),
      ...(forward ? cannotRead(old.node, next.node, ['old', 'new']) : []),
    ];
    if (faults.length > 0) return faults;
  }
  return [];
}

/** @param names what reader and writer are called in the reasons */
export function cannotRead(reader: AvroNode, writer: AvroNode, names: readonly [string, string]): string[] {
  const comparison = new Comparison(names);
  comparison.compare(reader, writer, '/');
  return comparison.faults;
}

class Comparison {
  readonly faults: string[] = [];
  readonly #reader: string;
  readonly #writer: string;
  /** Pairs of records under comparison: a type within itself ends here. */
  readonly #open = new Map<AvroNode, Set<AvroNode>>();

  constructor([reader, writer]: readonly [string, string]) {
    this.#reader = reader;
    this.#writer = writer;
  }

  compare(reader: AvroNode, writer: AvroNode, path: string): void {
    if (writer.types !== undefined) {
      for (const [index, branch] of writer.types.entries())
        this.compare(reader, branch, reader.types === undefined ? path : join(path, index));
      return;
    }
    if (reader.types !== undefined) {
      if (!reader.types.some((branch) => this.#fits(branch, writer)))
        this.#fault(
          'MISSING_UNION_BRANCH',
          path,
          `the ${this.#reader} schema has no union branch for the type ${label(writer)} of the ${this.#writer} schema`,
        );
      return;
    }
    this.#compareTypes(reader, writer, path);
  }

  /** Tries a branch; what was assumed of types within themselves stands for the trial as well. */
  #fits(reader: AvroNode, writer: AvroNode): boolean {
    const before = this.faults.length;
    this.compare(reader, writer, '/');
    return this.faults.splice(before).length === 0;
  }

  #compareTypes(reader: AvroNode, writer: AvroNode, path: string): void {
    const from = writer.typeName;
    const to = reader.typeName;
    if (from !== to) {
      if (PROMOTIONS[from]?.includes(to) !== true)
        this.#fault(
          'TYPE_MISMATCH',
          path,
          `reader type: ${label(reader)} not compatible with writer type: ${label(writer)}`,
        );
      return;
    }
    switch (to) {
      case 'record':
        if (this.#sameName(reader, writer, path)) this.#compareFields(reader, writer, path);
        break;
      case 'enum':
        if (this.#sameName(reader, writer, path)) this.#compareSymbols(reader, writer, path);
        break;
      case 'fixed':
        if (this.#sameName(reader, writer, path) && reader.size !== writer.size)
          this.#fault('FIXED_SIZE_MISMATCH', join(path, 'size'), `sizes ${reader.size} and ${writer.size} differ`);
        break;
      case 'array':
        this.compare(reader.itemsType!, writer.itemsType!, join(path, 'items'));
        break;
      case 'map':
        this.compare(reader.valuesType!, writer.valuesType!, join(path, 'values'));
        break;
    }
  }

  #compareFields(reader: AvroNode, writer: AvroNode, path: string): void {
    const open = this.#open.get(reader) ?? new Set();
    if (open.has(writer)) return;
    this.#open.set(reader, open.add(writer));
    for (const [index, field] of reader.fields!.entries()) {
      const at = join(path, 'fields', index);
      const source = sourceOf(field, writer);
      if (source !== undefined) this.compare(field.type, source.type, join(at, 'type'));
      else if (field.defaultValue() === undefined)
        this.#fault(
          'READER_FIELD_MISSING_DEFAULT_VALUE',
          at,
          `the field '${field.name}' in the ${this.#reader} schema has no default value and is missing in the ${this.#writer} schema`,
        );
    }
    open.delete(writer);
  }

  #compareSymbols(reader: AvroNode, writer: AvroNode, path: string): void {
    const missing = writer.symbols!.filter((symbol) => !reader.symbols!.includes(symbol));
    if (missing.length > 0 && (reader as { readonly default?: string }).default === undefined)
      this.#fault(
        'MISSING_ENUM_SYMBOLS',
        join(path, 'symbols'),
        `the ${this.#reader} schema lacks the enum symbols ${missing.join(', ')} of the ${this.#writer} schema`,
      );
  }

  #sameName(reader: AvroNode, writer: AvroNode, path: string): boolean {
    const simple = (name: string | undefined): string => name?.split('.').at(-1) ?? '';
    const fits = simple(reader.name) === simple(writer.name) || reader.aliases?.includes(writer.name ?? '') === true;
    if (!fits) this.#fault('NAME_MISMATCH', join(path, 'name'), `names ${reader.name} and ${writer.name} differ`);
    return fits;
  }

  #fault(type: string, path: string, what: string): void {
    this.faults.push(`${type} at ${path}: ${what}`);
  }
}

function sourceOf(field: AvroField, writer: AvroNode): AvroField | undefined {
  return writer.fields!.find(({ name }) => name === field.name || field.aliases.includes(name));
}

function join(path: string, ...parts: readonly (string | number)[]): string {
  return `${path === '/' ? '' : path}/${parts.join('/')}`;
}

function label({ typeName, name }: AvroNode): string {
  return name ?? typeName.replace(/^union:.*/, 'union');
}
