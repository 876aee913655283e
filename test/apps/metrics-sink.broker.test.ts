/** The sink as processes, on a broker and a real PostgreSQL: killed, stopped, joined by another. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, inject } from 'vitest';
import { startKafka as startEmbedded } from '../../src/embedded/index.ts';
import { freePort } from '../support/free-port.ts';
import { startKafka } from '../support/kafka/broker.ts';
import { hasPostgres } from '../support/postgres/postgres.ts';
import { SinkJob } from '../support/sink-job.ts';
import { type OnCommit, onCommitAt, onCommitThrough } from '../support/sink-moments.ts';
import { sinkSuite } from '../support/sink-suite.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const isApache = inject('brokerKind') === 'apache';

/** One of its own: the program's topics have fixed names. */
interface Broker {
  readonly brokers: string[];
  readonly onCommit: OnCommit;
  close(): Promise<void>;
}

async function startEmbeddedBroker(): Promise<Broker> {
  const kafka = await startEmbedded({ groupMinSessionTimeoutMs: 100 });
  return { brokers: kafka.brokers, onCommit: onCommitAt(kafka), close: () => kafka.close() };
}

/** All clients go through a proxy. */
async function startApache(): Promise<Broker> {
  const port = await freePort();
  const kafka = await startKafka({
    properties: {
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
      'group.min.session.timeout.ms': '1000',
    },
  });
  const proxy = await TcpProxy.start(kafka.brokers[0]!, port);
  return {
    brokers: [`127.0.0.1:${port}`],
    onCommit: onCommitThrough(proxy),
    async close() {
      proxy.close();
      await kafka.close();
    },
  };
}

describe.runIf(hasPostgres)('the sink', () => {
  let broker: Broker;
  let job: SinkJob;
  beforeAll(async () => {
    broker = await (isApache ? startApache() : startEmbeddedBroker());
    job = await SinkJob.open(broker.brokers);
  });
  afterAll(async () => {
    await job?.close();
    await broker?.close();
  });
  beforeEach(() => job.begin());
  afterEach(() => job.end());

  sinkSuite({
    job: () => job,
    onCommit: (when, then) => broker.onCommit(when, then),
    sessionTimeoutMs: isApache ? 1_500 : 200,
  });
});
