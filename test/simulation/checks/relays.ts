/** A repartition topic has every record of what it is written from, as often as user code had it at most. */
import { inputOf, sourceRecords } from '../observe/changelogs.ts';
import type { Relay } from '../topologies/plan.ts';
import { sightingsOf, type World } from '../world/world.ts';
import { show } from './changelog-order.ts';
import type { Check } from './check.ts';

/** Of a call's results: how many are not there yet. */
export function missingOf(world: World, relay: Relay): number {
  const there = new Set<number>();
  for (let partition = 0; partition < world.logs.partitionsOf(relay.topic); partition++)
    for (const record of world.logs.recordsOf(relay.topic, partition)) there.add(inputOf(record).id);
  return written(world, relay).filter((id) => !there.has(id)).length;
}

export const relays: Check = {
  name: 'relays',
  atRest(world) {
    for (const relay of world.plan.relays) {
      const { name, topic, keyOf } = relay;
      const copies = new Map<number, number>();
      for (let partition = 0; partition < world.logs.partitionsOf(topic); partition++)
        for (const record of world.logs.recordsOf(topic, partition)) {
          const input = inputOf(record);
          copies.set(input.id, (copies.get(input.id) ?? 0) + 1);
          if (input.key !== keyOf(input))
            world.fail('contents', `${topic}-${partition}: record ${input.id} has key ${input.key}`);
        }
      if (relay.isAsynchronous === true) keepsOrder(world, relay);
      const missing = written(world, relay).filter((id) => !copies.has(id));
      if (missing.length > 0) world.fail('missing', `${topic}: ${show(missing)} are missing`);
      for (const [id, count] of copies)
        if (count > sightingsOf(world, name, id))
          world.fail(
            'repeated',
            `${topic}: record ${id} is in it ${count} times, and was processed ${sightingsOf(world, name, id)} times`,
          );
    }
  },
};

/** Numbers of the records that have to be there. */
export function written(world: World, { from, accepts }: Relay): number[] {
  const ids = new Set<number>();
  for (const topic of world.logs.topics())
    for (let partition = 0; partition < world.logs.partitionsOf(topic); partition++)
      for (const source of sourceRecords(world, from, partition))
        if (!world.incomplete.has(source.topic))
          for (const record of source.records) {
            const input = inputOf(record);
            if (accepts?.(input) !== false) ids.add(input.id);
          }
  return [...ids];
}

/** Of one key the first results stand in the order of the input: none is called for before the one before has its result. */
function keepsOrder(world: World, { name, topic, from }: Relay): void {
  const place = new Map<number, number>();
  for (let partition = 0; partition < world.logs.partitionsOf(topic); partition++)
    for (const [at, record] of world.logs.recordsOf(topic, partition).entries()) {
      const { id } = inputOf(record);
      if (!place.has(id)) place.set(id, at);
    }
  const partitions = Math.max(...[...world.logs.topics()].map((source) => world.logs.partitionsOf(source)), 0);
  for (let partition = 0; partition < partitions; partition++)
    for (const { records } of sourceRecords(world, from, partition)) {
      const last = new Map<string, number>();
      for (const record of records) {
        const { key, id } = inputOf(record);
        const before = last.get(key);
        if (!place.has(id)) continue;
        if (before !== undefined && place.get(before)! > place.get(id)!)
          world.fail('order', `${name}: the result of record ${before} of key ${key} stands behind that of ${id}`);
        last.set(key, id);
      }
    }
}
