/** Committed positions never go back, and never pass a record whose effect the brokers do not have yet. */
import { inputOf, valueNumbers } from '../observe/changelogs.ts';
import { APPLICATION, matches, type Seen } from '../topologies/plan.ts';
import type { World } from '../world/world.ts';
import type { Check } from './check.ts';
import { expectedRows } from './contents.ts';

export const positions: Check = {
  name: 'positions',
  watch(world) {
    const last = new Map<string, number>();
    /** By store or relay and number: the step at which the brokers had it. */
    const durable = new Map<string, number>();
    const commits = new Map<string, { offset: number; step: number }[]>();
    world.logs.appends.push(({ topic, records, step }) => {
      for (const relay of world.plan.relays)
        if (relay.topic === topic)
          for (const record of records) note(durable, `${relay.name} ${inputOf(record).id}`, step);
      for (const store of world.plan.stores)
        if (store.changelog === topic && store.holds === 'trail')
          for (const { value } of records)
            if (value !== null) for (const id of valueNumbers(store, value)) note(durable, `${store.name} ${id}`, step);
    });
    world.logs.truncations.push(({ topic, lost }) => {
      const steps = new Set(lost.map(({ step }) => step));
      for (const [name, step] of durable) if (steps.has(step)) durable.delete(name);
      // What stands before has them still, or they come again.
      for (const store of world.plan.stores)
        if (store.changelog === topic && store.holds === 'trail')
          for (let p = 0; p < world.logs.partitionsOf(topic); p++)
            for (const { value, step } of world.logs.recordsOf(topic, p))
              if (value !== null)
                for (const id of valueNumbers(store, value)) note(durable, `${store.name} ${id}`, step);
    });
    world.logs.commits.push(({ groupId, topic, partition, offset, step }) => {
      if (groupId !== APPLICATION || world.incomplete.has(topic)) return;
      const name = `${topic}/${partition}`;
      const before = last.get(name) ?? 0;
      if (offset < before)
        world.fail(
          'position-back',
          `${topic}-${partition}: the committed position goes back from ${before} to ${offset}`,
        );
      last.set(name, offset);
      const list = commits.get(name);
      if (list === undefined) commits.set(name, [{ offset, step }]);
      else list.push({ offset, step });
    });
    compareAtRest.set(world, () => compare(world, durable, commits));
  },
  atRest: (world) => compareAtRest.get(world)?.(),
};

const compareAtRest = new WeakMap<World, () => void>();

function note(durable: Map<string, number>, name: string, step: number): void {
  if (!durable.has(name)) durable.set(name, step);
}

function compare(
  world: World,
  durable: Map<string, number>,
  commits: Map<string, { offset: number; step: number }[]>,
): void {
  for (const [name, list] of commits) {
    const [topic, partition] = [name.slice(0, name.lastIndexOf('/')), Number(name.slice(name.lastIndexOf('/') + 1))];
    const records = world.logs.recordsOf(topic, partition);
    const places = [...relayPlaces(world, topic), ...storePlaces(world, topic, partition)];
    let next = 0;
    for (const { offset, step } of list) {
      for (; next < records.length && records[next]!.offset < offset; next++) {
        const input = inputOf(records[next]!);
        const { id } = input;
        for (const { place, takes } of places) {
          if (!takes(input)) continue;
          const since = durable.get(`${place} ${id}`);
          if (since === undefined || since > step)
            world.fail(
              'position-beyond',
              `${topic}-${partition}: position ${offset} was committed before ${place} had record ${id} (offset ${records[next]!.offset})`,
            );
        }
      }
    }
  }
}

interface Place {
  readonly place: string;
  takes(record: Seen): boolean;
}

function relayPlaces({ plan }: World, topic: string): Place[] {
  return plan.relays
    .filter(({ from, isAsynchronous }) => isAsynchronous !== true && matches(from, topic))
    .map(({ name, accepts }) => ({ place: name, takes: (record) => accepts?.(record) !== false }));
}

function storePlaces(world: World, topic: string, partition: number): Place[] {
  return world.plan.stores
    .filter((store) => matches(store.from, topic) && store.holds === 'trail')
    .map((store) => {
      const rows = [...expectedRows(world, store, partition).values()];
      const sure = new Set(rows.flatMap(({ must }) => must.map(({ id }) => id)));
      return { place: store.name, takes: ({ id }) => sure.has(id) };
    });
}
