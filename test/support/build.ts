/** dist/ as of now: suites that run programs run what is there, and nothing that was there before. */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';

export function build(): void {
  const root = join(import.meta.dirname, '../..');
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' });
}
