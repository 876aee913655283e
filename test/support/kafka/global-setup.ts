/** Builds dist/ for suites that run programs, and starts one Apache Kafka for all; suites that need another start their own. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startKafka } from './broker.ts';

declare module 'vitest' {
  interface ProvidedContext {
    brokers: string[];
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: join(import.meta.dirname, '../../..'), stdio: 'inherit' });
  const broker = await startKafka();
  project.provide('brokers', broker.brokers);
  return () => broker.close();
}
