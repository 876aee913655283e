import { expect, test } from 'vitest';
import { TimeWindows } from '../../src/index.ts';

test.each([
  [0, {}],
  [-1, {}],
  [1.5, {}],
  [Number.NaN, {}],
  [10, { advance: 0 }],
  [10, { advance: 11 }],
  [10, { advance: 2.5 }],
  [10, { grace: -1 }],
  [10, { grace: Number.POSITIVE_INFINITY }],
])('windows of %s ms with %o are refused', (size, options) => {
  const make = () => TimeWindows.of(size, options);
  expect(make).toThrow(expect.objectContaining({ code: 'MILLRACE_TOPOLOGY_INVALID_WINDOWS' }));
});
