/** A schema as a registry has it: parsed and checked by avsc, told from others by its meaning and not by its text. */
import avsc from 'avsc';
import { messageOf } from '../../errors.ts';
import { RegistryFault } from './registry-fault.ts';

/** A parsed type, as avsc exposes it. */
export interface AvroNode {
  readonly typeName: string;
  readonly name?: string;
  readonly aliases?: readonly string[];
  readonly fields?: readonly AvroField[];
  readonly symbols?: readonly string[];
  readonly itemsType?: AvroNode;
  readonly valuesType?: AvroNode;
  readonly types?: readonly AvroNode[];
  readonly size?: number;
}

export interface AvroField {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly type: AvroNode;
  /** Undefined: none. */
  defaultValue(): unknown;
}

export interface ParsedSchema {
  /** JSON without needless space. */
  readonly text: string;
  /** The same for schemas that differ in white space and in the order of properties only. */
  readonly identity: string;
  readonly node: AvroNode;
}

/** @throws RegistryFault 42201 */
export function parseSchema(text: string): ParsedSchema {
  if (text.trim() === '') throw invalid('Empty schema');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // A bare type name is a schema as well.
    if (!/^\w+$/.test(text.trim())) throw invalid('not JSON');
    json = text.trim();
  }
  try {
    const node = avsc.Type.forSchema(json as avsc.Schema) as unknown as AvroNode;
    return { text: JSON.stringify(json), identity: JSON.stringify(sorted(json)), node };
  } catch (error) {
    throw invalid(messageOf(error));
  }
}

function invalid(why: string): RegistryFault {
  return new RegistryFault(422, 42201, `Either the input schema or one its references is invalid: ${why}`);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}
