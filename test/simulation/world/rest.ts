/**
 * After the faults have ended everything comes to rest within a bound: all input is processed and committed, and every
 * member runs or has told its handler why not.
 */
import { missingOf } from '../checks/relays.ts';
import { APPLICATION, matches } from '../topologies/plan.ts';
import type { Member } from './member.ts';
import type { World } from './world.ts';

/** Virtual ms within which everything has to be processed: sessions end, rebalances time out, metadata is looked at anew. */
export const REST_BOUND_MS = 240_000;

/** Partitions that the application reads and has not committed to the end, with how far it is. */
export function lagOf(world: World): string[] {
  const { cluster, plan } = world;
  const lags: string[] = [];
  for (const topic of sourcesOf(world)) {
    for (let partition = 0; partition < cluster.partitionsOf(topic); partition++) {
      const end = cluster.endOffset(topic, partition);
      const committed = cluster.committed(APPLICATION, topic, partition);
      if ((committed ?? cluster.startOffset(topic, partition)) < end)
        lags.push(`${topic}-${partition}: ${committed ?? 'nothing'} of ${end}`);
    }
  }
  if (plan.stores.length + (plan.sinks?.length ?? 0) === 0) return [];
  return lags;
}

/** Calls whose results have not come, where that can be said. */
function callsOf(world: World): string[] {
  return world.plan.relays
    .filter(({ isAsynchronous }) => isAsynchronous === true)
    .flatMap((relay) => {
      const missing = missingOf(world, relay);
      return missing === 0 ? [] : [`${relay.name}: ${missing} results`];
    });
}

/** Topics that the application reads and that are there. */
export function sourcesOf({ cluster, plan }: World): string[] {
  const froms = [...plan.relays, ...plan.stores, ...(plan.sinks ?? [])].map(({ from }) => from);
  return cluster.topicNames().filter((topic) => froms.some((from) => matches(from, topic)));
}

/** False where it fails, or where the application has ended for good, as it may. */
export async function awaitRest(world: World, members: readonly Member[] = world.members): Promise<boolean> {
  const { kernel } = world;
  const deadlineUs = kernel.nowUs + REST_BOUND_MS * 1000;
  for (let quiet = 0; quiet < 3; ) {
    await kernel.sleep(500);
    if (world.isFailing) return false;
    const lag = [...lagOf(world), ...callsOf(world)];
    const isDone =
      world.writers.every(({ isDone }) => isDone) &&
      lag.length === 0 &&
      world.network.links.retransmissions === 0 &&
      members.every(({ state }) => state === 'RUNNING') &&
      world.cluster.membersOf(APPLICATION) === members.length;
    quiet = isDone ? quiet + 1 : 0;
    if (kernel.nowUs < deadlineUs) continue;
    const states = members.map(
      ({ machine, state, told }) => `${machine} ${state}${told.length > 0 ? ` (told ${told.at(-1)!.code})` : ''}`,
    );
    const what = [
      world.writers.every(({ isDone }) => isDone) ? '' : 'the writer waits',
      lag.length === 0 ? '' : `lag: ${lag.join(', ')}`,
      `members: ${states.join(', ')}`,
      cluster(world),
    ].filter((text) => text !== '');
    world.fail(
      lag.length > 0 ? 'stuck' : 'limbo',
      `no rest ${REST_BOUND_MS / 1000} s after the faults ended: ${what.join('; ')}`,
    );
    return false;
  }
  return true;
}

const cluster = (world: World): string => `group: ${world.cluster.describeGroup(APPLICATION)}`;
