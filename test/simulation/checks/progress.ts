/**
 * An input partition without a leader stops nothing but itself: while that is all that goes wrong, the others are processed
 * and committed. Only then can be said how soon, so that only such scenarios are looked at.
 */
import type { PlannedFault } from '../faults/fault.ts';
import { APPLICATION } from '../topologies/plan.ts';
import type { World } from '../world/world.ts';
import type { Check } from './check.ts';

/** ms: a partition stands back after three seconds, and commits come every five at most. */
const PATIENCE_MS = 15_000;

export const progress: Check = {
  name: 'progress',
  watch(world) {
    const { faults } = world.scenario;
    if (faults.some(({ kind, args }) => kind !== 'leaderless' || args['topics'] !== 'input')) return;
    for (const fault of faults) {
      const ms = Number(fault.args['ms']);
      if (ms > PATIENCE_MS) look(world, fault, ms);
    }
  },
};

/** What was there a while before the leader comes back is committed when it does. */
function look(world: World, { atMs }: PlannedFault, ms: number): void {
  const { kernel, cluster, inputTopics } = world;
  const at = (timeMs: number, run: () => void): void =>
    void kernel.schedule(timeMs * 1000 - kernel.nowUs, kernel.harness, 'call', run);
  const ends = new Map<string, number>();
  const each = (run: (topic: string, partition: number) => void): void => {
    for (const topic of inputTopics)
      for (let partition = 0; partition < cluster.partitionsOf(topic); partition++)
        if (cluster.hasLeader(topic, partition)) run(topic, partition);
  };
  at(atMs + ms - PATIENCE_MS, () =>
    each((topic, partition) => ends.set(`${topic}-${partition}`, cluster.endOffset(topic, partition))),
  );
  at(atMs + ms - 1, () =>
    each((topic, partition) => {
      const [end, committed] = [
        ends.get(`${topic}-${partition}`),
        cluster.committed(APPLICATION, topic, partition) ?? 0,
      ];
      if (end !== undefined && committed < end)
        world.fail(
          'progress',
          `${topic}-${partition} stands at ${committed} of ${end}: it has a leader, others have none`,
        );
    }),
  );
}
