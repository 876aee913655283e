/** Builds dist/ for suites that run programs, and starts one Apache Kafka for all; suites that need another start their own. */
import type { TestProject } from 'vitest/node';
import { build } from '../build.ts';
import { startKafka } from './broker.ts';

declare module 'vitest' {
  interface ProvidedContext {
    brokers: string[];
    /** Broker suites run on both. */
    brokerKind: 'embedded' | 'apache';
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  build();
  const broker = await startKafka();
  project.provide('brokers', broker.brokers);
  project.provide('brokerKind', 'apache');
  return () => broker.close();
}
