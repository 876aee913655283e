/** The states of an application: every pair of calls, at once and one after the other; handlers that throw; replacements. */
import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { KafkaStreams, MillraceError, type Processor, StreamsBuilder, string, type Topology } from '../../src/index.ts';
import { KafkaCluster } from '../../src/kafka/index.ts';
import { silentLogger } from '../../src/logger.ts';
import { type KafkaStreamsState, Lifecycle, TRANSITIONS } from '../../src/runtime/lifecycle.ts';
import { temporaryFolder } from '../support/programs.ts';
import { closeLater, newStreams, produce, runStreams, warnings } from '../support/streams.ts';
import { newTopics } from '../support/topics.ts';
import { waitFor } from '../support/wait.ts';

const brokers = inject('brokers');
const topic = `lifecycle-${randomUUID()}`;
const applicationId = (): string => `app-${randomUUID()}`;

beforeAll(async () => {
  const admin = new KafkaCluster({ kafka: { brokers } });
  await admin.connect();
  await newTopics(admin, [topic], 1);
  await admin.close();
});

function reading(action: (value: string) => void = () => {}, from = topic): Topology {
  const builder = new StreamsBuilder();
  builder.stream(from, { key: string(), value: string() }).forEach((_key, value) => void action(value));
  return builder.build();
}

const states = Object.keys(TRANSITIONS) as KafkaStreamsState[];

test('a state follows another only where the table says so; the listener hears of no other', () => {
  for (const from of states) {
    for (const to of states) {
      const seen: string[] = [];
      const lifecycle = new Lifecycle(silentLogger);
      for (const step of pathTo(from)) lifecycle.to(step);
      lifecycle.listener = (next, previous) => void seen.push(`${previous} ${next}`);
      expect([from, to, lifecycle.to(to)]).toEqual([from, to, TRANSITIONS[from].includes(to)]);
      expect(lifecycle.state).toBe(TRANSITIONS[from].includes(to) ? to : from);
      expect(seen).toEqual(TRANSITIONS[from].includes(to) ? [`${from} ${to}`] : []);
    }
  }
});

/** The shortest way from CREATED. */
function pathTo(target: KafkaStreamsState): KafkaStreamsState[] {
  const open: KafkaStreamsState[][] = [[]];
  for (const path of open) {
    const at = path.at(-1) ?? 'CREATED';
    if (at === target) return path;
    for (const next of TRANSITIONS[at]) if (!path.includes(next)) open.push([...path, next]);
  }
  throw new Error(`${target} cannot be reached`);
}

type Call = 'start' | 'close' | 'cleanUp';
const calls: readonly Call[] = ['start', 'close', 'cleanUp'];
const pairs = calls.flatMap((first) => calls.map((second) => [first, second] as const));

describe.each([true, false])('one after the other: %s', (sequential) => {
  test.each(pairs)('%s, %s: each ends, close() ends all', async (first, second) => {
    const streams = newStreams(brokers, reading(), { applicationId: applicationId() });
    const settled = (call: Call): Promise<unknown> => streams[call]().catch((error: unknown) => error);
    const one = settled(first);
    if (sequential) await one;
    const results = [await settled(second), await one];
    for (const result of results) expect(result === undefined || result instanceof MillraceError).toBe(true);
    await streams.close();
    const isFailed = streams.state === 'ERROR';
    expect(['NOT_RUNNING', 'ERROR']).toContain(streams.state);
    // Nothing but a clean-up that holds the directory keeps an application from starting.
    if (isFailed) expect([first, second].sort()).toEqual(['cleanUp', 'start']);
    await expect(streams.start()).rejects.toMatchObject({ code: 'MILLRACE_RUNTIME_STARTED_TWICE' });
  });
});

test('close() during start(): start() is refused, the state is NOT_RUNNING and stays so', async () => {
  const streams = newStreams(brokers, reading(), { applicationId: applicationId() });
  const starting = streams.start();
  const seen: string[] = [];
  streams.setStateListener((next) => void seen.push(next));
  const closing = streams.close();
  await expect(starting).rejects.toMatchObject({ code: 'MILLRACE_RUNTIME_INTERRUPTED' });
  await closing;
  expect(streams.state).toBe('NOT_RUNNING');
  expect(seen).toEqual(['PENDING_SHUTDOWN', 'NOT_RUNNING']);
});

test('close() while a thread is being replaced ends', async () => {
  const id = applicationId();
  await produce(brokers, topic, [{ value: 'bad' }]);
  const streams = newStreams(
    brokers,
    reading(() => {
      throw new Error('boom');
    }),
    { applicationId: id },
  );
  let failures = 0;
  streams.setUncaughtErrorHandler(() => {
    failures++;
    return 'replace-thread';
  });
  await streams.start();
  await waitFor(() => failures > 0);
  await streams.close();
  expect(streams.state).toBe('NOT_RUNNING');
});

test('replacements of a thread that fails at once wait longer each time', async () => {
  const own = `poison-${randomUUID()}`;
  const admin = new KafkaCluster({ kafka: { brokers } });
  await admin.connect();
  await newTopics(admin, [own], 1);
  await admin.close();
  await produce(brokers, own, [{ value: 'bad' }]);
  const streams = newStreams(
    brokers,
    reading(() => {
      throw new Error('boom');
    }, own),
    { applicationId: applicationId() },
  );
  const failedAt: number[] = [];
  streams.setUncaughtErrorHandler(() => {
    failedAt.push(Date.now());
    return 'replace-thread';
  });
  await streams.start();
  await waitFor(() => failedAt.length >= 3);
  expect(failedAt[1]! - failedAt[0]!).toBeGreaterThan(350);
  expect(failedAt[2]! - failedAt[1]!).toBeGreaterThan(700);
});

test('an uncaught-error handler that throws shuts the application down', async () => {
  await produce(brokers, topic, [{ value: 'bad' }]);
  const logger = warnings();
  const streams = newStreams(
    brokers,
    reading(() => {
      throw new Error('boom');
    }),
    { applicationId: applicationId(), logger },
  );
  streams.setUncaughtErrorHandler(() => {
    throw new Error('handler failed');
  });
  await streams.start();
  await waitFor(() => streams.state === 'ERROR');
  expect(logger.lines.join('\n')).toMatch(/boom[\s\S]*handler threw, shutting down: handler failed/);
});

test('listeners that throw are told in the log and change nothing', async () => {
  const own = `restored-${randomUUID()}`;
  const admin = new KafkaCluster({ kafka: { brokers } });
  await admin.connect();
  await newTopics(admin, [own], 1);
  await admin.close();
  const builder = new StreamsBuilder();
  builder.stream(own, { key: string(), value: string() }).groupByKey().count({ name: 'counts' });
  const topology = builder.build();
  const id = applicationId();
  await produce(brokers, own, [{ key: 'a', value: '1' }]);
  const first = await runStreams(brokers, topology, { applicationId: id });
  await waitFor(() => first.metrics().processTotal === 1);
  await first.close();
  const logger = warnings();
  const second = newStreams(brokers, topology, { applicationId: id, logger });
  second.setStateListener(() => {
    throw new Error('state');
  });
  second.setRestoreListener({
    onProgress() {
      throw new Error('progress');
    },
  });
  await second.start();
  await waitFor(() => second.state === 'RUNNING');
  expect(logger.lines).toContain('The state listener threw: state');
  expect(logger.lines).toContain('The restore listener threw: progress');
});

test('a processor whose close() throws leaves no lock behind, and is told by name', async () => {
  const builder = new StreamsBuilder();
  const supplier = (): Processor<string | null, string> => ({
    process() {},
    close() {
      throw new Error('stuck');
    },
  });
  builder.stream(topic, { key: string(), value: string() }).process(supplier, { name: 'closing' });
  const stateDir = temporaryFolder();
  const id = applicationId();
  const first = newStreams(brokers, builder.build(), { applicationId: id, stateDir });
  const errors: Error[] = [];
  first.setUncaughtErrorHandler((error) => {
    errors.push(error);
    return 'shutdown-client';
  });
  await first.start();
  await waitFor(() => first.state === 'RUNNING');
  await first.close();
  expect(first.state).toBe('NOT_RUNNING');
  expect(errors).toMatchObject([{ code: 'MILLRACE_RUNTIME_PROCESSING', node: 'closing', taskId: '0_0' }]);
  await runStreams(brokers, reading(), { applicationId: id, stateDir });
});

test('start() that fails ends in ERROR with everything closed; another instance starts in its place', async () => {
  const stateDir = temporaryFolder();
  const id = applicationId();
  const missing = newStreams(brokers, reading(undefined, 'no-such-topic'), { applicationId: id, stateDir });
  await expect(missing.start()).rejects.toMatchObject({ code: 'MILLRACE_RUNTIME_TOPIC_MISSING' });
  expect(missing.state).toBe('ERROR');
  await runStreams(brokers, reading(), { applicationId: id, stateDir });
});

test('close() before the broker answers ends start() at once', async () => {
  const nowhere = new KafkaStreams(reading(), {
    applicationId: applicationId(),
    kafka: { brokers: ['127.0.0.1:1'] },
    stateDir: temporaryFolder(),
    startTimeoutMs: 600_000,
  });
  closeLater(() => nowhere.close());
  const starting = nowhere.start();
  const closing = nowhere.close();
  await expect(starting).rejects.toMatchObject({ code: 'MILLRACE_RUNTIME_INTERRUPTED' });
  await closing;
});
