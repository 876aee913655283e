/** `millrace/testing`: run a topology in memory. */
export * from './topology-test-driver.ts';
