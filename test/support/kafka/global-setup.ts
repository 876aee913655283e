/** One Apache Kafka for all suites of the kafka project; suites that need another kind start their own. */
import type { TestProject } from 'vitest/node';
import { startKafka } from './broker.ts';

declare module 'vitest' {
  interface ProvidedContext {
    brokers: string[];
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const broker = await startKafka();
  project.provide('brokers', broker.brokers);
  return () => broker.close();
}
