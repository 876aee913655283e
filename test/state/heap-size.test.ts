import { expect, test } from 'vitest';
import { heapSizeOf } from '../../src/state/heap-size.ts';

const sizeOf = (value: unknown, owner: unknown = 'owner'): number => heapSizeOf(value, owner).bytes;

test('what is shared or a cycle ends the walk', () => {
  const cycle: { self?: unknown; children: unknown[] } = { children: [] };
  cycle.self = cycle;
  cycle.children.push(cycle, cycle);
  expect(sizeOf(cycle)).toBeGreaterThan(0);
  const shared = Array.from({ length: 5_000 }, () => ({ n: 1.5 }));
  expect(sizeOf([shared, shared, shared])).toBeLessThan(sizeOf(shared) * 1.5);
});

test('what is nested deeper than any stack ends the walk', () => {
  let deep: { inner?: unknown } = {};
  for (let i = 0; i < 100_000; i++) deep = { inner: deep };
  expect(sizeOf(deep)).toBeGreaterThan(0);
});

test('names of fields cost a word, names that are data cost their text and a place in a table', () => {
  const fields = (owner: string): number => sizeOf({ fieldOne: 1, fieldTwo: 2, fieldThree: 3 }, owner);
  fields('a');
  fields('b');
  expect(fields('c')).toBe(48);
  const pages = (owner: string): number =>
    sizeOf(Object.fromEntries(Array.from({ length: 3 }, (_, i) => [`${owner} page ${i}`, i])), owner);
  expect(pages('x')).toBeGreaterThan(48 * 4);
  // Also when it is measured again.
  expect(pages('x')).toBeGreaterThan(48 * 4);
});

test('a class may hide what it holds', () => {
  class Hidden {
    readonly #secret = [1, 2, 3];
    get length(): number {
      return this.#secret.length;
    }
  }
  expect(heapSizeOf({ inside: new Hidden() }, 'a').opaque).toBe(true);
  expect(
    heapSizeOf({ list: [1, 'x', { n: 1 }], map: new Map([['a', 1]]), at: new Date(), bytes: Buffer.alloc(9) }, 'a')
      .opaque,
  ).toBe(false);
});

test('texts count their characters, of two bytes where they are', () => {
  expect(sizeOf('x'.repeat(1_000))).toBe(1_016);
  expect(sizeOf(`${'x'.repeat(999)}я`)).toBe(2_016);
  expect(sizeOf(`я${'x'.repeat(999)}`)).toBe(2_016);
  expect([sizeOf(1), sizeOf(1.5), sizeOf(null), sizeOf(true)]).toEqual([0, 16, 0, 0]);
});
