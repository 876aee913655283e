/** Builds dist/ for suites that run programs, and starts one embedded broker for all. */
import type { TestProject } from 'vitest/node';
import { startKafka } from '../../../src/embedded/index.ts';
import { build } from '../build.ts';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  build();
  const kafka = await startKafka();
  project.provide('brokers', kafka.brokers);
  project.provide('brokerKind', 'embedded');
  return () => kafka.close();
}
