/** `millrace/testing`: run a topology in memory. */

export * from './errors.ts';
export * from './store-suites.ts';
export * from './test-topics.ts';
export * from './topology-test-driver.ts';
