/**
 * Avro's schema resolution: what of a writer's schema a reader's takes, and whether it can. By the specification, which
 * org.apache.avro follows with these differences: names of records must match here too (Java reads a record under any
 * name, and with nothing but defaults where no field is the same), and an alias never takes a field from the reader's field
 * of that very name (Java renames the writer's field first, and refuses a writer that has both).
 *
 * What one value only may meet is no mismatch of the schemas: a branch of a union or a symbol of an enum that the reader
 * lacks is an error of the records that have it.
 */
import { type AvroField, type AvroNode, isRecord, nameOf } from './avro-schema.ts';

const NUMBERS = ['int', 'long', 'float', 'double'];
const TEXTS = ['string', 'bytes'];

/** The reader's field for each of the writer's: one of the same name, else the first that has the name as an alias. */
export function fieldPairs(writer: AvroNode, reader: AvroNode): ReadonlyMap<AvroField, AvroField> {
  const written = new Map(writer.fields!.map((field) => [field.name, field]));
  const pairs = new Map<AvroField, AvroField>();
  for (const field of reader.fields!) {
    const same = written.get(field.name);
    if (same !== undefined) pairs.set(same, field);
  }
  for (const field of reader.fields!) {
    if (written.has(field.name)) continue;
    const source = field.aliases.map((alias) => written.get(alias)).find((other) => other && !pairs.has(other));
    if (source !== undefined) pairs.set(source, field);
  }
  return pairs;
}

/** Resolution between the types of one writer's schema and one reader's; remembers what it found. */
export class Resolution {
  readonly #known = new Map<AvroNode, Map<AvroNode, string | undefined>>();

  /** Why no value of the writer's can be read; undefined where values can. */
  mismatch(writer: AvroNode, reader: AvroNode): string | undefined {
    let known = this.#known.get(writer);
    if (known === undefined) this.#known.set(writer, (known = new Map()));
    if (known.has(reader)) return known.get(reader);
    // Types that hold themselves fit as long as nothing else speaks against it.
    known.set(reader, undefined);
    const why = this.#compare(writer, reader);
    known.set(reader, why);
    return why;
  }

  /** The reader's branch for a type that is no union: of the same type and name, else the first that fits. */
  branchFor(writer: AvroNode, branches: readonly AvroNode[]): AvroNode | undefined {
    const fitting = branches.filter((branch) => this.mismatch(writer, branch) === undefined);
    const same = fitting.filter((branch) => branch.typeName === writer.typeName);
    return same.find(({ name }) => name === writer.name) ?? same[0] ?? fitting[0];
  }

  #compare(writer: AvroNode, reader: AvroNode): string | undefined {
    if (writer.types !== undefined) {
      const reasons = writer.types.map((branch) => this.mismatch(branch, reader));
      return reasons.includes(undefined) ? undefined : reasons.join(', nor: ');
    }
    const from = writer.typeName;
    const to = reader.typeName;
    const differs = `${described(writer)} is not ${described(reader)}`;
    if (reader.types !== undefined) return this.branchFor(writer, reader.types) === undefined ? differs : undefined;
    if (NUMBERS.includes(from) && NUMBERS.includes(to))
      return NUMBERS.indexOf(from) <= NUMBERS.indexOf(to) ? undefined : differs;
    if (TEXTS.includes(from) && TEXTS.includes(to)) return undefined;
    if (isRecord(writer) && isRecord(reader))
      return hasName(writer, reader) ? this.#compareFields(writer, reader) : differs;
    if (from !== to) return differs;
    switch (from) {
      case 'array':
        return within('[]', this.mismatch(writer.itemsType!, reader.itemsType!));
      case 'map':
        return within('{}', this.mismatch(writer.valuesType!, reader.valuesType!));
      case 'fixed':
        return hasName(writer, reader) && writer.size === reader.size ? undefined : differs;
      case 'enum':
        return hasName(writer, reader) ? undefined : differs;
      default:
        return undefined;
    }
  }

  #compareFields(writer: AvroNode, reader: AvroNode): string | undefined {
    const pairs = fieldPairs(writer, reader);
    const filled = new Set(pairs.values());
    for (const field of reader.fields!) {
      if (!filled.has(field) && field.defaultValue() === undefined)
        return `the field ${field.name} of ${nameOf(reader)} is not in the writer's schema and has no default`;
    }
    for (const [from, to] of pairs) {
      const why = this.mismatch(from.type, to.type);
      if (why !== undefined) return within(to.name, why);
    }
    return undefined;
  }
}

/** Unqualified names match, as in the specification and in Java: teams write one schema under several namespaces. */
export function hasName(writer: AvroNode, reader: AvroNode): boolean {
  if (writer.name === undefined || reader.name === undefined) return true;
  const name = unqualified(writer.name);
  return unqualified(reader.name) === name || reader.aliases!.some((alias) => unqualified(alias) === name);
}

function unqualified(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

function described(type: AvroNode): string {
  const { typeName, name, size } = type;
  const kind = typeName.replace(/:.*/, '');
  return [kind, name, size].filter((part) => part !== undefined).join(' ');
}

function within(part: string, why: string | undefined): string | undefined {
  return why === undefined ? undefined : `${part}: ${why}`;
}
