/**
 * An application's folder of local state: locked while a process uses it, with the process's id inside. The lock is
 * LevelDB's own, which the system lets go when the process dies, however it dies.
 *
 *     <stateDir>/<applicationId>/lock/            the lock
 *     <stateDir>/<applicationId>/<task>/          a task's database
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { CorruptStateError, type StateBackend, StateDirectoryLockedError, type StateStorage } from '../state/index.ts';

const PROCESS_ID = Buffer.from('processId');

export class StateDirectory {
  /** Names the process to the group's leader; kept over restarts. */
  readonly processId: string;
  readonly #lock: StateBackend;

  private constructor(lock: StateBackend, processId: string) {
    this.#lock = lock;
    this.processId = processId;
  }

  /** @throws StateDirectoryLockedError */
  static async open(storage: StateStorage, stateDir: string, applicationId: string): Promise<StateDirectory> {
    const directory = join(stateDir, applicationId);
    const lock = await openLock(storage, join(directory, 'lock'), directory);
    const known = lock.get(PROCESS_ID);
    const processId = known?.toString('utf8') ?? randomUUID();
    if (known === undefined) {
      const batch = lock.batch();
      batch.put(PROCESS_ID, Buffer.from(processId));
      await batch.write();
    }
    return new StateDirectory(lock, processId);
  }

  close(): Promise<void> {
    return this.#lock.close();
  }

  /** Deletes the application's local state; the changelogs bring it back. @throws StateDirectoryLockedError */
  static async cleanUp(storage: StateStorage, stateDir: string, applicationId: string): Promise<void> {
    const held = await StateDirectory.open(storage, stateDir, applicationId);
    await held.close();
    storage.destroy(join(stateDir, applicationId));
  }
}

async function openLock(storage: StateStorage, path: string, directory: string): Promise<StateBackend> {
  try {
    return await storage.open(path);
  } catch (error) {
    if (error instanceof StateDirectoryLockedError) throw new StateDirectoryLockedError(directory, error);
    if (!(error instanceof CorruptStateError)) throw error;
    // It holds nothing that cannot be made anew.
    storage.destroy(path);
    return storage.open(path);
  }
}
