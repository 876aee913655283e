/** The records of changelogs, read: whose key, which numbers. */
import { decodeInput, decodeTrail } from '../topologies/avro.ts';
import { matches, type StorePlan } from '../topologies/plan.ts';
import type { World } from '../world/world.ts';
import type { LogRecord } from './logs.ts';

/** Behind a windowed key: start int64 | sequence int32. */
const WINDOW_SUFFIX_BYTES = 12;

/** `key`, or `key@start` of a window. */
export function keyText({ windows }: StorePlan, key: Buffer): string {
  if (windows === undefined) return key.toString();
  const at = key.length - WINDOW_SUFFIX_BYTES;
  return `${key.toString('utf8', 0, at)}@${key.readBigInt64BE(at)}`;
}

/** Numbers of a trail; the number of records of a count; the number of a table's record. */
export function valueNumbers({ holds }: StorePlan, value: Buffer): readonly number[] {
  if (holds === 'count') return [Number(value.readBigInt64BE(0))];
  if (holds === 'trail')
    return isAvro(value) ? decodeTrail(value).ids : (JSON.parse(value.toString()) as { ids: number[] }).ids;
  return [(JSON.parse(value.toString()) as { id: number }).id];
}

/** What a changelog's partition comes to: by key, the last record's value. */
export function folded(world: World, store: StorePlan, partition: number): Map<string, readonly number[]> {
  const rows = new Map<string, readonly number[]>();
  for (const { key, value } of world.logs.recordsOf(store.changelog, partition)) {
    if (key === null) continue;
    if (value === null) rows.delete(keyText(store, key));
    else rows.set(keyText(store, key), valueNumbers(store, value));
  }
  return rows;
}

/** The records of the topics that a store or a relay reads, topic by topic. */
export function sourceRecords(
  world: World,
  from: readonly string[] | RegExp,
  partition: number,
): { readonly topic: string; readonly records: readonly LogRecord[] }[] {
  return [...world.logs.topics()]
    .filter((topic) => matches(from, topic))
    .map((topic) => ({ topic, records: world.logs.recordsOf(topic, partition) }));
}

/** The input record that a record of an input or a repartition topic carries. */
export function inputOf({ key, value }: LogRecord): { readonly key: string; readonly id: number; readonly by: string } {
  const { id, by } = isAvro(value!)
    ? decodeInput(value!)
    : (JSON.parse(value!.toString()) as { id: number; by: string });
  return { key: key!.toString(), id, by };
}

/** The magic byte; JSON begins otherwise. */
function isAvro(value: Buffer): boolean {
  return value[0] === 0;
}
