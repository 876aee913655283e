/** forEachBatch in a running application: positions, rebalances, and targets that remember where to go on. */
import { expect, inject, test } from 'vitest';
import {
  BatchFencedError,
  type BatchPosition,
  type ForEachBatchOptions,
  type KafkaStreams,
  StreamsBuilder,
  string,
  type Topology,
} from '../../src/index.ts';
import { commitOffsets, partitionKey } from '../../src/kafka/index.ts';
import { committed, Gate, messages, suiteCluster, topics } from '../support/asynchronous.ts';
import { temporaryFolder } from '../support/programs.ts';
import { newStreams, ownKafka, produce, runStreams, warnings } from '../support/streams.ts';
import { waitFor } from '../support/wait.ts';

const brokers = inject('brokers');
const s = string();
const cluster = suiteCluster();

/** A topology whose batches a test handles. */
function batching(
  input: string,
  handler: (values: string[], positions: readonly BatchPosition[], attempt: number) => Promise<void>,
  options: ForEachBatchOptions = {},
): Topology {
  const builder = new StreamsBuilder();
  builder.stream(input, { key: s, value: s }).forEachBatch(
    async (records, { positions, attempt }) =>
      handler(
        records.map(({ value }) => value),
        positions,
        attempt,
      ),
    {
      name: 'sink',
      maxRecords: 2,
      maxWaitMs: 50,
      ...options,
    },
  );
  return builder.build();
}

test('positions are committed behind a batch that is handled, never before and never within', async () => {
  const at = await topics(cluster);
  const gate = new Gate();
  const streams = await runStreams(
    brokers,
    batching(at.input, (values) => gate.pass(values.join())),
    { ...at },
  );
  await produce(brokers, at.input, messages(['a', 'b', 'c']));
  await waitFor(() => gate.waiting.length === 1);
  const before = streams.metrics().commitTotal;
  // The other task commits as ever.
  await produce(brokers, at.input, messages(['z'], 1));
  await waitFor(() => gate.waiting.length === 2);
  expect(await committed(cluster, at.applicationId, at.input)).toEqual([0, 0]);
  gate.open();
  await waitFor(
    async () => (await committed(cluster, at.applicationId, at.input)).join() === '3,1',
    10_000,
    'the positions',
  );
  expect(gate.waiting.sort()).toEqual(['a,b', 'c', 'z']);
  expect(streams.metrics().commitTotal).toBeGreaterThan(before);
});

test('a batch commits as soon as it is handled, whatever the commit interval', async () => {
  const at = await topics(cluster);
  await runStreams(
    brokers,
    batching(at.input, async () => {}),
    { ...at, commitIntervalMs: 3_600_000 },
  );
  await produce(brokers, at.input, messages(['a', 'b']));
  await waitFor(async () => (await committed(cluster, at.applicationId, at.input))[0] === 2, 10_000, 'the position');
});

test.skipIf(inject('brokerKind') === 'apache')(
  'while a batch is tried again the member stays in its group, beyond its session',
  async () => {
    const at = { input: 'in', applicationId: 'app' };
    const own = await ownKafka({ topics: [at.input] });
    let tries = 0;
    let over = false;
    const lines = warnings();
    const streams = await runStreams(
      own.brokers,
      batching(
        at.input,
        async () => {
          tries++;
          if (!over) throw new Error('down');
        },
        { retry: { initialMs: 20, maxMs: 20, maxAttempts: Number.POSITIVE_INFINITY } },
      ),
      { ...at, sessionTimeoutMs: 500, logger: lines },
    );
    await produce(own.brokers, at.input, messages(['a']));
    // A try every 20 ms.
    await waitFor(() => tries > 50);
    expect(streams.state).toBe('RUNNING');
    over = true;
    await waitFor(() => streams.metrics().commitTotal > 0);
    expect(lines.lines.filter((line) => !/trying again/.test(line))).toEqual([]);
  },
);

test('a member that leaves hands back what its handler did not finish in time', async () => {
  const at = await topics(cluster);
  const stuck = new Gate();
  const first = await runStreams(
    brokers,
    batching(at.input, (values) => stuck.pass(values.join())),
    {
      ...at,
      drainTimeoutMs: 100,
    },
  );
  await produce(brokers, at.input, messages(['a', 'b']));
  await waitFor(() => stuck.waiting.length === 1);
  await first.close();
  expect(await committed(cluster, at.applicationId, at.input)).toEqual([0, 0]);
  const handled: string[] = [];
  await runStreams(
    brokers,
    batching(at.input, async (values) => void handled.push(...values)),
    { ...at },
  );
  await waitFor(() => handled.length === 2);
  expect(handled).toEqual(['a', 'b']);
});

test('a member that leaves finishes what can be finished: nothing is handled twice', async () => {
  const at = await topics(cluster);
  const handled: string[] = [];
  const slow = async (values: string[]): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    handled.push(...values);
  };
  const values = Array.from({ length: 21 }, (_, i) => String(i));
  const all = async (streams: KafkaStreams, count: number): Promise<void> => {
    await waitFor(() => handled.length >= count);
    await streams.close();
  };
  await produce(brokers, at.input, messages(values));
  await all(await runStreams(brokers, batching(at.input, slow, { maxWaitMs: 60_000 }), { ...at }), 4);
  await all(await runStreams(brokers, batching(at.input, slow, { maxWaitMs: 60_000 }), { ...at }), 10);
  await all(await runStreams(brokers, batching(at.input, slow), { ...at }), 21);
  expect(handled).toEqual(values);
});

test('a second member: the rebalance waits for a batch under way, and both go on without a repetition', async () => {
  const at = await topics(cluster);
  const handled: string[] = [];
  const handler = async (values: string[]): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    handled.push(...values);
  };
  await runStreams(brokers, batching(at.input, handler), { ...at, stateDir: temporaryFolder() });
  const values = Array.from({ length: 60 }, (_, i) => String(i));
  await produce(brokers, at.input, messages(values.filter((_v, i) => i % 2 === 0)));
  await produce(
    brokers,
    at.input,
    messages(
      values.filter((_v, i) => i % 2 === 1),
      1,
    ),
  );
  await runStreams(brokers, batching(at.input, handler), { ...at, stateDir: temporaryFolder() });
  await waitFor(() => handled.length >= 60);
  expect(handled.map(Number).sort((a, b) => a - b)).toEqual(values.map(Number));
});

/** A target system that stores rows and positions at once. */
class Target {
  readonly rows: string[] = [];
  readonly positions = new Map<string, number>();
  isDown = false;

  store(values: readonly string[], positions: readonly BatchPosition[]): void {
    for (const at of positions)
      if ((this.positions.get(partitionKey(at)) ?? null) !== at.expected) throw new BatchFencedError();
    for (const at of positions) this.positions.set(partitionKey(at), at.next);
    this.rows.push(...values);
  }

  readonly load = async (partitions: readonly { topic: string; partition: number }[]) => {
    if (this.isDown) throw new Error('down');
    return partitions.flatMap((at) => {
      const offset = this.positions.get(partitionKey(at));
      return offset === undefined ? [] : [{ ...at, offset }];
    });
  };
}

test('a target that remembers positions: a restart begins there, whatever the group says, and each row is there once', async () => {
  const at = await topics(cluster);
  const target = new Target();
  const topology = (): Topology =>
    batching(at.input, async (values, positions) => target.store(values, positions), { positions: target });
  await produce(brokers, at.input, messages(['a', 'b', 'c', 'd']));
  const first = await runStreams(brokers, topology(), { ...at });
  await waitFor(() => target.rows.length === 4);
  await first.close();
  // The database has what the group does not know: as after a kill between the two.
  const nobody = { groupId: at.applicationId, generationId: -1, memberId: '' };
  await commitOffsets(cluster, nobody, [{ topic: at.input, partition: 0, offset: 0, metadata: null }]);
  await runStreams(brokers, topology(), { ...at });
  await produce(brokers, at.input, messages(['e']));
  await waitFor(() => target.rows.length >= 5);
  expect(target.rows).toEqual(['a', 'b', 'c', 'd', 'e']);
});

test('a batch that is fenced is dropped, and the task begins where the target says', async () => {
  const at = await topics(cluster);
  const target = new Target();
  const lines = warnings();
  const topology = batching(at.input, async (values, positions) => target.store(values, positions), {
    positions: target,
  });
  await runStreams(brokers, topology, { ...at, logger: lines });
  await produce(brokers, at.input, messages(['a', 'b']));
  await waitFor(() => target.rows.length === 2);
  // Another process has stored what comes next.
  target.positions.set(partitionKey({ topic: at.input, partition: 0 }), 4);
  await produce(brokers, at.input, messages(['c', 'd', 'e', 'f']));
  await waitFor(() => target.rows.length >= 4);
  expect(target.rows).toEqual(['a', 'b', 'e', 'f']);
  expect(lines.lines.some((line) => /another process has written there/.test(line))).toBe(true);
});

test('a target that never has what it loads is an error in the end, and the group is not turned in circles until then', async () => {
  const at = await topics(cluster);
  const target = new Target();
  // As if somebody else had stored what it does not tell of.
  target.positions.set(partitionKey({ topic: at.input, partition: 0 }), 4);
  let looked = 0;
  const load = async () => {
    looked++;
    return [];
  };
  const topology = batching(at.input, async (values, positions) => target.store(values, positions), {
    positions: { load },
  });
  const streams = newStreams(brokers, topology, { ...at, taskTimeoutMs: 500 });
  const errors: Error[] = [];
  streams.setUncaughtErrorHandler((error) => {
    errors.push(error);
    return 'shutdown-client';
  });
  await produce(brokers, at.input, messages(['a', 'b']));
  await streams.start();
  await waitFor(() => streams.state === 'ERROR', 20_000, 'ERROR');
  expect(errors).toMatchObject([{ code: 'MILLRACE_RUNTIME_FENCED_AGAIN' }]);
  expect(target.rows).toEqual([]);
  expect(looked).toBeLessThan(8);
});

test('a target that is down when tasks start is waited for', async () => {
  const at = await topics(cluster);
  const target = new Target();
  target.isDown = true;
  const lines = warnings();
  const streams = newStreams(
    brokers,
    batching(at.input, async (values, positions) => target.store(values, positions), {
      positions: target,
      retry: { initialMs: 10, maxMs: 10, maxAttempts: Number.POSITIVE_INFINITY },
    }),
    { ...at, logger: lines },
  );
  await streams.start();
  await produce(brokers, at.input, messages(['a']));
  await waitFor(() => lines.lines.filter((line) => /target system failed/.test(line)).length > 3);
  expect(streams.state).toBe('REBALANCING');
  target.isDown = false;
  await waitFor(() => target.rows.length === 1);
});

test('a target that stays down ends the start with what it said', async () => {
  const at = await topics(cluster);
  const target = new Target();
  target.isDown = true;
  const errors: Error[] = [];
  const streams = newStreams(
    brokers,
    batching(at.input, async () => {}, { positions: target, retry: { initialMs: 5, maxAttempts: 2 } }),
    { ...at },
  );
  streams.setUncaughtErrorHandler((error) => {
    errors.push(error);
    return 'shutdown-client';
  });
  await streams.start();
  await waitFor(() => streams.state === 'ERROR', 10_000, 'ERROR');
  expect(errors).toMatchObject([{ code: 'MILLRACE_RUNTIME_EXTERNAL_POSITIONS', message: /sink .*: down/ }]);
});

test('a user’s commit() in the middle of a batch ends it', async () => {
  const at = await topics(cluster);
  const builder = new StreamsBuilder();
  const handled: string[] = [];
  builder
    .stream(at.input, { key: s, value: s })
    .process<string | null, string>(() => {
      let context: import('../../src/index.ts').ProcessorContext<string | null, string>;
      return {
        init: (given) => {
          context = given;
        },
        process: (record) => {
          context.forward(record);
          if (record.value === 'last') context.commit();
        },
      };
    })
    .forEachBatch(async (records) => void handled.push(...records.map(({ value }) => value)), { maxWaitMs: 3_600_000 });
  await runStreams(brokers, builder.build(), { ...at, commitIntervalMs: 3_600_000 });
  await produce(brokers, at.input, messages(['a', 'last']));
  await waitFor(async () => (await committed(cluster, at.applicationId, at.input))[0] === 2, 10_000, 'the position');
  expect(handled).toEqual(['a', 'last']);
});
