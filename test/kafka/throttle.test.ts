/** A broker that asks to be held back is obeyed for as long as it asked, whatever the clock does. */
import { afterEach, expect, test, vi } from 'vitest';
import { startKafka } from '../../src/embedded/index.ts';
import { KafkaCluster } from '../../src/kafka/index.ts';

afterEach(() => {
  vi.useRealTimers();
});

test('a clock that is set back while requests are held back does not hold them back for that long', async () => {
  const kafka = await startKafka({ topics: ['t'] });
  const cluster = new KafkaCluster({ kafka: { brokers: kafka.brokers } });
  try {
    await cluster.connect();
    await cluster.refresh(['t']);
    vi.useFakeTimers({ toFake: ['Date'] });
    kafka.inject({ api: 'Metadata', action: { kind: 'throttle', ms: 50 } });
    await cluster.refresh(['t']);
    vi.setSystemTime(Date.now() - 3_600_000);
    await cluster.refresh(['t']);
    expect(cluster.partitionCount('t')).toBe(1);
  } finally {
    await cluster.close();
    await kafka.close();
  }
}, 10_000);
