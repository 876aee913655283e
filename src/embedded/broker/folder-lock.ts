/** One process a folder: the lock is a file with the process's id, and a service of this process holds it once. */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { EmbeddedError } from '../errors.ts';

/** Of this process. */
const lockedFolders = new Set<string>();

/**
 * Locks the folder; the lock of a process that was killed is taken over, even if it had the id that this one has now, as
 * processes in containers do.
 *
 * @param service whose folder it is, for the file's name and the message
 * @returns how to unlock it
 * @throws EmbeddedError MILLRACE_EMBEDDED_DATA_IN_USE
 */
export function lockFolder(dataDir: string, service = 'broker'): () => void {
  mkdirSync(dataDir, { recursive: true });
  const path = join(dataDir, `${service}.pid`);
  for (;;) {
    try {
      const file = openSync(path, 'wx');
      writeSync(file, String(process.pid));
      lockedFolders.add(resolve(dataDir));
      return () => {
        closeSync(file);
        rmSync(path, { force: true });
        lockedFolders.delete(resolve(dataDir));
      };
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      const owner = Number(readFileSync(path, 'utf8'));
      if (owner === process.pid ? lockedFolders.has(resolve(dataDir)) : isRunning(owner)) {
        throw new EmbeddedError(
          'MILLRACE_EMBEDDED_DATA_IN_USE',
          `The folder ${dataDir} is in use by the ${service} of process ${owner}. Stop it, or give each ${service} its own folder.`,
        );
      }
      rmSync(path, { force: true });
    }
  }
}

function isRunning(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
