/** A table's updates on its output topic: per key and writer in the order of the changelog, and the same at the end. */
import { folded, valueNumbers } from '../observe/changelogs.ts';
import type { StorePlan } from '../topologies/plan.ts';
import type { World } from '../world/world.ts';
import { show } from './changelog-order.ts';
import type { Check } from './check.ts';

export const outputs: Check = {
  name: 'outputs',
  watch(world) {
    /** By topic, key and producer. */
    const last = new Map<string, readonly number[]>();
    world.logs.appends.push(({ topic, partition, producerId, records }) => {
      const store = world.plan.stores.find(({ output }) => output === topic);
      if (store?.holds !== 'trail') return;
      const owner = world.writes.ownerOf(producerId);
      const isStale = owner !== undefined && (!owner.alive || world.sessions.hasLost(owner));
      for (const { key, value, offset } of records) {
        if (key === null || value === null) continue;
        const name = `${topic} ${key} ${producerId}`;
        const [before, numbers] = [last.get(name) ?? [], valueNumbers(store, value)];
        if (numbers.length < before.length && !world.isExcused(store, key.toString()))
          world.fail(
            'output-order',
            `${topic}-${partition} offset ${offset}, key ${key}: ${show(before)}, then ${show(numbers)} by the same producer`,
          );
        last.set(name, numbers);
        // What it had sent before it could know: the next owner's update may stand before it.
        if (isStale) world.excused.add(`${topic} ${key}`);
      }
    });
    world.logs.truncations.push(({ topic }) => {
      for (const name of last.keys()) if (name.startsWith(`${topic} `)) last.delete(name);
    });
  },
  atRest(world) {
    for (const store of world.plan.stores) if (store.output !== undefined) compare(world, store, store.output);
  },
};

function compare(world: World, store: StorePlan, output: string): void {
  const rows = new Map<string, readonly number[]>();
  for (let partition = 0; partition < world.logs.partitionsOf(output); partition++)
    for (const { key, value } of world.logs.recordsOf(output, partition))
      if (key !== null && value !== null) rows.set(key.toString(), valueNumbers(store, value));
  for (let partition = 0; partition < world.logs.partitionsOf(store.changelog); partition++)
    for (const [key, numbers] of folded(world, store, partition)) {
      if (String(rows.get(key)) === String(numbers) || world.incomplete.has(output)) continue;
      if (world.isExcused(store, key) || world.excused.has(`${output} ${key}`)) continue;
      world.fail(
        'output-differs',
        `${output}: the last value of key ${key} is ${show(rows.get(key) ?? [])}, the store has ${show(numbers)}`,
      );
    }
}
