/** Processes of the application that are killed, stopped, slow, closed and replaced, and machines with bad clocks. */
import type { FaultKind } from './fault.ts';
import { during, MAY_FAIL_TO_START, memberOf } from './support.ts';

/** Killed at any moment; the supervisor starts it again on its disk. */
const kill: FaultKind = {
  weight: 4,
  plan: (random, { members }) => ({ member: random.int(1, members) }),
  apply: (world, { member }) => memberOf(world, member).kill(),
};

/** Killed between two effects: a write to a socket, a write to the disk. */
const killBetween: FaultKind = {
  weight: 4,
  plan: (random, { members }) => ({ member: random.int(1, members), effects: random.int(0, 60) }),
  apply(world, { member, effects }) {
    const { owner } = memberOf(world, member);
    if (owner !== undefined) owner.fuse = Number(effects);
  },
};

/** Killed, and its successor too, while it starts, joins and restores. */
const killAgain: FaultKind = {
  weight: 4,
  plan: (random, { members }) => ({ member: random.int(1, members), effects: random.int(0, 150) }),
  apply(world, { member: number, effects }) {
    const member = memberOf(world, number);
    member.nextFuse = Number(effects);
    member.kill();
  },
};

/** The machine loses its power: its connections are not closed, and its sessions run out. */
const powerCut: FaultKind = {
  weight: 2,
  plan: (random, { members }) => ({ member: random.int(1, members), ms: random.pick([3_000, 15_000, 40_000]) }),
  apply(world, { member: number, ms }) {
    const member = memberOf(world, number);
    member.wanted = false;
    member.powerOff();
    during(world, Number(ms), () => {
      member.powerOn();
      member.start();
    });
  },
};

/** Stopped where it is (SIGSTOP, a long collection of garbage), also beyond the session. */
const pause: FaultKind = {
  weight: 3,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, { members }) => ({ member: random.int(1, members), ms: random.pick([500, 5_000, 25_000, 60_000]) }),
  apply(world, { member, ms }) {
    const { owner } = memberOf(world, member);
    if (owner === undefined) return;
    world.kernel.pause(owner);
    during(world, Number(ms), () => world.kernel.resume(owner));
  },
};

/** User code takes its time, and so does everything that looks at the clock. */
const slow: FaultKind = {
  weight: 2,
  mayStop: MAY_FAIL_TO_START,
  plan: (random, { members }) => ({
    member: random.int(1, members),
    workUs: random.pick([1_000, 20_000, 200_000]),
    lookUs: random.pick([0, 50]),
    ms: random.pick([5_000, 30_000]),
  }),
  apply(world, { member: number, workUs, lookUs, ms }) {
    const member = memberOf(world, number);
    const { owner } = member;
    member.workUs = Number(workUs);
    if (owner !== undefined) owner.lookUs = Number(lookUs);
    during(world, Number(ms), () => {
      member.workUs = 0;
      if (owner !== undefined) owner.lookUs = 0;
    });
  },
};

/** close() at any moment, and a new start a while later. */
const close: FaultKind = {
  weight: 3,
  isOrderly: true,
  mayStop: ['start MILLRACE_RUNTIME_INTERRUPTED', ...MAY_FAIL_TO_START],
  plan: (random, { members }) => ({
    member: random.int(1, members),
    ms: random.pick([0, 1_000, 20_000]),
    againMs: random.pick([-1, -1, 0, 10, 50, 200]),
  }),
  async apply(world, { member: number, ms, againMs }) {
    const member = memberOf(world, number);
    await member.close();
    if (Number(againMs) >= 0) {
      // Once more, while it starts.
      member.start();
      await world.kernel.sleep(Number(againMs));
      await member.close();
    }
    during(world, Number(ms), () => member.start());
  },
};

/** Killed, and started again at once: the old place in the group is still taken. */
const restartAll: FaultKind = {
  plan: () => ({}),
  apply(world) {
    for (const member of world.members) member.kill();
  },
};

/** A rolling restart to the next version of the application: another grace, or one more sink. */
const roll: FaultKind = {
  weight: 2,
  isOrderly: true,
  mayStop: ['start MILLRACE_RUNTIME_INTERRUPTED', ...MAY_FAIL_TO_START],
  plan: (random) => ({ gapMs: random.pick([0, 1_000, 10_000]) }),
  async apply(world, { gapMs }) {
    const version = Math.max(...world.members.map((member) => member.version)) + 1;
    world.versions.add(version);
    for (const member of world.members) {
      await member.close();
      member.version = version;
      member.start();
      await world.kernel.sleep(Number(gapMs));
    }
  },
};

/** A wall clock jumps, and stays so until the world heals. */
const clock: FaultKind = {
  mayStop: MAY_FAIL_TO_START,
  plan: (random, { members }) => ({
    member: random.int(0, members),
    ms: random.pick([-3_600_000, -60_000, -1_500, 1_500, 60_000, 3_600_000]),
  }),
  apply(world, { member, ms }) {
    const owner = member === 0 ? world.cluster.owner : memberOf(world, member).owner;
    if (owner === undefined) return;
    owner.clockOffsetMs += Number(ms);
    world.onHeal(() => {
      owner.clockOffsetMs = 0;
    });
  },
};

export const memberFaults = {
  kill,
  'kill-between': killBetween,
  'kill-again': killAgain,
  'power-cut': powerCut,
  pause,
  slow,
  close,
  'restart-all': restartAll,
  roll,
  clock,
};
