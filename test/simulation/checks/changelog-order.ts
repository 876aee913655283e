/**
 * On a changelog a key's value only ever grows: the next owner goes on from where the last one stood. What the promise
 * cannot keep out is what a process had sent before it could know that its task was another's; such keys are marked, and
 * what is missing there is excused.
 */
import { folded, keyText, valueNumbers } from '../observe/changelogs.ts';
import type { Append } from '../observe/logs.ts';
import type { SentBatch } from '../observe/writes.ts';
import type { StorePlan } from '../topologies/plan.ts';
import type { World } from '../world/world.ts';
import type { Check } from './check.ts';

interface Row {
  numbers: readonly number[];
  /** Appended where the followers were behind: the next owner restores without it, and processes its records again. */
  isUnseen: boolean;
  /** By producer and session: its own last value. */
  readonly byWriter: Map<string, readonly number[]>;
}

export const changelogOrder: Check = {
  name: 'changelog-order',
  watch(world) {
    const rows = new Map<string, Row>();
    world.logs.appends.push((append) => {
      const store = world.plan.stores.find(({ changelog }) => changelog === append.topic);
      if (store !== undefined && store.holds !== 'last') appended(world, rows, store, append);
    });
    // What a log's end lost is written again, or processed again.
    world.logs.truncations.push(({ topic, partition }) => {
      const store = world.plan.stores.find(({ changelog }) => changelog === topic);
      if (store === undefined) return;
      const left = folded(world, store, partition);
      for (const [name, row] of rows) {
        const prefix = `${topic}/${partition} `;
        if (!name.startsWith(prefix)) continue;
        row.numbers = left.get(name.slice(prefix.length)) ?? [];
        row.byWriter.clear();
      }
    });
  },
};

function appended(world: World, rows: Map<string, Row>, store: StorePlan, append: Append): void {
  const batch = world.writes.batchOf(append);
  const isStale = batch !== undefined && stale(world, batch);
  const writer = `${append.producerId}/${batch?.session?.number}`;
  for (const { key, value, offset } of append.records) {
    if (key === null || value === null) continue;
    const name = `${append.topic}/${append.partition} ${keyText(store, key)}`;
    const numbers = valueNumbers(store, value);
    let row = rows.get(name);
    if (row === undefined) rows.set(name, (row = { numbers: [], isUnseen: false, byWriter: new Map() }));
    const own = row.byWriter.get(writer) ?? [];
    const where = `${append.topic}-${append.partition} offset ${offset}, key ${keyText(store, key)}, by ${batch?.owner.name ?? 'nobody known'}`;
    if (!goesOn(store, own, numbers))
      world.fail('changelog-order', `${where}: its own value before was newer: ${show(own)}, then ${show(numbers)}`);
    else if (!world.excused.has(name) && !row.isUnseen && !goesOn(store, row.numbers, numbers)) {
      if (isStale) world.trace.say('excused', where);
      else
        world.fail(
          'changelog-order',
          `${where}: the value before was newer: ${show(row.numbers)}, then ${show(numbers)}`,
        );
    }
    // What went wrong once here goes on being wrong: it is told once.
    if (isStale || (!row.isUnseen && !goesOn(store, row.numbers, numbers))) world.excused.add(name);
    row.numbers = numbers;
    row.isUnseen = world.cluster.isHeld(append.topic, append.partition);
    row.byWriter.set(writer, numbers);
  }
}

/**
 * The task was another's, or given up, when the batch was appended. Whether its process could know that when it sent the
 * batch is another check's to say.
 */
function stale({ sessions }: World, { session }: SentBatch): boolean {
  if (session === undefined) return false;
  return sessions.latest.get(session.source) !== session || session.lostUs !== undefined || !session.owner.alive;
}

function goesOn({ holds }: StorePlan, before: readonly number[], after: readonly number[]): boolean {
  if (holds === 'count') return (after[0] ?? 0) >= (before[0] ?? 0);
  return before.length <= after.length && before.every((id, index) => id === after[index]);
}

export function show(numbers: readonly number[]): string {
  return numbers.length > 12 ? `[… ${numbers.slice(-10).join(' ')}] (${numbers.length})` : `[${numbers.join(' ')}]`;
}
