/** The README's program compiles (it is part of this file's project, word for word) and does what it says. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { double, json, minutes, StreamsBuilder, string, TimeWindows } from '../../src/index.ts';
import { TopologyTestDriver } from '../../src/testing/index.ts';

function readmeTopology() {
  const builder = new StreamsBuilder();
  // README begin
  builder
    .stream('temperatures', { key: string(), value: double() })
    .groupByKey()
    .windowedBy(TimeWindows.of(minutes(1), { grace: minutes(10) }))
    .aggregate(
      () => ({ count: 0, max: Number.NEGATIVE_INFINITY }),
      (_sensor, value, seen) => ({ count: seen.count + 1, max: Math.max(seen.max, value) }),
      { name: 'highest', value: json<{ count: number; max: number }>() },
    )
    .toStream()
    .map((windowed, seen) => [windowed.key, { ...seen, from: windowed.window.startMs }])
    .to('highest-per-minute', { key: string(), value: json() });
  // README end
  return builder.build();
}

test('the README’s topology gives the highest value per minute', async () => {
  const driver = await TopologyTestDriver.create(readmeTopology());
  const input = driver.inputTopic('temperatures', string(), double());
  await input.pipeInput('a', 20, 1);
  await input.pipeInput('a', 25, 2);
  const output = driver.outputTopic('highest-per-minute', string(), json<object>());
  expect(output.readKeyValues().at(-1)).toEqual(['a', { count: 2, max: 25, from: 0 }]);
  await driver.close();
});

test('the code above is the README’s', () => {
  const strip = (text: string): string => text.replace(/\s+/g, ' ').trim();
  const own = /\/\/ README begin\n([\s\S]*?)\/\/ README end/.exec(readFileSync(import.meta.filename, 'utf8'))![1]!;
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
  expect(strip(readme)).toContain(strip(own));
});
