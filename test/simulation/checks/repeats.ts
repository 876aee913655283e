/** Nothing is processed twice without a reason: where processes only close, start and rebalance, each record is seen once. */
import { faultKinds } from '../faults/index.ts';
import { inputOf, sourceRecords } from '../observe/changelogs.ts';
import { sightingsOf, type World } from '../world/world.ts';
import type { Check } from './check.ts';

export const repeats: Check = {
  name: 'needless-repeat',
  atRest(world) {
    if (!world.scenario.faults.every(({ kind }) => faultKinds[kind]!.isOrderly === true)) return;
    const stores = world.plan.stores.filter(({ holds }) => holds !== 'last');
    // Handlers of batches fail and are called again: sinks are not looked at.
    for (const { name, from } of [...world.plan.relays, ...stores]) {
      for (const [id, count] of copiesOf(world, from)) {
        const sightings = sightingsOf(world, name, id);
        if (sightings > count) {
          world.fail(
            'needless-repeat',
            `${name} had record ${id} ${sightings} times, it is ${count} times in its input`,
          );
          return;
        }
      }
    }
  },
};

function copiesOf(world: World, from: readonly string[] | RegExp): Map<number, number> {
  const copies = new Map<number, number>();
  const partitions = Math.max(...[...world.logs.topics()].map((topic) => world.logs.partitionsOf(topic)), 0);
  for (let partition = 0; partition < partitions; partition++)
    for (const { records } of sourceRecords(world, from, partition))
      for (const record of records) {
        const { id } = inputOf(record);
        copies.set(id, (copies.get(id) ?? 0) + 1);
      }
  return copies;
}
