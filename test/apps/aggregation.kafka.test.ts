/**
 * The main job on real Kafka, as processes: equal to an independent computation, and never less after SIGKILL. On the
 * oldest Kafka and the newest, through SASL_SSL with SCRAM, and on three brokers that are stopped in turn.
 */
import { readFileSync } from 'node:fs';
import type { KafkaConfig } from 'kafkajs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AggregationJob, type AggregationJobOptions, expectAtLeast, series } from '../support/aggregation-job.ts';
import { aggregationSuite } from '../support/aggregation-suite.ts';
import {
  type BrokerOptions,
  DEFAULT_KAFKA_VERSION,
  NEWEST_KAFKA_VERSION,
  startKafka,
  type TestBroker,
} from '../support/kafka/broker.ts';
import { groupByWindow } from '../support/metrics.ts';
import { waitFor } from '../support/wait.ts';

const LOGIN = { user: 'alice', password: 'secret-of-alice' };

interface Setting extends BrokerOptions {
  readonly name: string;
}

const plain = ({ brokers }: TestBroker): AggregationJobOptions => ({ kafka: { brokers } });

function saslSsl({ brokers, caFile }: TestBroker): AggregationJobOptions {
  const kafka: KafkaConfig = {
    brokers,
    ssl: { ca: [readFileSync(caFile!, 'utf8')] },
    sasl: { mechanism: 'scram-sha-256', username: LOGIN.user, password: LOGIN.password },
  };
  const env = {
    KAFKA_SSL: 'true',
    KAFKA_SSL_CA: caFile!,
    KAFKA_SASL_MECHANISM: 'scram-sha-256',
    KAFKA_SASL_USERNAME: LOGIN.user,
    KAFKA_SASL_PASSWORD: LOGIN.password,
  };
  return { kafka, env };
}

const settings: readonly Setting[] = [
  { name: `Kafka ${DEFAULT_KAFKA_VERSION}` },
  { name: `Kafka ${NEWEST_KAFKA_VERSION}`, version: NEWEST_KAFKA_VERSION },
  { name: 'SASL_SSL with SCRAM', saslSsl: LOGIN },
];

describe.each(settings)('$name', ({ name: _name, ...options }) => {
  let broker: TestBroker;
  let job: AggregationJob;
  beforeAll(async () => {
    broker = await startKafka(options);
    job = await AggregationJob.open(options.saslSsl === undefined ? plain(broker) : saslSsl(broker));
  });
  afterAll(async () => {
    await job?.close();
    await broker?.close();
  });
  beforeEach((context) => job.reset(`metrics-aggregation-${context.task.id}`));
  afterEach(() => job.killPrograms());

  aggregationSuite(() => job, 6_000);
});

test('three brokers with replication 3, each stopped and started in turn: no count is lower', async () => {
  const broker = await startKafka({ nodes: 3, properties: { 'min.insync.replicas': '2' } });
  const job = await AggregationJob.open({ ...plain(broker), replicationFactor: 3 });
  try {
    await job.reset('metrics-aggregation-three');
    const program = job.startProgram();
    const metrics = series(18_000, 4);
    await waitFor(() => /"tasks assigned"/.test(program.output()), 60_000, 'tasks');
    for (let node = 0; node < 3; node++) {
      await broker.stopNode(node);
      await job.send(metrics.slice(node * 6000, node * 6000 + 4000));
      await broker.startNode(node);
      await job.send(metrics.slice(node * 6000 + 4000, (node + 1) * 6000));
    }
    await job.waitForLagZero();
    expectAtLeast(await job.readOutputs(), groupByWindow(metrics));
    expect(await program.kill('SIGTERM')).toBe(0);
  } finally {
    await job.close();
    await broker.close();
  }
});
