import { expect, test } from 'vitest';
import { hashCopyOrder, hashOrder, JavaTreeSet } from '../../src/topology/java-order.ts';

// What a JVM prints for the same.
const NAMES = ['zebra', 'apple', 'KSTREAM-SINK-0000000010', 'b', 'AaAa', 'BBBB', 'mango', 'in', 'x-y', 'long-name'];
const IN_A_SET = 'zebra apple b long-name in x-y KSTREAM-SINK-0000000010 AaAa BBBB mango';
const IN_A_COPY = 'zebra b long-name in x-y mango p apple q KSTREAM-SINK-0000000010 AaAa BBBB';
const IN_A_TREE = 'n10 n11 n13 n14 n23 n12 n21 n22 n16 n7 n9 n8 n17 n18 n19 n20 n5 n6 n15 n0 n1 n2 n3 n4';

test('names stand as in a HashSet of Java, by the buckets of their hashes', () => {
  expect(hashOrder(NAMES).join(' ')).toBe(IN_A_SET);
  expect(hashOrder([...NAMES, ...NAMES]).join(' ')).toBe(IN_A_SET);
  expect(hashCopyOrder([...NAMES, 'p', 'q']).join(' ')).toBe(IN_A_COPY);
});

test('a tree keeps the places that a comparison gave which changed its mind', () => {
  const weights = new Map<string, number>();
  const weight = (name: string): number => weights.get(name) ?? 0;
  const tree = new JavaTreeSet<string>((a, b) => (a === b ? 0 : weight(b) - weight(a) || (a < b ? -1 : 1)));
  for (let i = 0; i < 24; i++) {
    const name = `n${(i * 5) % 24}`;
    weights.set(name, (i * 7) % 5);
    tree.add(name);
    weights.set(`n${(i * 11) % 24}`, i % 3);
  }
  expect(tree.values().join(' ')).toBe(IN_A_TREE);
});
