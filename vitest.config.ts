import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/**
 * `default` never needs Java: what talks to a broker (`*.broker.test.ts`) runs on the embedded one. `kafka` runs the same
 * suites on Apache Kafka, and those that need it (`*.kafka.test.ts`); it takes minutes.
 */
export default defineConfig({
  test: {
    // Vitest leaves a core to itself, which is half of two: files that wait for brokers share it well.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      {
        test: {
          name: 'default',
          include: ['test/**/*.test.ts'],
          exclude: ['dist/**', 'node_modules/**', 'test/**/*.kafka.test.ts'],
          globalSetup: ['test/support/embedded/global-setup.ts', 'test/support/postgres/global-setup.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'kafka',
          include: ['test/**/*.kafka.test.ts', 'test/**/*.broker.test.ts'],
          globalSetup: ['test/support/kafka/global-setup.ts', 'test/support/postgres/global-setup.ts'],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
