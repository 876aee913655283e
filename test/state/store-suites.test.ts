/** Every store passes the suites that are exported for others; errors of the disk and the directory are told apart. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { string } from '../../src/serdes/index.ts';
import { translateLevelError } from '../../src/state/errors.ts';
import {
  type AnyStoreDescription,
  CacheBudget,
  KeyValueFacade,
  keyValueStore,
  levelStorage,
  TaskState,
  WindowFacade,
  type WriteContext,
  windowStore,
} from '../../src/state/index.ts';
import { keyValueStoreSuite, type StoreHarness, windowStoreSuite } from '../../src/testing/index.ts';

async function open<S extends { detach(): void }>(
  description: AnyStoreDescription,
  directory: string,
  facade: (state: TaskState<WriteContext>) => S,
): Promise<StoreHarness<S>> {
  const state = await TaskState.open<WriteContext>({
    directory,
    stores: [description],
    budget: new CacheBudget(1_000_000),
    changelogTopic: () => undefined,
    changelog: undefined,
    context: () => ({ timestamp: 1 }),
    onExpired: () => {},
  });
  state.restored();
  const store = facade(state);
  const harness = {
    store,
    flush: () => state.flush(),
    commit: () => state.commit(new Map(), 1),
    close: async () => {
      store.detach();
      await state.close();
    },
  };
  if (description.kind === 'in-memory') return harness;
  const reopen = async (): Promise<StoreHarness<S>> => {
    state.flush();
    await state.commit(new Map(), 1);
    await state.close();
    return open(description, directory, facade);
  };
  return { ...harness, reopen };
}

describe.each(['persistent', 'in-memory'] as const)('%s', (kind) => {
  const folder = (): string => mkdtempSync(join(tmpdir(), 'millrace-suite-'));
  keyValueStoreSuite({
    test,
    factory: () =>
      open<KeyValueFacade<string, string>>(
        keyValueStore('s', { key: string(), value: string(), kind }),
        folder(),
        (state) => new KeyValueFacade(state.stores.get('s')!, () => 1),
      ),
  });
  windowStoreSuite({
    test,
    factory: () =>
      open<WindowFacade<string, string>>(
        windowStore('s', { key: string(), value: string(), kind, retentionMs: 200_000, windowSizeMs: 10 }),
        folder(),
        (state) => new WindowFacade(state.stores.get('s')!, () => 1),
      ),
  });
});

test.each([
  [
    Object.assign(new Error('failed'), {
      cause: Object.assign(new Error('IO error: /d/000003.log: No space left on device'), { code: 'LEVEL_IO_ERROR' }),
    }),
    'MILLRACE_STATE_DISK_FULL',
    /disk .* is full/,
  ],
  [
    Object.assign(new Error('failed'), {
      cause: Object.assign(new Error('IO error: lock /d/LOCK: already held by process'), { code: 'LEVEL_LOCKED' }),
    }),
    'MILLRACE_STATE_DIRECTORY_LOCKED',
    /in use by another process/,
  ],
  [
    Object.assign(new Error('failed'), {
      cause: Object.assign(new Error('Corruption: bad block'), { code: 'LEVEL_CORRUPTION' }),
    }),
    'MILLRACE_STATE_CORRUPT',
    /rebuilt from the changelog/,
  ],
  [new Error('IO error: read-only file system'), 'MILLRACE_STATE_WRITE', /failed/],
])('what LevelDB throws becomes a clear error', (thrown, code, message) => {
  const error = translateLevelError('/state/app/0_0', thrown);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
  expect(error.message).toContain('/state/app/0_0');
});

test('a folder that cannot be opened or deleted is an error with a code', async () => {
  const nowhere = `${tmpdir()}/a\0b`;
  await expect(levelStorage.open(nowhere)).rejects.toMatchObject({ code: 'MILLRACE_STATE_WRITE' });
  expect(() => levelStorage.destroy(nowhere)).toThrow(expect.objectContaining({ code: 'MILLRACE_STATE_WRITE' }));
});
