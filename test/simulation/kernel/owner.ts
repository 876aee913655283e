/**
 * A simulated process: who a timer, a socket or a write to a disk belongs to. Whatever is made while one of its events
 * runs is its own; processes meet through events only, so that a plain variable (`Kernel#owner`) says exactly who runs.
 */
import type { KernelEvent } from './event-heap.ts';
import type { Random } from './random.ts';

export class Owner {
  /** A number of its own, in the order of their making. */
  readonly id: number;
  /** What histories call it, e.g. `m1.2`: the second process on machine m1. */
  readonly name: string;
  /** Where it runs: network faults and disks are a machine's, and outlive its processes. */
  readonly machine: string;
  readonly random: Random;
  /** False once it was killed: nothing of it runs or takes effect any more. */
  alive = true;
  paused = false;
  /** When it was resumed last. */
  resumedUs = 0;
  /** What came due while it was paused, in that order. */
  held: KernelEvent[] = [];
  /** How far its wall clock is ahead, ms. Timers and the monotonic clock do not see it. */
  clockOffsetMs = 0;
  /** Until then it is busy: what is due earlier waits (a slow process). */
  busyUntilUs = 0;
  /** µs of work done within the running event. */
  spentUs = 0;
  /** µs that each look at the clock takes: how slow processes are made slow. */
  lookUs = 0;
  /** Lets this many more effects (writes to sockets and disks) happen, then kills the process; undefined: not at all. */
  fuse: number | undefined;
  /** Events run, in all. */
  events = 0;
  /** Called once, at the kill. */
  readonly onKill: (() => void)[] = [];

  constructor(id: number, name: string, machine: string, random: Random) {
    this.id = id;
    this.name = name;
    this.machine = machine;
    this.random = random;
  }
}
