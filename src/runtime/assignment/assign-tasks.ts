/**
 * Who works on which task: a pure function of the tasks and the members. Balanced over all, sticky to where a task ran
 * before. Partitions follow their task, so a sub-topology's inputs stay co-partitioned.
 */
import { type TaskId, taskName } from '../task/task.ts';

export interface MemberTasks {
  readonly memberId: string;
  /** Names of the tasks the member had before; its state is there. */
  readonly previous: readonly string[];
  /** Whether the member's topology has the sub-topology of this number. Default: all. */
  readonly knows?: (subTopology: number) => boolean;
}

/** Each member's tasks. Every task is given to one member that knows it; where none does, to nobody. */
export function assignTasks(tasks: readonly TaskId[], members: readonly MemberTasks[]): Map<string, TaskId[]> {
  const sorted = [...members].sort((a, b) => (a.memberId < b.memberId ? -1 : 1));
  const result = new Map<string, TaskId[]>(sorted.map(({ memberId }) => [memberId, []]));
  const knowing = (task: TaskId): MemberTasks[] => sorted.filter(({ knows }) => knows?.(task.subTopology) ?? true);
  // Sub-topologies that few members know first: what all know evens the load out afterwards.
  const subs = [...new Set(tasks.map(({ subTopology }) => subTopology))];
  const width = new Map(subs.map((sub) => [sub, knowing({ subTopology: sub, partition: 0 }).length]));
  for (const count of [...new Set(width.values())].sort((a, b) => a - b)) {
    if (count === 0) continue;
    const some = tasks.filter(({ subTopology }) => width.get(subTopology) === count);
    // Members that know the same sub-topologies share these tasks among them.
    const groups = new Map<string, { members: MemberTasks[]; tasks: TaskId[] }>();
    for (const task of some) {
      const able = knowing(task);
      const key = able.map(({ memberId }) => memberId).join();
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { members: able, tasks: [task] });
      else group.tasks.push(task);
    }
    for (const group of groups.values()) share(group.tasks, group.members, result);
  }
  return result;
}

/** Spreads tasks over members that know all of them, on top of what they have. */
function share(tasks: readonly TaskId[], members: readonly MemberTasks[], result: Map<string, TaskId[]>): void {
  const open = new Map(tasks.map((task) => [taskName(task), task]));
  const total = tasks.length + members.reduce((sum, { memberId }) => sum + result.get(memberId)!.length, 0);
  const least = Math.floor(total / members.length);
  // How many members may have the larger share; the others have one task less.
  let larger = total - least * members.length;
  for (const { memberId, previous } of members) {
    const own = result.get(memberId)!;
    for (const name of previous) {
      const task = open.get(name);
      if (task === undefined || own.length > least || (own.length === least && larger === 0)) continue;
      own.push(task);
      open.delete(name);
      if (own.length > least) larger--;
    }
  }
  for (const task of open.values()) {
    const lightest = members.reduce((a, b) =>
      loadOf(result.get(b.memberId)!, task) < loadOf(result.get(a.memberId)!, task) ? b : a,
    );
    result.get(lightest.memberId)!.push(task);
  }
}

/** All tasks count first, those of the same sub-topology decide between equals. */
function loadOf(own: readonly TaskId[], task: TaskId): number {
  return own.length + own.filter((other) => other.subTopology === task.subTopology).length / 10_000;
}
