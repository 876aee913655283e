/** The cases of the benchmark; bench/case.ts runs one of them in a process of its own. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import { KafkaStreams, SchemaRegistry, type Topology } from '../src/index.ts';
import { Fetcher, KafkaCluster } from '../src/kafka/index.ts';
import { Measurement, type Result } from './measure.ts';
import { aggregationByKey, aggregationByValue } from './topologies.ts';

export interface CaseContext {
  readonly brokers: string[];
  readonly registryUrl: string;
  readonly topic: string;
  readonly records: number;
  readonly partitions: number;
}

export type Case = (context: CaseContext) => Promise<Result>;

export const KAFKAJS_SETTINGS = {
  maxBytesPerPartition: 1_048_576,
  maxBytes: 10_485_760,
  eachBatchAutoResolve: true,
  autoCommitInterval: 5_000,
};

/** (a) The bare limit: fetch, CRC check and positions of every record. */
export const fetchOnly: Case = async ({ brokers, topic, records, partitions }) => {
  const fetcher = new Fetcher(new KafkaCluster({ kafka: { brokers } }));
  const buffers = Array.from({ length: partitions }, (_, partition) => fetcher.add({ topic, partition }, 0));
  const measurement = new Measurement();
  await fetcher.start();
  let seen = 0;
  let bytes = 0;
  while (seen < records) {
    const before = seen;
    for (const buffer of buffers) {
      for (let cursor = buffer.next(); cursor !== undefined; cursor = buffer.next()) {
        seen++;
        bytes += cursor.keyLength + cursor.valueLength;
      }
    }
    fetcher.wake();
    if (seen === before) await fetcher.waitForData(100);
    else await nextTurn();
  }
  const result = measurement.end(seen, `${(bytes / 1e6).toFixed(0)} MB of keys and values`);
  await fetcher.close();
  return result;
};

/** (b) kafkajs consuming the same, with no work. */
export const kafkajs: Case = async ({ brokers, topic, records }) => {
  const { autoCommitInterval, eachBatchAutoResolve, ...options } = KAFKAJS_SETTINGS;
  const consumer = new Kafka({ brokers, logLevel: logLevel.NOTHING }).consumer({ groupId: randomUUID(), ...options });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const measurement = new Measurement();
  let seen = 0;
  await new Promise<void>((resolve) => {
    void consumer.run({
      autoCommitInterval,
      eachBatchAutoResolve,
      eachBatch: async ({ batch }) => {
        seen += batch.messages.length;
        if (seen >= records) resolve();
      },
    });
  });
  const result = measurement.end(seen, JSON.stringify(KAFKAJS_SETTINGS));
  await consumer.disconnect();
  return result;
};

/** (c) to (e): the aggregation, from the first join of the group to the commit of the last record. */
export function aggregation(grouping: 'by-key' | 'by-value', caching: boolean): Case {
  return async ({ brokers, registryUrl, topic, records }) => {
    const registry = new SchemaRegistry({ url: registryUrl });
    const topology = (grouping === 'by-key' ? aggregationByKey : aggregationByValue)(registry, topic, caching);
    const expected = grouping === 'by-key' ? records : records * 2;
    return runStreams(topology, brokers, expected, records);
  };
}

export async function runStreams(
  topology: Topology,
  brokers: string[],
  expected: number,
  records: number,
): Promise<Result> {
  const streams = new KafkaStreams(topology, {
    applicationId: `bench-${randomUUID()}`,
    kafka: { brokers },
    stateDir: mkdtempSync(join(tmpdir(), 'millrace-bench-')),
  });
  let failure: Error | undefined;
  streams.setUncaughtErrorHandler((error) => {
    failure = error;
    return 'shutdown-client';
  });
  const measurement = new Measurement();
  await streams.start();
  while (streams.metrics().processTotal < expected && failure === undefined)
    await new Promise((resolve) => setTimeout(resolve, 5));
  // Closing commits what was processed last.
  await streams.close();
  if (failure !== undefined) throw failure;
  const { droppedRecordsTotal } = streams.metrics();
  return measurement.end(records, droppedRecordsTotal === 0 ? undefined : `${droppedRecordsTotal} dropped`);
}

/** (f) Restoring a changelog into an empty state directory. The application has no input left. */
export function restore(applicationId: string, topology: (registry: SchemaRegistry, topic: string) => Topology): Case {
  return async ({ brokers, registryUrl, topic }) => {
    const streams = new KafkaStreams(topology(new SchemaRegistry({ url: registryUrl }), topic), {
      applicationId,
      kafka: { brokers },
      stateDir: mkdtempSync(join(tmpdir(), 'millrace-bench-')),
    });
    const running = new Promise<void>((resolve, reject) => {
      streams.setStateListener((state) => {
        if (state === 'RUNNING') resolve();
        if (state === 'ERROR') reject(new Error('restore failed'));
      });
    });
    const measurement = new Measurement();
    await streams.start();
    await running;
    const result = measurement.end(streams.metrics().restoreTotal);
    await streams.close();
    return result;
  };
}
