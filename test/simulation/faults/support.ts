/** What the kinds of faults have in common. */
import type { Member } from '../world/member.ts';
import type { World } from '../world/world.ts';

/** `start()` gives up where the brokers do not answer for a while, and the supervisor starts again. */
export const MAY_FAIL_TO_START = ['start MILLRACE_KAFKA_CONNECTION'] as const;

/** Ends something after a while, or when the world heals, whichever comes first. */
export function during(world: World, ms: number, end: () => void | Promise<void>): void {
  let ending: Promise<void> | undefined;
  const once = (): Promise<void> => (ending ??= Promise.resolve(end()));
  // What began late, behind a step that took its time, does not outlive the others.
  const leftMs = world.isHealed ? 0 : ms;
  world.kernel.schedule(leftMs * 1000, world.kernel.harness, 'call', () => void once());
  world.onHeal(once);
}

/** Counts from 1. */
export function memberOf(world: World, number: string | number | boolean | undefined): Member {
  return world.members[(Number(number) - 1) % world.members.length]!;
}
