/** What suites of asynchronous operators have in common: topics, positions, and promises that a test lets go. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, inject } from 'vitest';
import { fetchCommitted, KafkaCluster, partitionKey } from '../../src/kafka/index.ts';
import { newTopics } from './topics.ts';

/** A connection to the suite's broker for all tests of a file. */
export function suiteCluster(): KafkaCluster {
  const cluster = new KafkaCluster({ kafka: { brokers: inject('brokers') } });
  beforeAll(() => cluster.connect());
  afterAll(() => cluster.close());
  return cluster;
}

/** A topic to read and one to write, of two partitions each. */
export async function topics(cluster: KafkaCluster): Promise<{ input: string; output: string; applicationId: string }> {
  const id = randomUUID();
  const [input, output] = [`in-${id}`, `out-${id}`];
  await newTopics(cluster, [input, output], 2);
  return { input, output, applicationId: `app-${id}` };
}

export async function committed(cluster: KafkaCluster, applicationId: string, topic: string): Promise<number[]> {
  const partitions = [0, 1].map((partition) => ({ topic, partition }));
  const found = await fetchCommitted(cluster, applicationId, partitions);
  return partitions.map((at) => found.get(partitionKey(at))?.offset ?? 0);
}

/** Promises that a test lets go, one by one or all from then on. */
export class Gate {
  readonly waiting: string[] = [];
  #open = false;
  #release: (() => void)[] = [];

  pass(what: string): Promise<void> {
    this.waiting.push(what);
    return this.#open ? Promise.resolve() : new Promise((resolve) => this.#release.push(resolve));
  }

  open(): void {
    this.#open = true;
    for (const release of this.#release.splice(0)) release();
  }
}

/** To one partition, the key as the value. */
export const messages = (values: readonly string[], partition = 0) =>
  values.map((value) => ({ key: value, value, partition }));
