/** How processes fare: they stop only for what they cannot ride out, and never turn in circles. */
import { faultKinds } from '../faults/index.ts';
import type { World } from '../world/world.ts';
import type { Check } from './check.ts';

/** What a thread may end with while it starts; one that was replaced starts again, and its handler is told. */
const ENDS_A_START = ['MILLRACE_RUNTIME_TOPIC_MISSING', 'MILLRACE_KAFKA_PROTOCOL'];

export const stops: Check = {
  name: 'needless-stop',
  atRest(world) {
    const allowed = new Set(world.scenario.faults.flatMap(({ kind }) => faultKinds[kind]!.mayStop ?? []));
    if (world.scenario.settings.onUncaught === 'replace-thread') {
      for (const code of ENDS_A_START) if (allowed.has(`start ${code}`)) allowed.add(`handler ${code}`);
    }
    for (const { machine, told } of world.members)
      for (const { process, how, code, message } of told)
        if (!allowed.has(`${how} ${code}`))
          world.fail('needless-stop', `${process} on ${machine} stopped (${how}): ${code} ${message}`);
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
