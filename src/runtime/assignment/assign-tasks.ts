/**
 * Who works on which task: a pure function of the tasks and the members. Balanced over all, sticky to where a task ran
 * before. Partitions follow their task, so a sub-topology's inputs stay co-partitioned.
 */
import { type TaskId, taskName } from '../task/task.ts';

export interface MemberTasks {
  readonly memberId: string;
  /** Names of the tasks the member had before; its state is there. */
  readonly previous: readonly string[];
}

/** Each member's tasks; every task is given to exactly one. */
export function assignTasks(tasks: readonly TaskId[], members: readonly MemberTasks[]): Map<string, TaskId[]> {
  const sorted = [...members].sort((a, b) => (a.memberId < b.memberId ? -1 : 1));
  const result = new Map<string, TaskId[]>(sorted.map(({ memberId }) => [memberId, []]));
  if (sorted.length === 0) return result;
  const open = new Map(tasks.map((task) => [taskName(task), task]));
  const most = Math.ceil(tasks.length / sorted.length);
  // How many members may have the larger share; the others have one task less.
  let larger = tasks.length - Math.floor(tasks.length / sorted.length) * sorted.length;
  if (larger === 0) larger = sorted.length;
  for (const { memberId, previous } of sorted) {
    const own = result.get(memberId)!;
    for (const name of previous) {
      const task = open.get(name);
      if (task === undefined || own.length >= most || (own.length === most - 1 && larger === 0)) continue;
      own.push(task);
      open.delete(name);
      if (own.length === most) larger--;
    }
  }
  for (const task of open.values()) {
    const least = sorted.reduce((a, b) =>
      loadOf(result.get(b.memberId)!, task) < loadOf(result.get(a.memberId)!, task) ? b : a,
    );
    result.get(least.memberId)!.push(task);
  }
  return result;
}

/** All tasks count first, those of the same sub-topology decide between equals. */
function loadOf(own: readonly TaskId[], task: TaskId): number {
  return own.length + own.filter((other) => other.subTopology === task.subTopology).length / 10_000;
}
