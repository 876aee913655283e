/** A database that batches go to: no record is missing behind a committed position, and none is there twice where it remembers. */
import { inputOf } from '../observe/changelogs.ts';
import { APPLICATION, type SinkPlan } from '../topologies/plan.ts';
import { sightingsOf, type World } from '../world/world.ts';
import { show } from './changelog-order.ts';
import type { Check } from './check.ts';

export const sinks: Check = {
  name: 'sinks',
  watch(world) {
    /** By partition, the offset up to which positions were looked at. */
    const looked = new Map<string, number>();
    world.logs.commits.push(({ groupId, topic, partition, offset }) => {
      if (groupId !== APPLICATION || world.incomplete.has(topic)) return;
      for (const { name, from, database } of world.plan.sinks ?? []) {
        if (!from.includes(topic)) continue;
        const place = `${name} ${topic}/${partition}`;
        const since = looked.get(place) ?? 0;
        looked.set(place, Math.max(since, offset));
        const missing = world.logs
          .recordsOf(topic, partition)
          .filter((record) => record.offset >= since && record.offset < offset)
          .map((record) => inputOf(record).id)
          .filter((id) => !database.has(id));
        if (missing.length > 0)
          world.fail(
            'position-beyond',
            `${topic}-${partition}: position ${offset} was committed before ${name} had ${show(missing)}`,
          );
      }
    });
  },
  atRest(world) {
    for (const sink of world.plan.sinks ?? []) compare(world, sink);
  },
  afterRestart(world) {
    for (const sink of world.plan.sinks ?? []) compare(world, sink);
  },
};

function compare(world: World, { name, from, database, isExact }: SinkPlan): void {
  const copies = new Map<number, number>();
  for (const id of database.rows) copies.set(id, (copies.get(id) ?? 0) + 1);
  for (const topic of from)
    for (let partition = 0; partition < world.logs.partitionsOf(topic); partition++) {
      const ids = world.logs.recordsOf(topic, partition).map((record) => inputOf(record).id);
      const missing = ids.filter((id) => !copies.has(id));
      if (missing.length > 0 && !world.incomplete.has(topic))
        world.fail('missing', `${name}: ${show(missing)} of ${topic}-${partition} are missing`);
      inOrder(world, name, ids, database.rows);
    }
  for (const [id, count] of copies) {
    if (isExact && count > 1) world.fail('repeated', `${name}: record ${id} is in the database ${count} times`);
    if (!isExact && count > sightingsOf(world, name, id))
      world.fail(
        'repeated',
        `${name}: record ${id} is there ${count} times, and was handled ${sightingsOf(world, name, id)} times`,
      );
  }
}

/** First occurrences stand in the order of the input. */
function inOrder(world: World, name: string, ids: readonly number[], rows: readonly number[]): void {
  const position = new Map<number, number>();
  for (const [index, id] of rows.entries()) if (!position.has(id)) position.set(id, index);
  let before = -1;
  for (const id of ids) {
    const at = position.get(id);
    if (at === undefined) continue;
    if (at < before) world.fail('order', `${name}: record ${id} is stored before one that precedes it`);
    before = at;
  }
}
