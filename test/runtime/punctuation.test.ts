import { expect, test } from 'vitest';
import { type PunctuationType, StreamsBuilder, string } from '../../src/index.ts';
import { Punctuations } from '../../src/runtime/task/punctuation.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

const s = string();
const IO = { key: s, value: s };

test.each<[number, PunctuationType]>([
  [0, 'stream-time'],
  [Number.NaN, 'stream-time'],
  [Number.POSITIVE_INFINITY, 'wall-clock-time'],
  [1.5, 'wall-clock-time'],
  [10, 'moon-time' as PunctuationType],
])('a punctuation each %s ms of %s is refused, and its processor named', async (interval, type) => {
  const b = new StreamsBuilder();
  b.stream('in', IO).process(
    () => ({ init: (context) => void context.schedule(interval, type, () => {}), process: () => {} }),
    { name: 'op' },
  );
  const error = await TopologyTestDriver.create(b.build()).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'MILLRACE_RUNTIME_INVALID_PUNCTUATION', node: 'op' });
});

test('a wall clock that was set back does not hold a punctuation up', async () => {
  const punctuations = new Punctuations();
  const calls: number[] = [];
  punctuations.add('op', 1_000, 'wall-clock-time', 3_600_000, (timestamp) => void calls.push(timestamp));
  for (const now of [3_601_000, 1_000, 1_500, 2_000, 2_900, 3_000])
    if (punctuations.isDue('wall-clock-time', now)) await punctuations.run('wall-clock-time', now);
  expect(calls).toEqual([3_601_000, 2_000, 3_000]);
});
