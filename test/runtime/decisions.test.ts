/** The runtime's pure decisions: assignment, restore plans, commit metadata, internal topics, options. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  double,
  KafkaStreams,
  minutes,
  StreamsBuilder,
  type StreamsOptions,
  string,
  TimeWindows,
} from '../../src/index.ts';
import { assignTasks } from '../../src/runtime/assignment/assign-tasks.ts';
import {
  internalTopics,
  repartitionCounts,
  TopicNames,
  tasksOf,
} from '../../src/runtime/assignment/internal-topics.ts';
import { decodeCommitMetadata, encodeCommitMetadata } from '../../src/runtime/commit/commit-metadata.ts';
import { resolveOptions } from '../../src/runtime/options.ts';
import { restoreFrom } from '../../src/runtime/restore/restore-plan.ts';
import { taskName } from '../../src/runtime/task/task.ts';

test('every task goes to exactly one member, balanced within one, and stays where it was where that is balanced', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 30 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 6 }),
      (count, before, after) => {
        const tasks = Array.from({ length: count }, (_, i) => ({ subTopology: i % 2, partition: i >> 1 }));
        const members = (n: number) =>
          Array.from({ length: n }, (_, i) => ({ memberId: `m${i}`, previous: [] as string[] }));
        const first = assignTasks(tasks, members(before));
        const second = assignTasks(
          tasks,
          members(after).map((m) => ({ ...m, previous: (first.get(m.memberId) ?? []).map(taskName) })),
        );
        const sizes = [...second.values()].map((own) => own.length);
        expect([...second.values()].flat().map(taskName).sort()).toEqual(tasks.map(taskName).sort());
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        if (before === after) expect(second).toEqual(first);
      },
    ),
  );
});

test.each([
  [undefined, 0, 10, 0, { offset: 0, wipe: false }],
  [5, 0, 10, 0, { offset: 5, wipe: false }],
  [11, 0, 10, 0, { offset: 0, wipe: true }],
  [5, 6, 10, 0, { offset: 6, wipe: true }],
  [5, 0, 10, 100, { offset: 0, wipe: true }],
])('restoring from position %s of a log from %s to %s, %s ms old', (position, start, end, age, plan) => {
  expect(restoreFrom(position, start, end, age, 99)).toEqual(plan);
});

describe('commit metadata', () => {
  test('comes back as it went in, and fits a broker’s limit', () => {
    const metadata = { partitionTimeMs: 1_700_000_000_000, operatorTimesMs: [5, -1, 7] };
    expect(decodeCommitMetadata(encodeCommitMetadata(metadata))).toEqual(metadata);
    const many = encodeCommitMetadata({ partitionTimeMs: 1, operatorTimesMs: Array.from({ length: 1000 }, () => 1) });
    expect(many.length).toBeLessThanOrEqual(4096);
  });

  test('of Kafka Streams gives the partition time', () => {
    expect(decodeCommitMetadata('AgAAAAAAAAAF')).toEqual({ partitionTimeMs: 5, operatorTimesMs: [] });
    expect(decodeCommitMetadata('AgAAAAAAAAAFAAAAAQAAAAF3AAAAAAAAAAc=')).toEqual({
      partitionTimeMs: 5,
      operatorTimesMs: [],
    });
    expect(decodeCommitMetadata(null)).toEqual({ partitionTimeMs: -1, operatorTimesMs: [] });
  });
});

test('internal topics have Kafka Streams’ names, partitions and configs', () => {
  const builder = new StreamsBuilder();
  builder
    .stream('in', { key: string(), value: double() })
    .groupBy((key, value) => `${key}${value}`, { key: string(), value: double() })
    .windowedBy(TimeWindows.of(minutes(1), { grace: minutes(1) }))
    .count({ name: 'c' });
  const topology = builder.build();
  const names = new TopicNames('app', topology);
  const counts = repartitionCounts(topology, names, [], () => 6);
  const countOf = (topic: string): number => counts.get(topic) ?? 6;
  const tasks = tasksOf(topology, names, [], countOf);
  const topics = internalTopics(topology, names, counts, tasks, {
    replicationFactor: -1,
    windowStoreChangelogAdditionalRetentionMs: 1000,
  });
  expect(topics).toEqual([
    {
      topic: 'app-c-repartition',
      partitions: 6,
      replicationFactor: -1,
      configs: {
        'cleanup.policy': 'delete',
        'segment.bytes': '52428800',
        'retention.ms': '-1',
        'message.timestamp.type': 'CreateTime',
      },
    },
    {
      topic: 'app-c-changelog',
      partitions: 6,
      replicationFactor: -1,
      configs: { 'cleanup.policy': 'compact,delete', 'retention.ms': '121000', 'message.timestamp.type': 'CreateTime' },
    },
  ]);
  expect(tasks).toHaveLength(12);
});

describe('options', () => {
  const kafka = { brokers: ['a:1'] };

  test('that are invalid are all named at once', () => {
    const options = { applicationId: 'no spaces', kafka, commitIntervalMs: -1, offsetReset: 'first' as 'earliest' };
    expect(() => resolveOptions(options)).toThrow(
      /applicationId.*offsetReset.*earliest, latest, none.*commitIntervalMs/,
    );
  });

  test('that are undefined count as absent', () => {
    const options = { applicationId: 'a', kafka, commitIntervalMs: undefined, logger: undefined, stateDir: undefined };
    const resolved = resolveOptions(options as unknown as StreamsOptions);
    expect(resolved).toEqual(resolveOptions({ applicationId: 'a', kafka }));
  });

  test.each([
    [undefined, /applicationId.*kafka.brokers/],
    [{ applicationId: undefined, kafka }, /applicationId/],
    [{ applicationId: 'a' }, /kafka.brokers/],
    [{ applicationId: 'a', kafka: { brokers: [] } }, /kafka.brokers/],
    [{ applicationId: 'a', kafka, compression: 'brotli' }, /compression is brotli/],
    [{ applicationId: 'a', kafka, deserializationExceptionHandler: 'skip' }, /deserializationExceptionHandler is skip/],
    [{ applicationId: 'a', kafka, logger: { info() {} } }, /logger lacks debug, warn, error/],
    [{ applicationId: 'a', kafka, lingerMs: Number.NaN }, /lingerMs is NaN/],
  ])('%j: what is required and what is one of some words is checked', (options, message) => {
    expect(() => resolveOptions(options as unknown as StreamsOptions)).toThrow(message);
    expect(() => resolveOptions(options as unknown as StreamsOptions)).toThrow(
      expect.objectContaining({ code: 'MILLRACE_RUNTIME_INVALID_OPTIONS' }),
    );
  });

  test('an empty topology is refused', () => {
    expect(() => new KafkaStreams(new StreamsBuilder().build(), { applicationId: 'a', kafka })).toThrow(
      expect.objectContaining({ code: 'MILLRACE_RUNTIME_EMPTY_TOPOLOGY' }),
    );
  });
});
