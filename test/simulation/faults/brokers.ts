/** Brokers that go away, refuse, forget to answer, and take their time. */
import { ErrorCode } from '../../../src/kafka/index.ts';
import type { FaultKind } from './fault.ts';
import { during, MAY_FAIL_TO_START, memberOf } from './support.ts';

const {
  NOT_LEADER_OR_FOLLOWER,
  LEADER_NOT_AVAILABLE,
  UNKNOWN_TOPIC_OR_PARTITION,
  REQUEST_TIMED_OUT,
  NOT_ENOUGH_REPLICAS,
  NOT_ENOUGH_REPLICAS_AFTER_APPEND,
  KAFKA_STORAGE_ERROR,
  CORRUPT_MESSAGE,
  FENCED_LEADER_EPOCH,
  UNKNOWN_LEADER_EPOCH,
  OFFSET_NOT_AVAILABLE,
  REPLICA_NOT_AVAILABLE,
  COORDINATOR_LOAD_IN_PROGRESS,
  COORDINATOR_NOT_AVAILABLE,
  NOT_COORDINATOR,
  REBALANCE_IN_PROGRESS,
  UNSTABLE_OFFSET_COMMIT,
  CONCURRENT_TRANSACTIONS,
  NOT_CONTROLLER,
  THROTTLING_QUOTA_EXCEEDED,
} = ErrorCode;

/** What a broker may answer for a while, by API; all of it is to be tried again. */
const REFUSALS: Readonly<Record<string, readonly number[]>> = {
  Produce: [
    NOT_LEADER_OR_FOLLOWER,
    LEADER_NOT_AVAILABLE,
    UNKNOWN_TOPIC_OR_PARTITION,
    REQUEST_TIMED_OUT,
    NOT_ENOUGH_REPLICAS,
    NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KAFKA_STORAGE_ERROR,
    CORRUPT_MESSAGE,
  ],
  Fetch: [
    NOT_LEADER_OR_FOLLOWER,
    LEADER_NOT_AVAILABLE,
    UNKNOWN_TOPIC_OR_PARTITION,
    FENCED_LEADER_EPOCH,
    UNKNOWN_LEADER_EPOCH,
    OFFSET_NOT_AVAILABLE,
    REPLICA_NOT_AVAILABLE,
    KAFKA_STORAGE_ERROR,
  ],
  ListOffsets: [
    NOT_LEADER_OR_FOLLOWER,
    LEADER_NOT_AVAILABLE,
    UNKNOWN_TOPIC_OR_PARTITION,
    OFFSET_NOT_AVAILABLE,
    FENCED_LEADER_EPOCH,
  ],
  Metadata: [LEADER_NOT_AVAILABLE, UNKNOWN_TOPIC_OR_PARTITION],
  OffsetCommit: [
    COORDINATOR_LOAD_IN_PROGRESS,
    COORDINATOR_NOT_AVAILABLE,
    NOT_COORDINATOR,
    REBALANCE_IN_PROGRESS,
    REQUEST_TIMED_OUT,
  ],
  OffsetFetch: [COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, UNSTABLE_OFFSET_COMMIT],
  JoinGroup: [COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR],
  SyncGroup: [COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, REBALANCE_IN_PROGRESS],
  Heartbeat: [COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, REBALANCE_IN_PROGRESS],
  LeaveGroup: [COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR],
  FindCoordinator: [COORDINATOR_NOT_AVAILABLE],
  InitProducerId: [COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, CONCURRENT_TRANSACTIONS],
  CreateTopics: [NOT_CONTROLLER, REQUEST_TIMED_OUT, THROTTLING_QUOTA_EXCEEDED],
  DescribeConfigs: [REQUEST_TIMED_OUT],
  DeleteRecords: [NOT_LEADER_OR_FOLLOWER, LEADER_NOT_AVAILABLE, REQUEST_TIMED_OUT],
};

const APIS = Object.keys(REFUSALS);
/** Topics that seem to be missing for longer than the start waits for them. */
const MAY_MISS_TOPICS = [...MAY_FAIL_TO_START, 'start MILLRACE_RUNTIME_TOPIC_MISSING', 'start MILLRACE_KAFKA_PROTOCOL'];

/** Requests are refused for a while, with an error that says: try again. */
const refuse: FaultKind = {
  weight: 6,
  mayStop: MAY_MISS_TOPICS,
  plan(random) {
    const api = random.pick(APIS);
    return {
      api,
      code: random.pick(REFUSALS[api]!),
      times: random.pick([1, 1, 2, 5, 50]),
      after: random.pick([0, 0, 1, 3]),
    };
  },
  apply(world, { api, code, times, after }) {
    world.cluster.inject({
      api: String(api),
      times: Number(times),
      after: Number(after),
      action: { kind: 'error', code: Number(code) },
      when: (_request, clientId) => clientId !== 'writer',
    });
  },
};

/** A member's process ends, and the first batches of the next one's producer are refused, on a line with some latency. */
const refuseFirst: FaultKind = {
  weight: 4,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, { members }) => ({
    member: random.int(1, members),
    code: random.pick(REFUSALS['Produce']!),
    times: random.pick([1, 1, 3]),
    latencyMs: random.pick([0, 10, 60]),
  }),
  apply(world, { member: number, code, times, latencyMs }) {
    const member = memberOf(world, number);
    if (Number(latencyMs) > 0)
      for (const broker of world.cluster.machines)
        for (const link of [
          world.network.links.of(member.machine, broker),
          world.network.links.of(broker, member.machine),
        ])
          link.latencyUs = Number(latencyMs) * 1000;
    world.cluster.inject({
      api: 'Produce',
      times: Number(times),
      action: { kind: 'error', code: Number(code) },
      when: (request, clientId) => clientId === member.machine && isFirst(request),
    });
    member.kill();
  },
};

/** Whether a producer's first batch of a partition is in it. */
function isFirst(request: unknown): boolean {
  const { topics } = request as { topics: { partitions: { records: Buffer | null }[] }[] };
  return topics.some(({ partitions }) => partitions.some(({ records }) => records?.readInt32BE(53) === 0));
}

/** A request is done and not answered, or not even done; the connection breaks, or stays and says nothing. */
const loseAnswer: FaultKind = {
  weight: 4,
  mayStop: MAY_FAIL_TO_START,
  plan: (random) => ({
    api: random.pick(APIS),
    kind: random.pick(['lose-response', 'lose-response', 'disconnect', 'half-open']),
    times: random.pick([1, 1, 3]),
    after: random.pick([0, 0, 2]),
  }),
  apply(world, { api, kind, times, after }) {
    const action = { kind: kind as 'lose-response' | 'disconnect' | 'half-open' };
    world.cluster.inject({ api: String(api), times: Number(times), after: Number(after), action });
  },
};

const delayAnswer: FaultKind = {
  weight: 2,
  mayStop: MAY_FAIL_TO_START,
  plan: (random) => ({
    api: random.pick(APIS),
    ms: random.pick([100, 2_000, 12_000]),
    times: random.pick([1, 3, 20]),
    throttle: random.chance(0.2),
  }),
  apply(world, { api, ms, times, throttle }) {
    const action = { kind: throttle === true ? 'throttle' : 'delay', ms: Number(ms) } as const;
    world.cluster.inject({ api: String(api), times: Number(times), action });
  },
};

/** The broker is away; where it comes back it may refuse the first requests. */
const brokerAway: FaultKind = {
  weight: 3,
  mayStop: MAY_MISS_TOPICS,
  plan(random) {
    const api = random.pick(APIS);
    return {
      how: random.pick(['stop', 'crash']),
      ms: random.pick([100, 3_000, 15_000, 45_000]),
      refuses: random.chance(0.5) ? api : '',
      code: random.pick(REFUSALS[api]!),
      times: random.pick([1, 3, 10]),
    };
  },
  async apply(world, { how, ms, refuses, code, times }) {
    await world.cluster.stop(how as 'stop' | 'crash');
    await world.kernel.sleep(Number(ms));
    if (refuses !== '')
      world.cluster.inject({
        api: String(refuses),
        times: Number(times),
        action: { kind: 'error', code: Number(code) },
      });
    await world.cluster.start();
  },
};

/** The broker stands still and comes back: its clients' sessions and requests may have timed out. */
const brokerPaused: FaultKind = {
  mayStop: MAY_FAIL_TO_START,
  plan: (random) => ({ ms: random.pick([1_000, 12_000, 40_000]) }),
  apply(world, { ms }) {
    const { owner } = world.cluster;
    if (owner === undefined) return;
    world.kernel.pause(owner);
    during(world, Number(ms), () => world.kernel.resume(owner));
  },
};

/** The schema registry is away for a while. */
const registryAway: FaultKind = {
  weight: 3,
  plan: (random, { topology }) => (topology === 'avro' ? { ms: random.pick([1_000, 20_000, 60_000]) } : undefined),
  apply(world, { ms }) {
    world.registry.kill();
    during(world, Number(ms), () => world.registry.start());
  },
};

export const brokerFaults = {
  refuse,
  'refuse-first': refuseFirst,
  'lose-answer': loseAnswer,
  'delay-answer': delayAnswer,
  'broker-away': brokerAway,
  'broker-paused': brokerPaused,
  'registry-away': registryAway,
};
