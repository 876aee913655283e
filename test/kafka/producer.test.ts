/** The producer on brokers of a model, in virtual time: order, waiting, and what is dropped. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ErrorCode, Producer, type ProducerOptions } from '../../src/kafka/index.ts';
import { REMEMBERED_MS } from '../../src/kafka/producer-partition.ts';
import { type BatchOutcome, ModelBroker } from '../support/model-broker.ts';
import { settled, useVirtualTime } from '../support/virtual-time.ts';

let broker: ModelBroker;
let producer: Producer;
const NOTHING = Buffer.alloc(0);
const NOT_LEADER: BatchOutcome = { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER };

beforeEach(() => {
  useVirtualTime();
  vi.setSystemTime(1_700_000_000_000);
  broker = new ModelBroker();
  broker.create('t', 2);
});
afterEach(async () => {
  await producer.close();
  vi.useRealTimers();
});

/** Each record is a batch of its own, unless the options say otherwise. */
async function start(options: ProducerOptions = {}): Promise<void> {
  producer = new Producer(broker, { batchBytes: 1, lingerMs: 0, ...options });
  await settled(producer.start());
  await settled(producer.prepare(['t']));
}

function send(value: string, { topic = 't', partition = 0, timestamp = Date.now() } = {}): void {
  const bytes = Buffer.from(value);
  producer.send(topic, partition, timestamp, NOTHING, 0, -1, bytes, 0, bytes.length, []);
}

/** These outcomes for the first batches seen, then all is well. */
function outcomes(...list: readonly (BatchOutcome | undefined)[]): void {
  const left = [...list];
  broker.onBatch = () => left.shift();
}

describe('flush()', () => {
  test('resolves for what was sent before, though what came since is not acknowledged', async () => {
    // What is sent lingers, unless a flush sends it.
    await start({ lingerMs: 600_000, batchBytes: 16_384 });
    send('before');
    let flushed = false;
    void producer.flush().then(() => (flushed = true));
    send('after');
    await vi.advanceTimersByTimeAsync(1_000);
    expect([flushed, broker.log('t', 0)]).toEqual([true, ['before']]);
  });

  test('waits for records whose topic is not known yet', async () => {
    await start({ lingerMs: 600_000, batchBytes: 16_384 });
    send('early', { topic: 'late' });
    let flushed = false;
    const flushing = producer.flush().then(() => (flushed = true));
    await vi.advanceTimersByTimeAsync(100);
    expect(flushed).toBe(false);
    broker.create('late', 1);
    await settled(flushing);
    expect(broker.log('late', 0)).toEqual(['early']);
  });

  test('does not resolve before both parts of a batch that was split are acknowledged', async () => {
    await start({ batchBytes: 75 });
    outcomes({ errorCode: ErrorCode.MESSAGE_TOO_LARGE }, undefined, NOT_LEADER);
    for (const value of ['0', '1', '2', '3', '4', '5']) send(value);
    await settled(producer.flush());
    expect(broker.log('t', 0)).toEqual(['0', '1', '2', '3', '4', '5']);
  });
});

describe('order under a producer id that the broker does not know', () => {
  test('the first batch is refused for a moment: those behind it do not go before it', async () => {
    await start();
    outcomes(NOT_LEADER);
    for (const value of ['0', '1', '2']) send(value);
    await settled(producer.flush());
    expect(broker.log('t', 0)).toEqual(['0', '1', '2']);
  });

  test('the first batch is too large and split: those behind it do not go between', async () => {
    await start({ batchBytes: 75 });
    outcomes({ errorCode: ErrorCode.MESSAGE_TOO_LARGE });
    for (const value of ['0', '1', '2', '3', '4', '5']) send(value);
    await settled(producer.flush());
    expect(broker.seen[0]!.values.length).toBeGreaterThan(1);
    expect(broker.log('t', 0)).toEqual(['0', '1', '2', '3', '4', '5']);
  });

  test.each([
    ['the broker has lost the producer', 'forgotten'],
    ['the broker sees a gap', { errorCode: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER }],
  ] as const)('%s: the first batch under the new id is refused for a moment', async (_, lost) => {
    await start();
    send('0');
    await settled(producer.flush());
    const first = broker.seen[0]!.producerId;
    // At the front it means that the state is lost; so it is for what is behind it.
    broker.onBatch = ({ producerId }) => (producerId === first ? lost : undefined);
    for (const value of ['1', '2', '3']) send(value);
    await vi.advanceTimersByTimeAsync(1);
    let refused = false;
    broker.onBatch = ({ producerId }) => {
      if (producerId === first) return lost;
      if (refused) return undefined;
      refused = true;
      return NOT_LEADER;
    };
    await settled(producer.flush());
    expect(broker.log('t', 0)).toEqual(['0', '1', '2', '3']);
    expect(broker.seen.at(-1)!.producerId).not.toBe(first);
  });

  test('the partition was quiet so long that the id may be forgotten', async () => {
    await start();
    send('0');
    await settled(producer.flush());
    await vi.advanceTimersByTimeAsync(REMEMBERED_MS + 1);
    broker.partition('t', 0).producers.clear();
    outcomes(NOT_LEADER);
    for (const value of ['1', '2', '3']) send(value);
    await settled(producer.flush());
    expect(broker.log('t', 0)).toEqual(['0', '1', '2', '3']);
  });

  test('timestamps are so old that a broker forgets the id at once, since it counts from them', async () => {
    await start();
    const timestamp = Date.now() - 2 * 86_400_000;
    send('0', { timestamp });
    await settled(producer.flush());
    broker.partition('t', 0).producers.clear();
    outcomes(NOT_LEADER);
    for (const value of ['1', '2', '3']) send(value, { timestamp });
    await settled(producer.flush());
    expect(broker.log('t', 0)).toEqual(['0', '1', '2', '3']);
  });

  test('another broker leads now, which may not know the id', async () => {
    await start();
    send('0');
    await settled(producer.flush());
    const partition = broker.partition('t', 0);
    partition.leader = 2;
    partition.producers.clear();
    await settled(producer.prepare(['t']));
    outcomes(NOT_LEADER);
    for (const value of ['1', '2', '3']) send(value);
    await settled(producer.flush());
    expect(broker.log('t', 0)).toEqual(['0', '1', '2', '3']);
  });

  test('the topic was deleted and created again under its name', async () => {
    await start();
    send('0');
    await settled(producer.flush());
    expect(producer.ackedOffset('t', 0)).toBe(1);
    broker.create('t', 2);
    await settled(producer.prepare(['t']));
    expect(producer.ackedOffset('t', 0)).toBe(-1);
    outcomes(NOT_LEADER);
    for (const value of ['1', '2', '3']) send(value);
    await settled(producer.flush());
    expect(broker.log('t', 0)).toEqual(['1', '2', '3']);
  });

  test('an acknowledgement of a later batch lets none go beside one that failed: the broker knows the last five only', async () => {
    await start();
    send('0');
    await settled(producer.flush());
    // Written, but not on enough replicas: it goes again, while those behind it are acknowledged.
    const tries: BatchOutcome[] = [{ errorCode: ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND, append: true }, NOT_LEADER];
    broker.onBatch = ({ values }) => (values[0] === '1' ? tries.shift() : undefined);
    for (let i = 1; i < 8; i++) send(String(i));
    await settled(producer.flush());
    expect(broker.log('t', 0)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
  });

  test('once it is known, five batches are on their way at a time', async () => {
    await start();
    send('0');
    await settled(producer.flush());
    broker.delayMs = () => 100;
    let most = 0;
    let out = 0;
    broker.onRequest = () => {
      most = Math.max(most, ++out);
      return 'answered';
    };
    broker.onBatch = () => void out--;
    for (let i = 1; i < 20; i++) send(String(i));
    await settled(producer.flush());
    expect(most).toBe(5);
    expect(broker.log('t', 0)).toEqual(Array.from({ length: 20 }, (_, i) => String(i)));
  });
});

describe('a partition whose state the broker has lost goes on under a new id; others keep theirs', () => {
  let first: number;
  beforeEach(async () => {
    broker.partition('t', 1).leader = 2;
    await start();
    send('a0');
    send('b0', { partition: 1 });
    await settled(producer.flush());
    first = broker.seen[0]!.producerId;
  });

  test('nothing is written twice whose answer was lost', async () => {
    // b1 is written and its answer lost, while the other broker has forgotten the producer.
    let isLost = true;
    broker.onRequest = (nodeId) => {
      if (nodeId !== 2 || !isLost) return 'answered';
      isLost = false;
      return 'lost-after';
    };
    broker.onBatch = ({ partition, producerId }) => (partition === 0 && producerId === first ? 'forgotten' : undefined);
    send('a1');
    send('b1', { partition: 1 });
    await settled(producer.flush());
    expect([broker.log('t', 0), broker.log('t', 1)]).toEqual([
      ['a0', 'a1'],
      ['b0', 'b1'],
    ]);
  });

  test('what waits there keeps its order', async () => {
    let refused = false;
    broker.onBatch = ({ partition, producerId, values }) => {
      if (partition === 0) return producerId === first ? 'forgotten' : undefined;
      if (values[0] !== 'b1' || refused) return undefined;
      refused = true;
      return NOT_LEADER;
    };
    send('a1');
    await vi.advanceTimersByTimeAsync(5);
    for (const value of ['b1', 'b2', 'b3']) send(value, { partition: 1 });
    await settled(producer.flush());
    expect([broker.log('t', 0), broker.log('t', 1)]).toEqual([
      ['a0', 'a1'],
      ['b0', 'b1', 'b2', 'b3'],
    ]);
  });
});

test('a partition without a leader holds up no other', async () => {
  await start({ deliveryTimeoutMs: 600_000 });
  broker.partition('t', 0).leader = -1;
  await settled(producer.prepare(['t']));
  send('waits');
  await vi.advanceTimersByTimeAsync(30_000);
  for (let i = 0; i < 20; i++) {
    send(String(i), { partition: 1 });
    await vi.advanceTimersByTimeAsync(10);
    expect(broker.log('t', 1)).toHaveLength(i + 1);
  }
  broker.partition('t', 0).leader = 1;
  await settled(producer.flush());
  expect(broker.log('t', 0)).toEqual(['waits']);
});

test('a batch that the broker leaves out of its answer goes again', async () => {
  await start();
  const answer = broker.send.bind(broker);
  let isFirst = true;
  broker.send = async (nodeId, request) => {
    const whole = (await answer(nodeId, request)) as { partitions: unknown[] };
    if (!isFirst) return whole as never;
    isFirst = false;
    return { ...whole, partitions: [] } as never;
  };
  send('0');
  await settled(producer.flush());
  expect(broker.log('t', 0)).toEqual(['0']);
});

describe('the delivery time-out', () => {
  const timedOut = { code: 'MILLRACE_KAFKA_DELIVERY_TIMEOUT', retriable: false, topic: 't', partition: 0 };

  test('a partition without a leader: an error with place, time and reason, without any traffic', async () => {
    await start();
    broker.partition('t', 0).leader = -1;
    await settled(producer.prepare(['t']));
    send('0');
    await vi.advanceTimersByTimeAsync(119_000);
    expect(producer.failure).toBeUndefined();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(producer.failure).toMatchObject(timedOut);
    expect(producer.failure!.message).toMatch(/t-0 .* 120 s \(it has no leader\)/);
    expect(() => send('1')).toThrow(producer.failure);
    await expect(producer.flush()).rejects.toBe(producer.failure);
    await expect(producer.drained()).rejects.toBe(producer.failure);
  });

  test('a topic that was deleted: whoever flushes is told, for as long as it says', async () => {
    await start({ deliveryTimeoutMs: 10_000 });
    send('0');
    await settled(producer.flush());
    broker.delete('t');
    send('1');
    const flushing = expect(settled(producer.flush(), 12_000)).rejects.toMatchObject(timedOut);
    await flushing;
    expect(producer.failure!.message).toContain('UNKNOWN_TOPIC_OR_PARTITION');
  });

  test('requests that are never answered', async () => {
    await start({ deliveryTimeoutMs: 10_000 });
    broker.requestTimeoutMs = Number.POSITIVE_INFINITY;
    broker.onRequest = () => 'hangs';
    send('0');
    await expect(settled(producer.flush(), 12_000)).rejects.toMatchObject(timedOut);
  });

  test('a topic that nobody knows, where that is shorter than the time-out for those', async () => {
    await start({ deliveryTimeoutMs: 10_000 });
    send('0', { topic: 'unknown' });
    await expect(settled(producer.flush(), 12_000)).rejects.toMatchObject({
      code: 'MILLRACE_KAFKA_DELIVERY_TIMEOUT',
      topic: 'unknown',
    });
    expect(producer.failure).not.toHaveProperty('partition');
  });

  test('metadata that is never answered', async () => {
    await start({ deliveryTimeoutMs: 10_000 });
    broker.metadataDelayMs = Number.POSITIVE_INFINITY;
    send('0', { topic: 'unknown' });
    await expect(settled(producer.flush(), 12_000)).rejects.toMatchObject({ code: 'MILLRACE_KAFKA_DELIVERY_TIMEOUT' });
  });

  test('counts the time in which the process ran: a suspended machine or a step of the clock is none', async () => {
    await start();
    broker.partition('t', 0).leader = -1;
    await settled(producer.prepare(['t']));
    send('0');
    await vi.advanceTimersByTimeAsync(10_000);
    vi.setSystemTime(Date.now() + 3_600_000);
    await vi.advanceTimersByTimeAsync(2_000);
    vi.setSystemTime(Date.now() - 7_200_000);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(producer.failure).toBeUndefined();
    broker.partition('t', 0).leader = 1;
    await settled(producer.flush());
    expect(broker.log('t', 0)).toEqual(['0']);
  });

  test('while nothing waits there is no timer', async () => {
    await start();
    const before = vi.getTimerCount();
    send('0');
    expect(vi.getTimerCount()).toBeGreaterThan(before);
    await settled(producer.flush());
    expect(vi.getTimerCount()).toBe(before);
  });
});

describe('discard', () => {
  test('drops what is open, ready, in flight and unrouted, and goes on under a new id', async () => {
    await start();
    send('0');
    await settled(producer.flush());
    const before = broker.seen[0]!.producerId;
    broker.onRequest = () => 'hangs';
    for (let i = 0; i < 10; i++) send(`lost ${i}`);
    send('lost', { topic: 'unknown' });
    await vi.advanceTimersByTimeAsync(5);
    send('lost, open');
    producer.discard();
    expect([producer.bufferedBytes, producer.ackedOffset('t', 0), broker.resets]).toEqual([0, -1, 1]);
    broker.onRequest = () => 'answered';
    broker.create('unknown', 1);
    send('1');
    send('2', { topic: 'unknown' });
    await settled(producer.flush());
    await vi.advanceTimersByTimeAsync(60_000);
    expect([broker.log('t', 0), broker.log('unknown', 0)]).toEqual([['0', '1'], ['2']]);
    const after = broker.seen.filter(({ values }) => values[0] === '1').map(({ producerId }) => producerId);
    expect(after).not.toContain(before);
    expect(producer.ackedOffset('t', 0)).toBe(2);
  });

  test('nothing goes before the new id was got', async () => {
    await start();
    broker.metadataDelayMs = Number.POSITIVE_INFINITY;
    producer.discard();
    send('0');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(broker.seen).toEqual([]);
  });

  test('whoever waits is told, and may try again', async () => {
    await start({ bufferBytes: 10 });
    broker.onRequest = () => 'hangs';
    send('lost');
    const waiting = [producer.flush(), producer.drained()];
    producer.discard();
    for (const promise of waiting)
      await expect(promise).rejects.toMatchObject({ code: 'MILLRACE_KAFKA_DISCARDED', retriable: true });
    expect(producer.failure).toBeUndefined();
    broker.onRequest = () => 'answered';
    send('0');
    await settled(producer.flush());
    expect(broker.log('t', 0)).toEqual(['0']);
  });

  test('an answer to what went out before it says nothing', async () => {
    await start();
    broker.reset = () => void broker.resets++;
    broker.delayMs = () => 500;
    send('before');
    await vi.advanceTimersByTimeAsync(1);
    producer.discard();
    expect(producer.bufferedBytes).toBe(0);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([broker.log('t', 0), producer.ackedOffset('t', 0), producer.bufferedBytes]).toEqual([['before'], -1, 0]);
    send('after');
    await settled(producer.flush());
    expect(producer.ackedOffset('t', 0)).toBe(2);
  });

  test('the delivery time-out of what was dropped does not come', async () => {
    await start({ deliveryTimeoutMs: 10_000 });
    broker.partition('t', 0).leader = -1;
    await settled(producer.prepare(['t']));
    send('lost');
    producer.discard();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(producer.failure).toBeUndefined();
  });
});

describe('a topic that grows', () => {
  test('routing and partitionCount say the same, and change together once the metadata shows it', async () => {
    await start({ metadataMaxAgeMs: 60_000 });
    send('0', { partition: 1 });
    broker.grow('t', 4);
    // Another user of the same cluster looks: the producer has not taken it over yet.
    await settled(broker.refresh(['t']));
    const keyed = (): void => {
      const key = Buffer.from('k3');
      producer.send('t', -1, Date.now(), key, 0, key.length, key, 0, key.length, []);
    };
    expect(producer.partitionCount('t')).toBe(2);
    expect(() => send('x', { partition: 3 })).toThrow(/t-3, but the topic has 2 partitions/);
    await vi.advanceTimersByTimeAsync(60_001);
    expect(producer.partitionCount('t')).toBe(4);
    send('1', { partition: 3 });
    keyed();
    await settled(producer.flush());
    expect(broker.log('t', 1)).toEqual(['0']);
    expect(broker.log('t', 3)).toContain('1');
    expect([0, 1, 2, 3].flatMap((p) => broker.log('t', p)).filter((v) => v === 'k3')).toHaveLength(1);
  });

  test('created again with fewer: new records go there, those of partitions that are gone time out', async () => {
    await start({ metadataMaxAgeMs: 1_000, deliveryTimeoutMs: 30_000 });
    broker.partition('t', 1).leader = -1;
    await settled(producer.prepare(['t']));
    send('stays', { partition: 1 });
    broker.create('t', 1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(producer.partitionCount('t')).toBe(1);
    send('0');
    await vi.advanceTimersByTimeAsync(100);
    expect(broker.log('t', 0)).toEqual(['0']);
    await expect(settled(producer.flush())).rejects.toMatchObject({
      code: 'MILLRACE_KAFKA_DELIVERY_TIMEOUT',
      partition: 1,
    });
  });
});

test('an option that is undefined counts as absent', async () => {
  await start({ batchBytes: undefined, lingerMs: undefined, bufferBytes: undefined } as unknown as ProducerOptions);
  send('0');
  expect(producer.isFull).toBe(false);
  await vi.advanceTimersByTimeAsync(10);
  expect(broker.seen).toEqual([]);
  await vi.advanceTimersByTimeAsync(20);
  expect(broker.log('t', 0)).toEqual(['0']);
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, 1.5])(
  'the timestamp %d is refused, and nothing else is lost',
  async (timestamp) => {
    await start({ batchBytes: 1000 });
    send('0');
    expect(() => send('x', { timestamp })).toThrow(
      expect.objectContaining({ code: 'MILLRACE_KAFKA_INVALID_TIMESTAMP' }),
    );
    send('1');
    await settled(producer.flush());
    expect(broker.log('t', 0)).toEqual(['0', '1']);
  },
);

test('a header that cannot be written takes nothing with it', async () => {
  await start({ batchBytes: 1000 });
  send('0');
  for (const header of [
    { key: undefined, value: null },
    { key: 'k', value: 17 },
  ])
    expect(() => producer.send('t', 0, 1, NOTHING, 0, -1, NOTHING, 0, 0, [header as never])).toThrow();
  send('1');
  await settled(producer.flush());
  expect(broker.log('t', 0)).toEqual(['0', '1']);
});

test('close leaves no timer', async () => {
  await start();
  broker.partition('t', 0).leader = -1;
  await settled(producer.prepare(['t']));
  send('0');
  send('1', { topic: 'unknown' });
  await vi.advanceTimersByTimeAsync(500);
  await producer.close();
  await vi.advanceTimersByTimeAsync(0);
  expect(vi.getTimerCount()).toBe(0);
});
