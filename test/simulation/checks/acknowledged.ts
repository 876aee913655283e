/** What a broker has acknowledged to the writer is in its log: else every other check looks at the wrong input. */
import { inputOf } from '../observe/changelogs.ts';
import { show } from './changelog-order.ts';
import type { Check } from './check.ts';

export const acknowledged: Check = {
  name: 'acknowledged',
  atRest(world) {
    const there = new Map<number, number>();
    for (const topic of world.inputTopics)
      for (let partition = 0; partition < world.logs.partitionsOf(topic); partition++)
        for (const record of world.logs.recordsOf(topic, partition)) {
          const { id } = inputOf(record);
          there.set(id, (there.get(id) ?? 0) + 1);
        }
    const missing = world.writers.flatMap(({ acknowledged: ids }) => [...ids]).filter((id) => !there.has(id));
    if (missing.length > 0) world.fail('broker', `${show(missing)} were acknowledged to the writer and are in no log`);
    const twice = [...there].filter(([, count]) => count > 1).map(([id]) => id);
    if (twice.length > 0) world.fail('broker', `${show(twice)} are in the log twice, though the writer is idempotent`);
  },
};
