/** What moves between brokers: leaders, coordinators, nodes that go, metadata that is old, ends of logs that are lost. */
import type { Random } from '../kernel/random.ts';
import { APPLICATION } from '../topologies/plan.ts';
import type { World } from '../world/world.ts';
import type { FaultArgs, FaultKind, Planning } from './fault.ts';
import { during, MAY_FAIL_TO_START } from './support.ts';

const ROLES = ['input', 'repartition', 'changelog', 'any'] as const;

/** Partitions of a scenario that a fault is for: which topics, and which of each; −1: all. */
function place(random: Random, { partitions }: Planning): FaultArgs {
  return { topics: random.pick(ROLES), partition: random.chance(0.3) ? -1 : random.int(0, partitions - 1) };
}

function partitionsOf(
  { cluster, plan }: World,
  { topics, partition }: FaultArgs,
): { topic: string; partition: number }[] {
  const isChosen = (topic: string): boolean => {
    if (topics === 'input') return plan.inputs.some((input) => input.topic === topic);
    if (topics === 'changelog' || topics === 'repartition') return topic.endsWith(`-${topics}`);
    return topic !== '_schemas';
  };
  return cluster
    .topicNames()
    .filter(isChosen)
    .flatMap((topic) => Array.from({ length: cluster.partitionsOf(topic) }, (_, p) => ({ topic, partition: p })))
    .filter((at) => partition === -1 || at.partition === partition);
}

/** Leaders move, now and then to themselves anew, which is an epoch as well. */
const moveLeader: FaultKind = {
  weight: 3,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, planning) => ({ ...place(random, planning), node: random.int(1, planning.nodes) }),
  async apply(world, args) {
    for (const { topic, partition } of partitionsOf(world, args))
      await world.cluster.moveLeader(topic, partition, Number(args['node']));
  },
};

/** Nobody leads some partitions for a while. */
const leaderless: FaultKind = {
  weight: 2,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, planning) => ({
    ...place(random, planning),
    node: random.int(1, planning.nodes),
    ms: random.pick([200, 3_000, 20_000]),
  }),
  async apply(world, args) {
    const places = partitionsOf(world, args);
    for (const { topic, partition } of places) await world.cluster.moveLeader(topic, partition, -1);
    during(world, Number(args['ms']), async () => {
      for (const { topic, partition } of places) await world.cluster.moveLeader(topic, partition, Number(args['node']));
    });
  },
};

/** The followers fall behind for a while: what is appended is neither seen nor acknowledged. */
const hold: FaultKind = {
  weight: 2,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, planning) => ({ ...place(random, planning), ms: random.pick([500, 5_000, 20_000]) }),
  async apply(world, args) {
    const places = partitionsOf(world, args);
    for (const { topic, partition } of places) await world.cluster.holdHighWatermark(topic, partition, true);
    during(world, Number(args['ms']), async () => {
      for (const { topic, partition } of places) await world.cluster.holdHighWatermark(topic, partition, false);
    });
  },
};

/** The same, and then the leader dies: what it alone had is lost, and nobody had been told that it was written. */
const lostEnd: FaultKind = {
  weight: 3,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, planning) => ({
    ...place(random, planning),
    node: random.int(1, planning.nodes),
    ms: random.pick([50, 500, 5_000]),
  }),
  async apply(world, args) {
    const { cluster } = world;
    const places = partitionsOf(world, args);
    for (const { topic, partition } of places) await cluster.holdHighWatermark(topic, partition, true);
    during(world, Number(args['ms']), async () => {
      for (const { topic, partition } of places) {
        const truncateTo = cluster.highWatermark(topic, partition);
        await cluster.moveLeader(topic, partition, Number(args['node']), { truncateTo });
        await cluster.holdHighWatermark(topic, partition, false);
      }
    });
  },
};

/** A node stops and comes back; the others miss it at once, or a while later. */
const nodeAway: FaultKind = {
  weight: 3,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, { nodes }) =>
    nodes > 1
      ? {
          node: random.int(1, nodes),
          ms: random.pick([500, 10_000, 40_000]),
          failoverMs: random.pick([0, 1_000, 9_000]),
        }
      : undefined,
  async apply(world, { node, ms, failoverMs }) {
    await world.cluster.stopNode(Number(node), Number(failoverMs));
    during(world, Number(ms), () => world.cluster.startNode(Number(node)));
  },
};

/** A member does not reach one of the nodes, and the others do. */
const nodePartition: FaultKind = {
  weight: 2,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, { nodes, members }) =>
    nodes > 1
      ? { member: random.int(1, members), node: random.int(1, nodes), ms: random.pick([1_000, 15_000, 40_000]) }
      : undefined,
  apply(world, { member, node, ms }) {
    const [from, to] = [world.members[Number(member) - 1]?.machine ?? 'm1', world.cluster.machines[Number(node) - 1]!];
    world.network.block(from, to, true);
    during(world, Number(ms), () => world.network.block(from, to, false));
  },
};

/** The group's coordinator moves, is nowhere for a while, or has to load the group first. */
const moveCoordinator: FaultKind = {
  weight: 3,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, { nodes }) => ({
    node: random.int(1, nodes),
    awayMs: random.pick([0, 0, 2_000, 15_000]),
    loadMs: random.pick([0, 0, 1_000, 8_000]),
  }),
  async apply(world, { node, awayMs, loadMs }) {
    const { cluster } = world;
    if (Number(awayMs) > 0) await cluster.moveCoordinator(APPLICATION, -1, 0);
    during(world, Number(awayMs), () => cluster.moveCoordinator(APPLICATION, Number(node), Number(loadMs)));
  },
};

/** A node has not heard of what changes, and tells clients what was before. */
const staleMetadata: FaultKind = {
  weight: 2,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, planning) => ({
    ...place(random, planning),
    node: random.int(1, planning.nodes),
    leader: random.int(1, planning.nodes),
    ms: random.pick([1_000, 10_000]),
  }),
  async apply(world, args) {
    const { cluster } = world;
    await cluster.freezeMetadata(Number(args['node']), true);
    for (const { topic, partition } of partitionsOf(world, args))
      await cluster.moveLeader(topic, partition, Number(args['leader']));
    during(world, Number(args['ms']), () => cluster.freezeMetadata(Number(args['node']), false));
  },
};

export const clusterFaults = {
  'move-leader': moveLeader,
  leaderless,
  hold,
  'lost-end': lostEnd,
  'node-away': nodeAway,
  'node-partition': nodePartition,
  'move-coordinator': moveCoordinator,
  'stale-metadata': staleMetadata,
};
