/** Cables, switches and firewalls. */
import type { Random } from '../kernel/random.ts';
import type { Connection } from '../network/connection.ts';
import type { World } from '../world/world.ts';
import type { FaultKind, Planning } from './fault.ts';
import { during, MAY_FAIL_TO_START } from './support.ts';

/** A member's machine, now and then the writer's. */
export function machine(random: Random, { members }: Planning): string {
  return random.chance(0.1) ? 'writer' : `m${random.int(1, members)}`;
}

function connectionsOf(world: World, name: string): Connection[] {
  return [...world.network.connections].filter(({ client }) => client.machine === name);
}

/** Connections are reset, all of a machine or some. */
const cut: FaultKind = {
  weight: 2,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, planning) => ({
    machine: machine(random, planning),
    side: random.pick(['both', 'both', 'client', 'server']),
    share: random.pick([1, 1, 0.5, 0.1]),
  }),
  apply(world, { machine: name, side, share }) {
    const random = world.kernel.random.of('cut');
    for (const connection of random.some(connectionsOf(world, String(name)), Number(share)))
      connection.cut(side as 'both' | 'client' | 'server');
  },
};

/** A firewall forgets connections: bytes vanish on them for ever; new connections are fine. */
const sever: FaultKind = {
  weight: 2,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, planning) => ({ machine: machine(random, planning), share: random.pick([1, 0.5, 0.1]) }),
  apply(world, { machine: name, share }) {
    const random = world.kernel.random.of('sever');
    for (const connection of random.some(connectionsOf(world, String(name)), Number(share))) connection.sever();
  },
};

/** A machine and the brokers do not reach each other, or not in one direction. */
const partition: FaultKind = {
  weight: 2,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, planning) => ({
    machine: machine(random, planning),
    ms: random.pick([500, 5_000, 20_000, 40_000]),
    direction: random.pick(['both', 'both', 'to', 'from']),
  }),
  apply(world, { machine: name, ms, direction }) {
    const block = (blocked: boolean): void => {
      for (const broker of world.cluster.machines) {
        if (direction !== 'from') world.network.block(String(name), broker, blocked, 'one-way');
        if (direction !== 'to') world.network.block(broker, String(name), blocked, 'one-way');
      }
    };
    block(true);
    during(world, Number(ms), () => block(false));
  },
};

/** A slow line: everything takes as long, and not the same each time. */
const slowLink: FaultKind = {
  mayStop: MAY_FAIL_TO_START,
  plan: (random, planning) => ({
    machine: machine(random, planning),
    latencyMs: random.pick([5, 50, 300]),
    jitterMs: random.pick([0, 20, 200]),
    ms: random.pick([2_000, 20_000, 60_000]),
  }),
  apply(world, { machine: name, latencyMs, jitterMs, ms }) {
    const links = world.cluster.machines.flatMap((broker) => [
      world.network.links.of(String(name), broker),
      world.network.links.of(broker, String(name)),
    ]);
    const before = links.map(({ latencyUs, jitterUs }) => ({ latencyUs, jitterUs }));
    for (const link of links)
      Object.assign(link, { latencyUs: Number(latencyMs) * 1000, jitterUs: Number(jitterMs) * 1000 });
    during(world, Number(ms), () => links.forEach((link, index) => void Object.assign(link, before[index])));
  },
};

export const networkFaults = { cut, sever, partition, 'slow-link': slowLink };
