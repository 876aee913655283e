/**
 * Where local state lives: LevelDB in a folder, or what stands in its place where a whole cluster is simulated in one
 * process. All local state goes through here, the state directory's lock as well.
 */
import { rmSync } from 'node:fs';
import { openLevelBackend, type StateBackend } from './backend.ts';
import { translateLevelError } from './errors.ts';

export interface StateStorage {
  /**
   * Opens or creates the database of a folder; it is locked until it is closed, or the process ends.
   * @throws StateDirectoryLockedError, CorruptStateError, StateWriteError
   */
  open(directory: string): Promise<StateBackend>;
  /** Deletes a folder with every database in it; none of them is open. @throws StateWriteError */
  destroy(directory: string): void;
}

export const levelStorage: StateStorage = {
  open: openLevelBackend,
  destroy(directory) {
    try {
      rmSync(directory, { recursive: true, force: true });
    } catch (error) {
      throw translateLevelError(directory, error);
    }
  },
};
