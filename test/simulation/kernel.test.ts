/** The simulation's kernel: virtual time, its order, processes that are killed, paused and slow. */
import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { installGlobals } from './kernel/globals.ts';
import { EPOCH_MS, Kernel, OwnerKilledError } from './kernel/kernel.ts';
import { Random, RandomStreams } from './kernel/random.ts';
import { inVirtualTime } from './support/in-virtual-time.ts';

test('an hour passes at once, and every clock says so', async () => {
  const realMs = Date.now();
  const seen = await inVirtualTime(async () => {
    const monotonic = performance.now();
    const ticks = process.hrtime.bigint();
    await sleep(3_600_000);
    return {
      wall: Date.now() - EPOCH_MS,
      date: Date.parse(new Date().toISOString()) - EPOCH_MS,
      monotonic: performance.now() - monotonic,
      ticks: process.hrtime.bigint() - ticks,
      fixed: new Date(5).valueOf(),
    };
  });
  expect(seen).toEqual({ wall: 3_600_000, date: 3_600_000, monotonic: 3_600_000, ticks: 3_600_000_000_000n, fixed: 5 });
  expect(Math.abs(Date.now() - realMs)).toBeLessThan(60_000);
});

test('timers run in the order of their time, ties in the order of their making; microtasks before the next timer', async () => {
  const order = await inVirtualTime(async () => {
    const seen: string[] = [];
    setTimeout(() => seen.push('b'), 2);
    setTimeout(() => {
      seen.push('a');
      void Promise.resolve().then(() => seen.push('a microtask'));
      process.nextTick(() => seen.push('a tick'));
    }, 1);
    setTimeout(() => seen.push('c'), 2);
    setImmediate(() => seen.push('immediate'));
    setTimeout(() => seen.push('one ms, for a time that is too long'), 2 ** 31);
    await sleep(10);
    return seen;
  });
  expect(order).toEqual(['immediate', 'a', 'a tick', 'a microtask', 'one ms, for a time that is too long', 'b', 'c']);
});

test('intervals repeat until they are cleared, also by their number; refresh starts a timer anew', async () => {
  const seen = await inVirtualTime(async () => {
    let [byObject, byNumber, refreshed] = [0, 0, 0];
    const interval = setInterval(() => ++byObject === 3 && clearInterval(interval), 10);
    const other = setInterval(() => ++byNumber === 2 && clearInterval(+other), 10);
    const timer = setTimeout(() => refreshed++, 100);
    await sleep(60);
    timer.refresh();
    await sleep(60);
    const early = refreshed;
    await sleep(60);
    return { byObject, byNumber, early, refreshed };
  });
  expect(seen).toEqual({ byObject: 3, byNumber: 2, early: 0, refreshed: 1 });
});

test('a loop that only waits for its next turn moves time on', async () => {
  const turns = await inVirtualTime(async () => {
    const end = Date.now() + 10;
    let count = 0;
    for (; Date.now() < end; count++) await nextTurn();
    return count;
  });
  expect(turns).toBe(500);
});

test('sleep and AbortSignal.timeout can be aborted and abort', async () => {
  const seen = await inVirtualTime(async () => {
    const names: string[] = [];
    await sleep(100, undefined, { signal: AbortSignal.timeout(10) }).catch((error: Error) => names.push(error.name));
    names.push(String(Date.now() - EPOCH_MS));
    return names;
  });
  expect(seen).toEqual(['AbortError', '10']);
});

test('what is random comes from the seed and the process that asks', async () => {
  const draw = (seed: string): Promise<string> =>
    inVirtualTime(async (kernel) => {
      const owner = kernel.createOwner('m1.1', 'm1');
      return kernel.call(owner, () => `${Math.random()} ${randomUUID()} ${crypto.randomUUID()}`);
    }, seed);
  expect(await draw('7')).toBe(await draw('7'));
  expect(await draw('7')).not.toBe(await draw('8'));
});

test('streams of randomness do not shift each other', () => {
  const alone = new RandomStreams('1').of('b').next();
  const streams = new RandomStreams('1');
  for (let i = 0; i < 10; i++) streams.of('a').next();
  expect(streams.of('b').next()).toBe(alone);
  const random = new Random('x');
  const draws = Array.from({ length: 10_000 }, () => random.int(0, 9));
  for (let digit = 0; digit < 10; digit++) expect(draws.filter((d) => d === digit).length).toBeGreaterThan(850);
});

test('nothing of a killed process runs any more, and who waits for it is told', async () => {
  const seen = await inVirtualTime(async (kernel) => {
    const owner = kernel.createOwner('m1.1', 'm1');
    let ticks = 0;
    const answer = kernel.call(owner, async () => {
      setInterval(() => ticks++, 10);
      await sleep(1_000);
      return 'never';
    });
    await sleep(55);
    kernel.kill(owner);
    const outcome = await answer.catch((error: unknown) => error);
    await sleep(1_000);
    return { ticks, outcome, pending: kernel.pending(owner, 'timer').length };
  });
  expect(seen.ticks).toBe(5);
  expect(seen.outcome).toBeInstanceOf(OwnerKilledError);
});

test('a paused process does nothing until it is resumed, then everything that came due, at that time', async () => {
  const seen = await inVirtualTime(async (kernel) => {
    const owner = kernel.createOwner('m1.1', 'm1');
    const at: number[] = [];
    let cleared = 0;
    void kernel.call(owner, () => {
      for (const ms of [10, 20, 200]) setTimeout(() => at.push(Date.now() - EPOCH_MS), ms);
      const late = setTimeout(() => cleared++, 30);
      setTimeout(() => clearTimeout(late), 15);
    });
    await sleep(5);
    kernel.pause(owner);
    await sleep(95);
    kernel.resume(owner);
    await sleep(200);
    return { at, cleared };
  });
  expect(seen).toEqual({ at: [100, 100, 200], cleared: 0 });
});

test('a slow process takes time for its work, and its clock goes on meanwhile; others are not held up', async () => {
  const seen = await inVirtualTime(async (kernel) => {
    const slow = kernel.createOwner('m1.1', 'm1');
    slow.lookUs = 1_000;
    const at: string[] = [];
    void kernel.call(slow, () => {
      setTimeout(() => at.push(`slow again ${Date.now() - EPOCH_MS}`), 3);
      const start = Date.now();
      while (Date.now() - start < 50);
    });
    setTimeout(() => at.push(`other ${Date.now() - EPOCH_MS}`), 10);
    await sleep(100);
    return at;
  });
  expect(seen).toEqual(['other 10', 'slow again 52']);
});

test('a clock that jumps is its own process only, and no timer moves', async () => {
  const seen = await inVirtualTime(async (kernel) => {
    const owner = kernel.createOwner('m1.1', 'm1');
    owner.clockOffsetMs = -5_000;
    const own = await kernel.call(owner, async () => {
      const before = performance.now();
      await sleep(10);
      return [Date.now() - EPOCH_MS, performance.now() - before];
    });
    return { own, others: Date.now() - EPOCH_MS };
  });
  expect(seen).toEqual({ own: [-4_990, 10], others: 10 });
});

test('the work of the real world holds virtual time up, and comes back in the order of its start', async () => {
  const order = await inVirtualTime(async (kernel) => {
    const out: string[] = [];
    const outside = (name: string, path: string): Promise<unknown> =>
      kernel.outside(1_000, () => readdir(path)).then(() => out.push(`${name} ${Date.now() - EPOCH_MS}`));
    await Promise.all([outside('first', import.meta.dirname), outside('second', '/')]);
    return out;
  });
  expect(order).toEqual(['first 1', 'second 1']);
});

test('a run that waits for what can never come says so', async () => {
  await expect(inVirtualTime(() => new Promise(() => {}))).rejects.toThrow('Nothing is left to happen');
});

test('what nobody catches is told with the process it escaped from, and the others go on', async () => {
  const kernel = new Kernel('1');
  const uninstall = installGlobals(kernel);
  const escaped: string[] = [];
  kernel.onEscape = ({ owner, kind, error }) => void escaped.push(`${owner.name} ${kind} ${(error as Error).message}`);
  try {
    await kernel.run(async () => {
      const owner = kernel.createOwner('m1.1', 'm1');
      void kernel.call(owner, () => {
        setTimeout(() => {
          throw new Error('thrown');
        }, 1);
        setTimeout(
          () =>
            process.nextTick(() => {
              throw new Error('ticked');
            }),
          2,
        );
      });
      await kernel.sleep(10);
    });
  } finally {
    uninstall();
  }
  expect(escaped).toEqual(['m1.1 uncaughtException thrown', 'm1.1 uncaughtException ticked']);
});
