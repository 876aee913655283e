/**
 * At least once, key by key: what the changelogs come to holds every record of the input, as often as user code had it at
 * most, in the order of the input; what came too late for its window may be missing.
 */
import { folded, inputOf, sourceRecords } from '../observe/changelogs.ts';
import type { LogRecord } from '../observe/logs.ts';
import type { StorePlan } from '../topologies/plan.ts';
import { sightingsOf, type World } from '../world/world.ts';
import { show } from './changelog-order.ts';
import type { Check } from './check.ts';

interface Expected {
  /** In the order of the input, by topic. */
  readonly must: { readonly topic: string; readonly id: number }[];
  readonly may: Set<number>;
}

export const contents: Check = {
  name: 'contents',
  atRest(world) {
    for (const store of world.plan.stores) {
      const partitions = Math.max(
        world.logs.partitionsOf(store.changelog),
        world.cluster.partitionsOf(store.changelog),
      );
      for (let partition = 0; partition < partitions; partition++) compare(world, store, partition);
    }
  },
};

function compare(world: World, store: StorePlan, partition: number): void {
  const rows = folded(world, store, partition);
  const expected = expectedRows(world, store, partition);
  for (const [key, { must, may }] of expected) {
    if (world.excused.has(`${store.changelog}/${partition} ${key}`)) continue;
    const found = rows.get(key) ?? [];
    const where = `store ${store.name}, partition ${partition}, key ${key}`;
    if (store.holds === 'last') lastIs(world, where, found, must, may);
    else if (store.holds === 'count') counts(world, store, where, found[0] ?? 0, must, may);
    else trailIs(world, store, where, found, must, may);
  }
  for (const [key, found] of rows)
    if (!expected.has(key))
      world.fail(
        'contents',
        `store ${store.name}, partition ${partition}: there is no input for key ${key}: ${show(found)}`,
      );
}

/** What a store's partition has to hold, from the topics that its task reads. */
export function expectedRows(world: World, store: StorePlan, partition: number): Map<string, Expected> {
  const rows = new Map<string, Expected>();
  for (const { topic, records } of sourceRecords(world, store.from, partition)) {
    let timeMs = -1;
    for (const record of records) {
      const input = inputOf(record);
      if (store.accepts?.(input) === false) continue;
      timeMs = Math.max(timeMs, record.timestamp);
      const { key, isSure } = placeOf(world, store, record, timeMs);
      let row = rows.get(key);
      if (row === undefined) rows.set(key, (row = { must: [], may: new Set() }));
      const { id } = input;
      if (!row.may.has(id) && isSure && !world.incomplete.has(topic)) row.must.push({ topic, id });
      row.may.add(id);
    }
  }
  return rows;
}

function placeOf(world: World, store: StorePlan, record: LogRecord, timeMs: number): { key: string; isSure: boolean } {
  const key = store.keyOf(inputOf(record));
  if (store.windows === undefined) return { key, isSure: true };
  const { sizeMs, graceMs } = store.windows;
  const startMs = Math.floor(record.timestamp / sizeMs) * sizeMs;
  const least = Math.min(...[...world.versions].map(graceMs));
  return { key: `${key}@${startMs}`, isSure: startMs + sizeMs > timeMs - least };
}

function trailIs(
  world: World,
  store: StorePlan,
  where: string,
  found: readonly number[],
  must: Expected['must'],
  may: Expected['may'],
): void {
  const copies = new Map<number, number>();
  for (const id of found) copies.set(id, (copies.get(id) ?? 0) + 1);
  const missing = must.filter(({ id }) => !copies.has(id)).map(({ id }) => id);
  if (missing.length > 0)
    world.fail('missing', `${where}: ${show(missing)} of ${must.length} are missing in ${show(found)}`);
  const strange = found.filter((id) => !may.has(id));
  if (strange.length > 0) world.fail('contents', `${where}: ${show(strange)} do not belong there`);
  for (const [id, count] of copies) {
    const sightings = sightingsOf(world, store.name, id);
    if (count > sightings)
      world.fail('repeated', `${where}: record ${id} is in it ${count} times, and was processed ${sightings} times`);
  }
  inOrder(world, where, found, must);
}

/** First occurrences stand in the order of the input. */
function inOrder(world: World, where: string, found: readonly number[], must: Expected['must']): void {
  const position = new Map<number, number>();
  for (const [index, id] of found.entries()) if (!position.has(id)) position.set(id, index);
  const last = new Map<string, { id: number; at: number }>();
  for (const { topic, id } of must) {
    const at = position.get(id);
    if (at === undefined) continue;
    const before = last.get(topic);
    if (before !== undefined && before.at > at) {
      world.fail('order', `${where}: ${topic} has record ${before.id} before ${id}, here it is behind it`);
      return;
    }
    last.set(topic, { id, at });
  }
}

function counts(
  world: World,
  store: StorePlan,
  where: string,
  found: number,
  must: Expected['must'],
  may: Expected['may'],
): void {
  if (found < must.length) world.fail('missing', `${where}: the count is ${found} of ${must.length} records`);
  const most = [...may].reduce((sum, id) => sum + sightingsOf(world, store.name, id), 0);
  if (found > most) world.fail('repeated', `${where}: the count is ${found}, and only ${most} records were processed`);
}

function lastIs(
  world: World,
  where: string,
  found: readonly number[],
  must: Expected['must'],
  may: Expected['may'],
): void {
  const newest = must.at(-1)?.id;
  if (newest !== undefined && found[0] !== newest && may.size > 0)
    world.fail('missing', `${where}: the row is record ${found[0]}, the newest is ${newest}`);
}
