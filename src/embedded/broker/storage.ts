/** What all the broker's files have in common: they are appended to, and a disk can be full. */
import { ftruncateSync, writeSync } from 'node:fs';
import { messageOf } from '../../errors.ts';
import { EmbeddedError } from '../errors.ts';

/**
 * Appends all of `bytes`, or nothing: what a full disk took of them would stand in the middle of the file once there is
 * room again, and end the reading of it at the next start.
 *
 * @param size of the file, bytes
 */
export function appendWhole(file: number, bytes: Buffer, size: number): void {
  try {
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
  } catch (error) {
    ftruncateSync(file, size);
    throw error;
  }
}

/** The file system's word, not the network's: a full disk, missing rights, a device that fails. */
export function isStorageFault(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error && !('address' in error);
}

export function storageFault(dataDir: string, cause: unknown): EmbeddedError {
  return new EmbeddedError(
    'MILLRACE_EMBEDDED_STORAGE',
    `The embedded broker cannot keep its data in ${dataDir} (${messageOf(cause)}). Make room there, or see to the folder's rights.`,
    { cause },
  );
}
