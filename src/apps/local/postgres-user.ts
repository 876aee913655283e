/** Whose process PostgreSQL is: it refuses to be root's, so that root starts it as somebody else, who must reach its files. */
import { execFile, spawnSync } from 'node:child_process';
import { lchownSync, lstatSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** As options of `spawn`; empty where this process may be PostgreSQL's parent as it is. */
export interface ProcessUser {
  readonly uid?: number;
  readonly gid?: number;
}

const CANDIDATES = ['postgres', 'nobody'];

/**
 * The user that the server runs as: this process's own, but for root; then whoever owns the data that is there, else postgres
 * or nobody, whichever exists. Users are not created.
 *
 * @param data the server's data folder, existing or not
 * @returns undefined where there is nobody
 */
export async function findServerUser(data: string): Promise<ProcessUser | undefined> {
  if (process.getuid?.() !== 0) return {};
  const owner = statSync(data, { throwIfNoEntry: false });
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  for (const name of CANDIDATES) {
    const [uid, gid] = await Promise.all([idOf('-u', name), idOf('-g', name)]);
    if (uid > 0 && gid >= 0) return { uid, gid };
  }
  return undefined;
}

async function idOf(flag: '-u' | '-g', name: string): Promise<number> {
  try {
    return Number.parseInt((await promisify(execFile)('id', [flag, name])).stdout, 10);
  } catch {
    return -1;
  }
}

/** Gives data that is another's to the user: a copy that root made, for example. */
export function giveData(folder: string, { uid, gid }: ProcessUser): void {
  if (uid === undefined || gid === undefined || lstatSync(folder).uid === uid) return;
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    lchownSync(join(folder, name), uid, gid);
  lchownSync(folder, uid, gid);
}

/**
 * The first folder on the way to one of the paths that the user cannot enter; undefined where all can be reached.
 *
 * @param paths absolute
 */
export function findClosedFolder(paths: readonly string[], user: ProcessUser): string | undefined {
  if (user.uid === undefined) return undefined;
  for (const path of paths) {
    // The user tries: what rights come to is the system's business.
    const isReached = (folder: string): boolean =>
      spawnSync('/bin/sh', ['-c', 'test -e "$1"', 'sh', folder], { ...user, cwd: '/' }).status === 0;
    if (isReached(path)) continue;
    let closed = path;
    while (closed !== dirname(closed) && !isReached(closed)) closed = dirname(closed);
    return closed;
  }
  return undefined;
}
