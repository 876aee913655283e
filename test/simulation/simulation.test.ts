/** The simulation as a whole, in processes of its own: fixed seeds, named scenarios, and the same history every time. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const run = promisify(execFile);

/** Seeds that `npm test` runs: about ten seconds of one core. `npm run simulate` takes fresh ones. */
const SEEDS = 30;

async function simulate(...args: readonly string[]): Promise<string> {
  const command = ['--enable-source-maps', '.cache/simulation/test/simulation/index.js', ...args];
  const { stdout } = await run('node', command, { cwd: ROOT, maxBuffer: 64 * 1024 * 1024 }).catch(
    (error: { stdout: string; stderr: string }) => {
      throw new Error(`npm run simulate -- ${args.join(' ')}\n${error.stdout}${error.stderr}`);
    },
  );
  return stdout;
}

/** ms: the machine may be shared. */
const PATIENCE_MS = 300_000;

beforeAll(async () => {
  await run('npx', ['tsc', '-p', 'tsconfig.simulation.json'], { cwd: ROOT });
}, PATIENCE_MS);

test(
  'one seed gives one history, again in the same process and in another',
  async () => {
    const hashOf = (text: string): string | undefined => /hash ([0-9a-f]{16})/.exec(text)?.[1];
    const [first, second] = await Promise.all([simulate('--seed', '5', '--repeat', '3'), simulate('--seed', '5')]);
    expect(hashOf(first)).toBeDefined();
    expect(hashOf(second)).toBe(hashOf(first));
  },
  PATIENCE_MS,
);

test(
  'named scenarios: what was mended stays so',
  async () => {
    expect(await simulate('--named')).not.toContain('WRONG');
  },
  PATIENCE_MS,
);

test(
  'fixed seeds pass',
  async () => {
    expect(await simulate('--from', '1', '--seeds', String(SEEDS), '--no-shrink')).toContain('No failures.');
  },
  PATIENCE_MS,
);
