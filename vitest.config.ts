import { defineConfig } from 'vitest/config';

/** `default` never needs Java; `kafka` starts Apache Kafka on loopback and takes minutes. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'default',
          include: ['test/**/*.test.ts'],
          exclude: ['dist/**', 'node_modules/**', 'test/**/*.kafka.test.ts'],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'kafka',
          include: ['test/**/*.kafka.test.ts'],
          globalSetup: ['test/support/kafka/global-setup.ts'],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
