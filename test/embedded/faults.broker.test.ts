/** Faults at single nodes, late requests, connections that fall silent, and what a test does in the middle of a request. */
import { afterEach, test as anyTest, beforeEach, expect, inject, vi } from 'vitest';
import type { EmbeddedKafka, FaultAction } from '../../src/embedded/index.ts';
import { TestCluster } from '../support/embedded/cluster.ts';
import type { PartitionClient } from '../support/partition-client.ts';
import { waitFor } from '../support/wait.ts';

const test = anyTest.skipIf(inject('brokerKind') === 'apache');

let cluster: TestCluster;
let kafka: EmbeddedKafka;
let one: PartitionClient;
beforeEach(async () => {
  if (inject('brokerKind') === 'apache') return;
  cluster = await TestCluster.start({ nodes: 2 });
  ({ kafka } = cluster);
  one = await cluster.at(1);
});
afterEach(async () => {
  vi.useRealTimers();
  await cluster?.close();
});

const endOffset = (): number => kafka.describePartition('t', 0).endOffset;

/** Produces on a connection of its own, and says what became of it as soon as that is known. */
async function produce(value: string) {
  const client = await cluster.at(1);
  const told = { outcome: 'nothing yet', client };
  void client.produce([value]).then(
    ({ errorCode }) => {
      told.outcome = `code ${errorCode}`;
    },
    (error: Error) => {
      told.outcome = error.message;
    },
  );
  return told;
}

/** Resolves when the next request of this API meets its fault. */
function injected(api: string, action: FaultAction): Promise<void> {
  return new Promise((resolve) => {
    kafka.inject({
      api,
      action,
      when: () => {
        resolve();
        return true;
      },
    });
  });
}

test('a fault meets requests at its node only, and sees who asks where', async () => {
  const seen: unknown[] = [];
  kafka.inject({
    api: 'ApiVersions',
    node: 2,
    times: Infinity,
    when: (_request, clientId, { node, version }) => seen.push([clientId, node, version]) > 0,
    action: { kind: 'error', code: 29 },
  });
  const two = await cluster.at(2);
  const ask = async (at: PartitionClient, version: number) =>
    (await at.raw.call('ApiVersions', version, {}, 'me')).errorCode;
  expect([await ask(one, 0), await ask(two, 0), await ask(one, 1), await ask(two, 1)]).toEqual([0, 29, 0, 29]);
  expect(seen).toEqual([
    ['me', 2, 0],
    ['me', 2, 1],
  ]);
});

test('a request that is late is done late, an answer that is late is not', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const met = injected('Produce', { kind: 'delay-request', ms: 1000 });
  const late = await produce('a');
  await met;
  vi.advanceTimersByTime(999);
  await one.listOffset(-1);
  expect([endOffset(), late.outcome]).toEqual([0, 'nothing yet']);
  vi.advanceTimersByTime(1);
  vi.useRealTimers();
  await waitFor(() => late.outcome === 'code 0');
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const again = injected('Produce', { kind: 'delay', ms: 1000 });
  const answered = await produce('b');
  await again;
  await one.listOffset(-1);
  expect([endOffset(), answered.outcome]).toEqual([2, 'nothing yet']);
  vi.advanceTimersByTime(1000);
  vi.useRealTimers();
  await waitFor(() => answered.outcome === 'code 0');
});

test('a late request whose connection ends before is not done', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const met = injected('Produce', { kind: 'delay-request', ms: 1000 });
  const late = await produce('a');
  await met;
  kafka.cutNode(1);
  while (late.outcome === 'nothing yet') await new Promise((resolve) => setImmediate(resolve));
  expect([late.outcome, endOffset(), vi.getTimerCount()]).toEqual(['connection closed', 0, 0]);
});

test.each([
  [false, 0],
  [true, 1],
])(
  'a connection that falls silent stays open and swallows everything; its request got through: %s',
  async (handled, end) => {
    const met = injected('Produce', { kind: 'half-open', handled });
    const silent = await produce('a');
    await met;
    await waitFor(() => endOffset() === end);
    const asking = silent.client.listOffset(-1).then(
      () => 'answered',
      (error: Error) => error.message,
    );
    // The others go on, the port takes new ones.
    expect(await one.produce(['b'])).toMatchObject({ errorCode: 0, baseOffset: end });
    expect((await (await cluster.at(1)).listOffset(-1)).offset).toBe(end + 1);
    expect([silent.client.raw.isOpen, silent.outcome]).toEqual([true, 'nothing yet']);
    kafka.cutNode(1);
    expect(await asking).toBe('connection closed');
    expect(silent.outcome).toBe('connection closed');
  },
);

test('something happens just before a request is done, or just after it and before its answer', async () => {
  const move = { kind: 'run', run: () => void kafka.moveLeader('t', 0, 2) } as const;
  kafka.inject({ api: 'Produce', action: move });
  expect(await one.produce(['a'])).toMatchObject({ errorCode: 6 });
  expect(endOffset()).toBe(0);
  const two = await cluster.at(2);
  const lose = () => void kafka.moveLeader('t', 0, 1, { truncateTo: 0 });
  kafka.inject({ api: 'Produce', action: { kind: 'run', when: 'after', run: async () => lose() } });
  expect(await two.produce(['b'])).toMatchObject({ errorCode: 0, baseOffset: 0 });
  expect([endOffset(), kafka.describePartition('t', 0).leader]).toEqual([0, 1]);
});

test('what a test’s own function throws is the test’s to see, and the request goes on', async () => {
  const seen: string[] = [];
  const see = (error: Error) => void seen.push(error.message);
  const others = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', see);
  const fail = (): never => {
    throw new Error('a mistake in the test');
  };
  kafka.inject({ api: 'Produce', action: { kind: 'run', run: fail } });
  expect(await one.produce(['a'])).toMatchObject({ errorCode: 0 });
  kafka.inject({ api: 'Produce', when: fail, action: { kind: 'half-open' } });
  expect(await one.produce(['b'])).toMatchObject({ errorCode: 0 });
  await waitFor(() => seen.length === 2);
  expect(new Set(seen)).toEqual(new Set(['a mistake in the test']));
  process.off('unhandledRejection', see);
  for (const other of others) process.on('unhandledRejection', other);
});
