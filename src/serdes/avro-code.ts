/** What the compilers of Avro's readers and writers have in common. */

/** Lines above which records get functions of their own: what V8 still optimises, and no schema makes code without end. */
export const MAX_FLAT_LINES = 1000;

/** A property of an object literal; in brackets `__proto__` is one like any other. */
export function property(name: string): string {
  return name === '__proto__' ? '["__proto__"]' : JSON.stringify(name);
}

/** The path of a field within what has the path. */
export function within(path: string, field: string): string {
  return path === '' ? field : `${path}.${field}`;
}

/** For `__proto__`, which an assignment would not make a property. */
export function setKey(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}

/** The name of an object's one property. */
export function onlyKeyOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const keys = Object.keys(value);
  return keys.length === 1 ? keys[0] : undefined;
}
