/**
 * An application's folder of local state: locked while a process uses it, with the process's id inside. The lock is
 * LevelDB's own, which the system lets go when the process dies, however it dies.
 *
 *     <stateDir>/<applicationId>/lock/            the lock
 *     <stateDir>/<applicationId>/<task>/          a task's database
 */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Level } from 'level';
import { StateDirectoryLockedError, translateLevelError } from '../state/index.ts';

export class StateDirectory {
  /** Names the process to the group's leader; kept over restarts. */
  readonly processId: string;
  readonly #lock: Level;

  private constructor(lock: Level, processId: string) {
    this.#lock = lock;
    this.processId = processId;
  }

  /** @throws StateDirectoryLockedError */
  static async open(stateDir: string, applicationId: string): Promise<StateDirectory> {
    const directory = join(stateDir, applicationId);
    const lock = await openLock(join(directory, 'lock'), directory);
    const known = await lock.get('processId');
    const processId = known ?? randomUUID();
    if (known === undefined) await lock.put('processId', processId);
    return new StateDirectory(lock, processId);
  }

  close(): Promise<void> {
    return this.#lock.close();
  }

  /** Deletes the application's local state; the changelogs bring it back. @throws StateDirectoryLockedError */
  static async cleanUp(stateDir: string, applicationId: string): Promise<void> {
    const held = await StateDirectory.open(stateDir, applicationId);
    await held.close();
    rmSync(join(stateDir, applicationId), { recursive: true, force: true });
  }
}

async function openLock(path: string, directory: string): Promise<Level> {
  const lock = new Level(path);
  try {
    await lock.open();
    return lock;
  } catch (error) {
    const typed = translateLevelError(directory, error);
    if (typed.code === 'MILLRACE_STATE_CORRUPT') {
      // It holds nothing that cannot be made anew.
      rmSync(path, { recursive: true, force: true });
      await lock.open();
      return lock;
    }
    if (typed instanceof StateDirectoryLockedError) throw new StateDirectoryLockedError(directory, error);
    throw typed;
  }
}
