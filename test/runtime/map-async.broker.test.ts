/** mapAsync in a running application: commits, restarts, and what holds up what. */
import { expect, inject, test } from 'vitest';
import { type MapAsyncOptions, StreamsBuilder, string, type Topology } from '../../src/index.ts';
import { committed, Gate, messages, suiteCluster, topics } from '../support/asynchronous.ts';
import { temporaryFolder } from '../support/programs.ts';
import { newStreams, produce, runStreams, watch } from '../support/streams.ts';
import { waitFor } from '../support/wait.ts';

const brokers = inject('brokers');
const s = string();
const cluster = suiteCluster();

function calling(
  { input, output }: { input: string; output: string },
  gate: Gate,
  options: MapAsyncOptions<string | null, string, string | null, string> = {},
): Topology {
  const builder = new StreamsBuilder();
  builder
    .stream(input, { key: s, value: s })
    .mapAsync(
      async (key, value) => {
        await gate.pass(value);
        return [key, value.toUpperCase()] as const;
      },
      { name: 'call', ...options },
    )
    .to(output, { key: s, value: s });
  return builder.build();
}

test('a commit waits for no call, and a restart issues again what was under way: from the disk, and from the changelog', async () => {
  const at = await topics(cluster);
  const stateDir = temporaryFolder();
  const seen = await watch(brokers, at.output);
  const stuck = new Gate();
  const first = await runStreams(brokers, calling(at, stuck), { ...at, stateDir, drainTimeoutMs: 50 });
  await produce(brokers, at.input, messages(['a', 'b', 'c']));
  await waitFor(() => stuck.waiting.length === 3);
  await waitFor(async () => (await committed(cluster, at.applicationId, at.input))[0] === 3, 10_000, 'the position');
  await first.close();
  const again = new Gate();
  const second = await runStreams(brokers, calling(at, again), { ...at, stateDir, drainTimeoutMs: 50 });
  await waitFor(() => again.waiting.length === 3);
  await second.close();
  const free = new Gate();
  free.open();
  await runStreams(brokers, calling(at, free), { ...at, stateDir: temporaryFolder() });
  await waitFor(() => seen.length >= 3, 20_000, 'the results');
  expect([stuck.waiting, again.waiting, free.waiting]).toEqual([
    ['a', 'b', 'c'],
    ['a', 'b', 'c'],
    ['a', 'b', 'c'],
  ]);
  expect(seen.map(([, value]) => value).sort()).toEqual(['A', 'B', 'C']);
});

test('a result that is delivered and committed is not called for again', async () => {
  const at = await topics(cluster);
  const seen = await watch(brokers, at.output);
  const gate = new Gate();
  const first = await runStreams(brokers, calling(at, gate), { ...at, stateDir: temporaryFolder() });
  await produce(brokers, at.input, messages(['a', 'b']));
  // Logged as pending, then answered.
  await waitFor(async () => (await committed(cluster, at.applicationId, at.input))[0] === 2, 10_000, 'the position');
  gate.open();
  await waitFor(() => seen.length === 2);
  await first.close();
  const next = new Gate();
  next.open();
  await runStreams(brokers, calling(at, next), { ...at, stateDir: temporaryFolder() });
  await produce(brokers, at.input, messages(['c']));
  await waitFor(() => seen.length >= 3);
  expect(next.waiting).toEqual(['c']);
  expect(seen.map(([, value]) => value)).toEqual(['A', 'B', 'C']);
});

test('records of one key are called for one after another, other keys side by side', async () => {
  const at = await topics(cluster);
  const gate = new Gate();
  await runStreams(brokers, calling(at, gate), { ...at });
  const values = ['1', '2', '3'].flatMap((value) =>
    ['x', 'y'].map((key) => ({ key, value: key + value, partition: 0 })),
  );
  await produce(brokers, at.input, values);
  await waitFor(() => gate.waiting.length === 2);
  expect(gate.waiting).toEqual(['x1', 'y1']);
  const seen = await watch(brokers, at.output);
  gate.open();
  await waitFor(() => seen.length === 6);
  for (const key of ['x', 'y'])
    expect(seen.filter((record) => record[0] === key).map((record) => record[1])).toEqual(
      ['1', '2', '3'].map((value) => key.toUpperCase() + value),
    );
});

test('a call that hangs holds up its task only when as many records wait as may, and no other task', async () => {
  const at = await topics(cluster);
  const gate = new Gate();
  const free = new Set(Array.from({ length: 20 }, (_, i) => `other-${i}`));
  const builder = new StreamsBuilder();
  const done: string[] = [];
  builder
    .stream(at.input, { key: s, value: s })
    .mapAsync(
      async (key, value) => {
        if (!free.has(value)) await gate.pass(value);
        return [key, value];
      },
      { order: 'none', maxPending: 5, concurrency: 100 },
    )
    .forEach((_key, value) => void done.push(value));
  await runStreams(brokers, builder.build(), { ...at });
  await produce(brokers, at.input, messages(Array.from({ length: 20 }, (_, i) => `stuck-${i}`)));
  await waitFor(() => gate.waiting.length === 5);
  await produce(brokers, at.input, messages([...free], 1));
  await waitFor(() => done.length === 20);
  expect(gate.waiting).toHaveLength(5);
  gate.open();
  await waitFor(() => done.length === 40);
});

test('a call that failed for good stops the application by default; the record is called for again after the restart', async () => {
  const at = await topics(cluster);
  const stateDir = temporaryFolder();
  const failing = new StreamsBuilder();
  failing.stream(at.input, { key: s, value: s }).mapAsync(
    async () => {
      throw Object.assign(new Error('no'), { retriable: false });
    },
    { name: 'call' },
  );
  const errors: Error[] = [];
  const first = newStreams(brokers, failing.build(), { ...at, stateDir });
  first.setUncaughtErrorHandler((error) => {
    errors.push(error);
    return 'shutdown-client';
  });
  await first.start();
  await produce(brokers, at.input, messages(['a']));
  await waitFor(() => first.state === 'ERROR', 10_000, 'ERROR');
  expect(errors).toMatchObject([{ code: 'MILLRACE_PROCESSORS_CALL_FAILED', attempts: 1, topic: at.input, offset: 0 }]);
  const gate = new Gate();
  gate.open();
  await runStreams(brokers, calling(at, gate), { ...at, stateDir });
  await waitFor(() => gate.waiting.length === 1);
});
