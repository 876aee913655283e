/** How processes fare: they stop only for what they cannot ride out, and never turn in circles. */
import { faultKinds } from '../faults/index.ts';
import type { World } from '../world/world.ts';
import type { Check } from './check.ts';

/** What a start may end with where a fault says so; the handler is told where a thread that replaces another starts. */
const ENDS_A_START = ['MILLRACE_RUNTIME_TOPIC_MISSING', 'MILLRACE_KAFKA_PROTOCOL'];

export const stops: Check = {
  name: 'needless-stop',
  atRest(world) {
    const allowed = new Set(world.scenario.faults.flatMap(({ kind }) => faultKinds[kind]!.mayStop ?? []));
    for (const { machine, told } of world.members) {
      const replaced = new Set<string>();
      for (const { process, how, code, message } of told) {
        const maySoEnd = allowed.has(`${how} ${code}`);
        const startedAgain = replaced.has(process) && ENDS_A_START.includes(code) && allowed.has(`start ${code}`);
        if (!maySoEnd && !startedAgain)
          world.fail('needless-stop', `${process} on ${machine} stopped (${how}): ${code} ${message}`);
        if (how === 'handler') replaced.add(process);
      }
    }
  },
};

/** Events in a second that no process has unless it turns in circles. */
const MANY_EVENTS = 20_000;
const LOOK_US = 1_000_000;

export const spinning: Check = {
  name: 'spinning',
  watch(world) {
    const seen = new Map<string, number>();
    const look = (): void => {
      for (const { owner } of world.members) {
        if (owner === undefined) continue;
        const events = owner.events - (seen.get(owner.name) ?? 0);
        if (events > MANY_EVENTS) world.fail('spinning', `${owner.name} had ${events} events in a second`);
        seen.set(owner.name, owner.events);
      }
      schedule(world, look);
    };
    schedule(world, look);
  },
};

function schedule({ kernel }: World, look: () => void): void {
  kernel.schedule(LOOK_US, kernel.harness, 'call', look);
}
