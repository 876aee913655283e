/** What members have in their stores is what the changelogs come to: at rest, after restarts, and restored from nothing. */
import type { KafkaStreams } from '../../../src/index.ts';
import { folded } from '../observe/changelogs.ts';
import type { StorePlan } from '../topologies/plan.ts';
import type { Member } from '../world/member.ts';
import type { World } from '../world/world.ts';
import type { Check } from './check.ts';

export const stores: Check = {
  name: 'stores',
  atRest: (world) => compareAll(world, world.members, 'at rest'),
  async afterRestart(world, members, phase) {
    await compareAll(world, members, phase);
    if (phase !== AGAIN || world.scenario.settings.storeKind === 'in-memory') return;
    for (const { owner, streams } of members) {
      const restored = streams!.metrics().restoreTotal;
      if (restored > 0)
        world.fail('restored-again', `${owner!.name}: ${restored} records were restored, though its disk had them all`);
    }
  },
};

/** The phase in which one member starts on its own disk, after it was closed in good order. */
export const AGAIN = 'the same again';

async function compareAll(world: World, members: readonly Member[], phase: string): Promise<void> {
  for (const store of world.plan.stores) {
    const found: string[] = [];
    for (const { owner, streams } of members)
      if (owner !== undefined && streams !== undefined)
        found.push(...(await world.kernel.call(owner, () => rowsOf(streams, store))));
    compare(world, store, found.sort(), phase);
  }
}

/** Rows as text; a key may be in several tasks, where topics differ in their partitions. */
async function rowsOf(streams: KafkaStreams, store: StorePlan): Promise<string[]> {
  const rows: string[] = [];
  if (store.windows === undefined) {
    for (const part of streams.keyValueStores<string, unknown>(store.name))
      for await (const [key, value] of part.all()) rows.push(rowText(key, value));
  } else {
    for (const part of streams.windowStores<string, unknown>(store.name))
      for await (const [{ key, windowStartMs }, value] of part.all())
        rows.push(rowText(`${key}@${windowStartMs}`, value));
  }
  return rows;
}

function rowText(key: string, value: unknown): string {
  if (typeof value === 'number') return `${key}: ${value}`;
  const { ids, id } = value as { ids?: readonly number[]; id?: number };
  return `${key}: ${ids?.join(' ') ?? id}`;
}

function compare(world: World, store: StorePlan, found: readonly string[], phase: string): void {
  const expected: string[] = [];
  const expired = new Set<string>();
  /** A late batch of an owner before may stand last in the changelog; the store of the owner now knows better. */
  const excused = new Set<string>();
  for (let partition = 0; partition < world.logs.partitionsOf(store.changelog); partition++) {
    const rows = [...folded(world, store, partition)];
    const newest = Math.max(...rows.map(([key]) => startOf(key)));
    for (const [key, numbers] of rows) {
      if (world.isExcused(store, key)) excused.add(key);
      const row = `${key}: ${numbers.join(' ')}`;
      expected.push(row);
      if (store.windows !== undefined && startOf(key) <= newest - retentionMs(world, store)) expired.add(row);
    }
  }
  const [missing, strange] = [without(expected, found), without(found, expected)].map((rows) =>
    rows.filter((row) => !expired.has(row) && !excused.has(row.slice(0, row.indexOf(':')))),
  ) as [string[], string[]];
  if (missing.length > 0 || strange.length > 0) {
    const sample = (rows: readonly string[]): string =>
      rows
        .slice(0, 3)
        .map((row) => `'${row}'`)
        .join(', ');
    world.fail(
      'store-differs',
      `${phase}: store ${store.name} and its changelog differ: ${missing.length} rows only in the changelog (${sample(missing)}), ${strange.length} only in the store (${sample(strange)})`,
    );
  }
}

const startOf = (key: string): number => Number(key.slice(key.lastIndexOf('@') + 1));

/** The least of any version that ran: what is older may be gone. */
function retentionMs(world: World, { windows }: StorePlan): number {
  return windows!.sizeMs + Math.min(...[...world.versions].map((version) => windows!.graceMs(version)));
}

function without(rows: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const row of others) left.set(row, (left.get(row) ?? 0) + 1);
  return rows.filter((row) => {
    const count = left.get(row) ?? 0;
    if (count > 0) left.set(row, count - 1);
    return count === 0;
  });
}
