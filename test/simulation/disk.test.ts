/** The simulated disk: what a kill leaves of it, its lock, and what it refuses. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { StateBackend } from '../../src/state/backend.ts';
import { temporaryFolder } from '../support/programs.ts';
import { Disk } from './disk/disk.ts';
import { LevelMedium } from './disk/level-medium.ts';
import { inVirtualTime } from './support/in-virtual-time.ts';

const key = Buffer.from('k');

function write(backend: StateBackend, value: string): Promise<void> {
  const batch = backend.batch();
  batch.put(key, Buffer.from(value));
  batch.put(Buffer.from('second'), Buffer.from(value));
  return batch.write();
}

test('what was written survives its process; what was under way at a kill is there whole or not at all', async () => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 30; seed++) {
    await inVirtualTime(async (kernel) => {
      const disk = new Disk(kernel, 'm1');
      const first = kernel.createOwner('m1.1', 'm1');
      await kernel.call(first, async () => {
        const backend = await disk.open('a');
        await write(backend, 'old');
        void write(backend, 'new');
      });
      await kernel.sleep(seed % 3 === 0 ? 5 : 0);
      kernel.kill(first);
      await sleep(100);
      const backend = await disk.open('a');
      const values = [backend.get(key), backend.get(Buffer.from('second'))].map(String);
      expect(values[0]).toBe(values[1]);
      outcomes.add(values[0]!);
    }, String(seed));
  }
  expect([...outcomes].sort()).toEqual(['new', 'old']);
});

test('a database is locked until it is closed or its process ends; destroyed, it is empty', async () => {
  const seen = await inVirtualTime(async (kernel) => {
    const disk = new Disk(kernel, 'm1');
    const first = kernel.createOwner('m1.1', 'm1');
    await kernel.call(first, async () => write(await disk.open('a/b'), 'x'));
    const locked = await disk.open('a/b').catch((error: { code: string }) => error.code);
    kernel.kill(first);
    const second = await disk.open('a/b');
    const value = String(second.get(key));
    await second.close();
    disk.destroy('a');
    return { locked, value, after: (await disk.open('a/b')).get(key) };
  });
  expect(seen).toEqual({ locked: 'MILLRACE_STATE_DIRECTORY_LOCKED', value: 'x', after: undefined });
});

test('a full disk refuses writes until there is room, a damaged folder does not open', async () => {
  const seen = await inVirtualTime(async (kernel) => {
    const disk = new Disk(kernel, 'm1');
    const backend = await disk.open('a');
    const codes: unknown[] = [];
    const code = (error: { code: string }): unknown => codes.push(error.code);
    disk.refusing = 'full';
    await write(backend, 'x').catch(code);
    disk.refusing = undefined;
    await write(backend, 'y');
    await backend.close();
    disk.damaged.add('a');
    await disk.open('a').catch(code);
    disk.destroy('a');
    return { codes, after: (await disk.open('a')).get(key) };
  });
  expect(seen).toEqual({ codes: ['MILLRACE_STATE_DISK_FULL', 'MILLRACE_STATE_CORRUPT'], after: undefined });
});

test('an iteration is a snapshot as of the call, and takes time', async () => {
  const seen = await inVirtualTime(async (kernel) => {
    const disk = new Disk(kernel, 'm1');
    const backend = await disk.open('a');
    const batch = backend.batch();
    for (let i = 0; i < 250; i++) batch.put(Buffer.from([1, i]), Buffer.from([i]));
    await batch.write();
    const start = kernel.nowUs;
    const found: number[] = [];
    const entries = backend.entries({ gte: Buffer.from([1]), lt: Buffer.from([2]) });
    await backend.clear({ gte: Buffer.from([1]) }, 1_000);
    for await (const [, value] of entries) found.push(value[0]!);
    return { found: found.length, took: kernel.nowUs > start, left: backend.get(Buffer.from([1, 0])) };
  });
  expect(seen).toEqual({ found: 250, took: true, left: undefined });
});

test('LevelDB as the medium: the same, in virtual time, for a process that was killed as well', async () => {
  const folder = temporaryFolder();
  const run = (): Promise<unknown> =>
    inVirtualTime(async (kernel) => {
      const medium = new LevelMedium(kernel, folder);
      const disk = new Disk(kernel, 'm1', medium);
      const first = kernel.createOwner('m1.1', 'm1');
      await kernel.call(first, async () => write(await disk.open('a'), 'x'));
      kernel.kill(first);
      const second = await disk.open('a');
      await write(second, 'y');
      const entries: string[] = [];
      for await (const [name, value] of second.entries({ gte: Buffer.from('a') })) entries.push(`${name}=${value}`);
      await second.close();
      return { entries, us: kernel.nowUs, medium };
    });
  const [first, second] = [(await run()) as { us: number }, (await run()) as { us: number; entries: string[] }];
  expect(second.entries).toEqual(['k=y', 'second=y']);
  expect(second.us).toBe(first.us);
});
