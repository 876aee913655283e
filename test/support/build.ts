/** dist/ as of now: suites that run programs run what is there. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export function build(): void {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: join(import.meta.dirname, '../..'), stdio: 'inherit' });
}
