/**
 * Scenarios that failed once, made as small as they go, each under the name of what must not happen: explicit faults, since
 * a seed gives another scenario when the generator changes.
 */
import type { PlannedFault } from './faults/fault.ts';
import type { Scenario } from './world/scenario.ts';
import { plainSettings, type Settings } from './world/settings.ts';

export interface NamedScenario {
  readonly name: string;
  readonly scenario: Scenario;
}

type Parts = Partial<Omit<Scenario, 'settings'>> & { readonly settings?: Partial<Settings> };

/** One member, one partition, 20 records of one key in ten seconds, and nothing goes wrong. */
function scenario({ settings, ...parts }: Parts): Scenario {
  return {
    seed: '1',
    topology: 'by-key',
    shape: '1',
    members: 1,
    partitions: 1,
    nodes: 1,
    records: 20,
    keys: 1,
    activeMs: 10_000,
    lateMs: 0,
    bursts: 0,
    latencyMs: 0.25,
    faults: [],
    ...parts,
    settings: { ...plainSettings, ...settings },
  };
}

const at = (atMs: number, kind: string, args: PlannedFault['args'] = {}): PlannedFault => ({ atMs, kind, args });

export const namedScenarios: readonly NamedScenario[] = [
  {
    name: 'nothing goes wrong',
    scenario: scenario({ topology: 'by-value', members: 2, partitions: 2, records: 200, keys: 5 }),
  },
  {
    name: 'the first batches of a producer keep their order when the first is refused',
    scenario: scenario({
      latencyMs: 20,
      records: 200,
      settings: { caching: false, lingerMs: 0, cacheMaxBytes: 0 },
      faults: [at(3_000, 'refuse-first', { member: 1, code: 6, times: 1, latencyMs: 60 })],
    }),
  },
  {
    name: 'requests keep their order while a connection is made',
    scenario: scenario({ latencyMs: 20, records: 400, settings: { caching: false, lingerMs: 0, cacheMaxBytes: 0 } }),
  },
  {
    name: 'what a member wrote before it lost its tasks is not sent afterwards',
    scenario: scenario({
      seed: '0',
      activeMs: 60_000,
      records: 1_000,
      bursts: 0.5,
      faults: [at(6_000, 'broker-away', { how: 'stop', ms: 45_000, refuses: '', code: 6, times: 1 })],
    }),
  },
  {
    name: 'a connection that a firewall forgot is given up with the request that timed out on it',
    scenario: scenario({
      members: 2,
      partitions: 2,
      keys: 5,
      faults: [at(7_000, 'sever', { machine: 'm1', share: 1 })],
    }),
  },
  {
    name: 'a longer grace keeps the open windows',
    scenario: scenario({
      topology: 'windowed',
      records: 60,
      activeMs: 30_000,
      faults: [at(15_000, 'roll', { gapMs: 1_000 })],
    }),
  },
  {
    name: 'a restore is remembered: a start on the same disk restores nothing',
    scenario: scenario({}),
  },
  {
    name: 'close() leaves no timer behind',
    scenario: scenario({}),
  },
  {
    name: 'close() during start() closes',
    scenario: scenario({ activeMs: 20_000, faults: [at(8_000, 'close', { member: 1, ms: 3_000, againMs: 10 })] }),
  },
  {
    name: 'close() while start() connects ends the connecting',
    scenario: scenario({ activeMs: 20_000, faults: [at(8_000, 'close', { member: 1, ms: 3_000, againMs: 0 })] }),
  },
  {
    name: 'close() does not wait for a SyncGroup that the broker holds back',
    scenario: scenario({
      activeMs: 30_000,
      faults: [
        at(8_000, 'lose-answer', { api: 'SyncGroup', kind: 'half-open', times: 1, after: 0 }),
        at(9_000, 'kill', { member: 1 }),
        at(24_000, 'close', { member: 1, ms: 0, againMs: -1 }),
      ],
    }),
  },
  {
    name: 'close() while the group rebalances commits',
    scenario: scenario({
      members: 2,
      partitions: 2,
      keys: 5,
      records: 800,
      activeMs: 30_000,
      settings: { commitIntervalMs: 5_000 },
      faults: [
        at(15_000, 'close', { member: 2, ms: 1_000, againMs: -1 }),
        at(18_040, 'close', { member: 1, ms: 1_000, againMs: -1 }),
      ],
    }),
  },
  {
    name: 'a topic that is new under a pattern is read',
    scenario: scenario({
      topology: 'pattern',
      members: 2,
      partitions: 2,
      faults: [at(8_000, 'new-topic', { number: 3, partitions: 1, records: 5 })],
    }),
  },
  {
    name: 'a topic of a pattern that grows is read',
    scenario: scenario({ topology: 'pattern', partitions: 2, faults: [at(8_000, 'grow-topic', { topic: 'in-2' })] }),
  },
  {
    name: 'a topic of a pattern that is deleted does not hold up the others',
    scenario: scenario({ topology: 'pattern', partitions: 2, faults: [at(8_000, 'delete-topic', { topic: 'in-2' })] }),
  },
  {
    name: 'a topic to write to that is deleted for a while does not lose a member',
    scenario: scenario({ activeMs: 120_000, records: 200, faults: [at(8_000, 'delete-output', { ms: 90_000 })] }),
  },
  {
    name: 'a wall clock that goes back does not hold up commits',
    scenario: scenario({ faults: [at(5_000, 'clock', { member: 1, ms: 3_600_000 })] }),
  },
  {
    name: 'a Metadata answer without brokers does not end the fetching',
    scenario: scenario({
      faults: [
        at(5_000, 'refuse', { api: 'Metadata', code: 3, times: 1, after: 0 }),
        at(6_000, 'refuse', { api: 'Fetch', code: 56, times: 1, after: 0 }),
      ],
    }),
  },
  {
    name: 'two stores of one task are restored one after the other: a kill between their writes loses nothing',
    scenario: scenario({
      seed: '2',
      topology: 'two-stores',
      members: 2,
      records: 200,
      keys: 30,
      activeMs: 50_000,
      settings: { commitIntervalMs: 2_000, sessionTimeoutMs: 6_000 },
      faults: [
        at(12_000, 'close', { member: 1, ms: 10_000, againMs: -1 }),
        at(30_000, 'kill-at-write', { member: 1, writes: 1, lost: false }),
        at(30_001, 'close', { member: 2, ms: 15_000, againMs: -1 }),
      ],
    }),
  },
  {
    name: 'a member that left the group for want of progress commits nothing',
    scenario: scenario({
      seed: '0',
      members: 2,
      activeMs: 110_000,
      records: 300,
      settings: { maxPollIntervalMs: 30_000, sessionTimeoutMs: 6_000, heartbeatIntervalMs: 1_000 },
      faults: [
        at(12_000, 'refuse', { api: 'OffsetCommit', code: 14, times: 8, after: 0 }),
        at(13_000, 'pause', { member: 2, ms: 60_000 }),
        at(45_000, 'close', { member: 1, ms: 60_000, againMs: -1 }),
      ],
    }),
  },
  {
    name: 'a commit that was given up is not delivered after its repetition',
    scenario: scenario({
      topology: 'windowed',
      activeMs: 30_000,
      records: 200,
      faults: [at(26_000, 'partition', { machine: 'm1', ms: 40_000, direction: 'both' })],
    }),
  },
  {
    name: 'a wall clock that goes on lets no time-out come early',
    scenario: scenario({
      members: 2,
      topology: 'chain',
      records: 100,
      activeMs: 12_000,
      faults: [at(5_904, 'clock', { member: 1, ms: 3_600_000 })],
    }),
  },
  {
    name: 'the broker knows a repetition after the record was deleted',
    scenario: scenario({
      activeMs: 60_000,
      records: 5,
      faults: [
        at(1_000, 'delay-answer', { api: 'Produce', ms: 12_000, times: 20, throttle: false }),
        at(20_000, 'trim', { share: 1 }),
      ],
    }),
  },
  {
    name: 'a process that was stopped beyond its session writes nothing of its tasks when it goes on',
    scenario: scenario({
      seed: '650',
      topology: 'table',
      members: 3,
      nodes: 3,
      records: 200,
      keys: 30,
      activeMs: 60_000,
      lateMs: 10_000,
      bursts: 0.9,
      latencyMs: 2,
      settings: { sessionTimeoutMs: 6_000, heartbeatIntervalMs: 1_000, maxTaskIdleMs: -1, rebalanceDelayMs: 500 },
      faults: [at(14_115, 'pause', { member: 2, ms: 25_000 }), at(28_634, 'close', { member: 2, ms: 0, againMs: -1 })],
    }),
  },
  {
    name: 'close() leaves no timer behind where the group went on during a commit',
    scenario: scenario({
      members: 2,
      partitions: 2,
      records: 1_000,
      keys: 30,
      activeMs: 60_000,
      settings: { commitIntervalMs: 2_000, sessionTimeoutMs: 6_000 },
      faults: [
        at(12_554, 'move-coordinator', { node: 1, awayMs: 15_000, loadMs: 0 }),
        at(16_000, 'close', { member: 1, ms: 1_000, againMs: -1 }),
        at(17_000, 'close', { member: 2, ms: 1_000, againMs: -1 }),
      ],
    }),
  },
  {
    name: 'a thread that is replaced while brokers are away waits for them',
    scenario: scenario({
      activeMs: 30_000,
      records: 60,
      settings: { onUncaught: 'replace-thread' },
      faults: [
        at(4_585, 'disk-refuses', { member: 1, why: 'io', ms: 10_000 }),
        at(7_000, 'partition', { machine: 'm1', ms: 20_000, direction: 'both' }),
      ],
    }),
  },
  {
    name: 'close() while a thread waits to be replaced leaves no timer behind',
    scenario: scenario({
      activeMs: 15_000,
      records: 60,
      settings: { onUncaught: 'replace-thread' },
      faults: [
        at(5_000, 'disk-refuses', { member: 1, why: 'io', ms: 10_000 }),
        at(12_000, 'close', { member: 1, ms: 0, againMs: -1 }),
      ],
    }),
  },
  {
    name: 'close() between two tries to connect leaves no timer behind',
    scenario: scenario({
      activeMs: 30_000,
      faults: [
        at(4_000, 'broker-away', { how: 'stop', ms: 20_000, refuses: 'SyncGroup', code: 14, times: 1 }),
        at(5_000, 'kill', { member: 1 }),
        at(8_650, 'close', { member: 1, ms: 0, againMs: -1 }),
      ],
    }),
  },
  {
    name: 'a partition without a leader does not stop the others',
    scenario: scenario({
      partitions: 3,
      keys: 30,
      records: 600,
      activeMs: 60_000,
      settings: { commitIntervalMs: 1_000 },
      faults: [at(50, 'leaderless', { topics: 'input', partition: 1, node: 1, ms: 40_000 })],
    }),
  },
  {
    name: 'the first batches of a new producer id keep their order, whatever the topology',
    scenario: scenario({
      seed: '152',
      topology: 'random',
      shape: '152',
      members: 2,
      records: 250,
      activeMs: 40_538,
      settings: {
        commitIntervalMs: 5_000,
        cacheMaxBytes: 0,
        sessionTimeoutMs: 6_000,
        storeKind: 'in-memory',
        rebalanceDelayMs: 500,
      },
      faults: [at(35_538, 'refuse-first', { member: 1, code: 5, times: 1, latencyMs: 10 })],
    }),
  },
  {
    name: 'a call is forgotten when its result is safe, not when it has one',
    scenario: scenario({
      topology: 'calls',
      keys: 30,
      records: 400,
      activeMs: 30_000,
      faults: [
        at(5_000, 'leaderless', { topics: 'repartition', partition: -1, node: 1, ms: 15_000 }),
        at(8_000, 'kill', { member: 1 }),
      ],
    }),
  },
];
