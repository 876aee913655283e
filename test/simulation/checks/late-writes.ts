/** A process that knows that it has lost its tasks sends nothing of theirs any more, a new try of an old batch included. */
import type { Check } from './check.ts';

/** µs after the loss was known: what the thread has in hand may still go out. */
const GRACE_US = 5_000_000;

export const lateWrites: Check = {
  name: 'late-write',
  watch(world) {
    const told = new Set<string>();
    world.writes.onSent = ({ owner, session }, store, partition) => {
      if (session === undefined || !owner.alive) return;
      const knownUs = session.lostUs ?? session.endedUs;
      if (knownUs === undefined || world.kernel.nowUs <= knownUs + GRACE_US) return;
      const where = `${owner.name} ${store.changelog}-${partition} ${session.number}`;
      if (told.has(where)) return;
      told.add(where);
      const seconds = ((world.kernel.nowUs - knownUs) / 1e6).toFixed(1);
      world.fail(
        'late-write',
        `${owner.name} sends to ${store.changelog}-${partition} what it wrote as the owner of ${session.source}, ${seconds} s after it knew that it had lost it`,
      );
    };
  },
};
