/** What a value is, told without what it holds. */
import { isUint8Array } from 'node:util/types';

/** For messages. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  if (isBytes(value)) return 'a Buffer';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** Of whatever realm: under some test runners a Buffer is no instance of the Uint8Array that one sees. */
export function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array || isUint8Array(value);
}

/**
 * Why a value does not fit its schema.
 * @param path of the field; empty: the value itself
 * @param needed with its article
 */
export function misfit(path: string, needed: string, value: unknown): string {
  return `${path === '' ? 'the value' : `the field ${path}`} is ${kindOf(value)} where ${needed} is needed`;
}
