/** Disks that refuse, are slow, are damaged and are lost. */
import type { Member } from '../world/member.ts';
import type { FaultKind } from './fault.ts';
import { during, memberOf } from './support.ts';

const STATE_CODES = [
  'handler MILLRACE_STATE_WRITE',
  'handler MILLRACE_STATE_DISK_FULL',
  'start MILLRACE_STATE_WRITE',
  'start MILLRACE_STATE_DISK_FULL',
];

const refuses: FaultKind = {
  weight: 2,
  mayStop: STATE_CODES,
  plan: (random, { members }) => ({
    member: random.int(1, members),
    why: random.pick(['full', 'io']),
    ms: random.pick([10, 1_000, 10_000]),
  }),
  apply(world, { member, why, ms }) {
    const { disk } = memberOf(world, member);
    disk.refusing = why as 'full' | 'io';
    during(world, Number(ms), () => {
      disk.refusing = undefined;
    });
  },
};

const slow: FaultKind = {
  isOrderly: true,
  plan: (random, { members }) => ({
    member: random.int(1, members),
    factor: random.pick([30, 1_000, 3_000]),
    ms: random.pick([5_000, 30_000]),
  }),
  apply(world, { member, factor, ms }) {
    const { disk } = memberOf(world, member);
    disk.slowness = Number(factor);
    during(world, Number(ms), () => {
      disk.slowness = 1;
    });
  },
};

/** The process dies, and some of its databases cannot be read afterwards. */
const damaged: FaultKind = {
  plan: (random, { members }) => ({ member: random.int(1, members), share: random.pick([0.3, 1]) }),
  apply(world, { member: number, share }) {
    const member = memberOf(world, number);
    member.kill();
    const random = world.kernel.random.of('damage');
    for (const folder of random.some([...member.disk.folders].sort(), Number(share))) member.disk.damaged.add(folder);
  },
};

/** The process dies with a write that it was not told of; others that are under way are lost. */
const killAtWrite: FaultKind = {
  weight: 3,
  plan: (random, { members }) => ({
    member: random.int(1, members),
    writes: random.int(1, 8),
    lost: random.chance(0.5),
  }),
  apply(world, { member: number, writes, lost: isLost }) {
    const member = memberOf(world, number);
    if (isLost === true) lose(member);
    member.writesLeft = Number(writes);
  },
};

function lose(member: Member): void {
  member.kill();
  member.disk.destroy(`/${member.machine}`);
}

/** The process comes back on an empty disk. */
const lost: FaultKind = {
  plan: (random, { members }) => ({ member: random.int(1, members) }),
  apply: (world, { member }) => lose(memberOf(world, member)),
};

export const diskFaults = {
  'disk-refuses': refuses,
  'disk-slow': slow,
  'disk-damaged': damaged,
  'disk-lost': lost,
  'kill-at-write': killAtWrite,
};
