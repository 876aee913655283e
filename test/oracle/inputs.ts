/** Random records: nulls, ties, out of order, around window edges ±1 ms, late, leaps in time. */
import fc from 'fast-check';
import type { Input } from './oracle.ts';

const bytes = (text: string | null): Buffer | null => (text === null ? null : Buffer.from(text));
const key = fc.constantFrom('a', 'b', 'c', null).map(bytes);
const value = fc.constantFrom('x', 'yy', 'zzz', '', 'x', null).map(bytes);
// Around window edges, with leaps that close windows and let segments expire.
const timestamp = fc.oneof(
  fc.integer({ min: 0, max: 45 }),
  fc.constantFrom(9, 10, 11, 19, 20, 21, 29, 30),
  fc.constantFrom(60_000, 60_010, 120_000, 120_005, 200_000),
);
const header = fc.constantFrom('one', 'two', null, null).map(bytes);

export function inputsOf(topics: readonly string[], maxLength: number): fc.Arbitrary<Input[]> {
  return fc.array(fc.record({ topic: fc.constantFrom(...topics), key, value, timestamp, header }), { maxLength });
}
