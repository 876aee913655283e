/** What becomes of single records is told, and a producer that goes on after failures gives up no more than it must. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { DeliveryListener } from '../../src/kafka/delivery-listener.ts';
import {
  ErrorCode,
  KafkaConnectionError,
  KafkaError,
  KafkaProtocolError,
  Producer,
  type ProducerOptions,
} from '../../src/kafka/index.ts';
import { ModelBroker } from '../support/model-broker.ts';
import { settled, useVirtualTime } from '../support/virtual-time.ts';

vi.mock('../../src/kafka/compression/index.ts', async (original) => {
  const { compress, ...others } = await original<typeof import('../../src/kafka/compression/index.ts')>();
  const refusing = vi.fn(compress);
  return { ...others, compress: refusing };
});
const { compress } = await import('../../src/kafka/compression/index.ts');

let broker: ModelBroker;
let producer: Producer;
/** What was told of each record, by its value. */
let told: Map<string, string>;
const NOTHING = Buffer.alloc(0);

beforeEach(() => {
  useVirtualTime();
  vi.setSystemTime(1_700_000_000_000);
  broker = new ModelBroker();
  broker.create('t', 2);
  told = new Map();
});
afterEach(async () => {
  await producer.close();
  vi.useRealTimers();
});

/** Each record is a batch of its own, unless the options say otherwise. */
async function start(options: ProducerOptions = {}): Promise<void> {
  const defaults = { batchBytes: 1, lingerMs: 0, deliveryTimeoutMs: 10_000, afterFailure: 'goOn' } as const;
  producer = new Producer(broker, { ...defaults, ...options });
  await settled(producer.start());
  await settled(producer.prepare(['t']));
}

function send(value: string, { topic = 't', partition = 0 } = {}): void {
  const bytes = Buffer.from(value);
  producer.send(topic, partition, Date.now(), NOTHING, 0, -1, bytes, 0, bytes.length, [], listener(value));
}

function listener(value: string): DeliveryListener {
  const tell = (what: string): void => {
    expect(told.get(value)).toBeUndefined();
    told.set(value, what);
  };
  return {
    delivered: (partition, offset) => tell(`${partition}@${offset}`),
    failed: ({ code }, partition, mayBeWritten) =>
      tell(
        `${code.replace('MILLRACE_KAFKA_', '')}${partition === undefined ? '' : ` ${partition}`}${mayBeWritten ? ' ?' : ''}`,
      ),
  };
}

const outcomes = (): Record<string, string> => Object.fromEntries(told);
const flushed = (): Promise<void> => settled(producer.flush());

describe('an acknowledgement', () => {
  test('tells each record its partition and offset, also behind records that nobody asks for', async () => {
    await start({ batchBytes: 10_000, compression: 'gzip' });
    send('a');
    producer.send('t', 0, 1, NOTHING, 0, -1, NOTHING, 0, 0, []);
    send('b');
    send('c', { partition: 1 });
    await flushed();
    expect(outcomes()).toEqual({ a: '0@0', b: '0@2', c: '1@0' });
  });

  test('of a batch that was split', async () => {
    await start({ batchBytes: 10_000 });
    broker.onBatch = ({ values }) => (values.length > 2 ? { errorCode: ErrorCode.MESSAGE_TOO_LARGE } : undefined);
    for (const value of ['0', '1', '2', '3', '4']) send(value);
    await flushed();
    expect(outcomes()).toEqual({ 0: '0@0', 1: '0@1', 2: '0@2', 3: '0@3', 4: '0@4' });
  });

  test('of a repetition whose place the broker does not say', async () => {
    await start();
    broker.onBatch = () => ({ errorCode: ErrorCode.DUPLICATE_SEQUENCE_NUMBER, append: true });
    send('a');
    await flushed();
    expect(outcomes()).toEqual({ a: '0@-1' });
  });

  test('of records that waited for their topic', async () => {
    await start();
    send('a', { topic: 'late' });
    await vi.advanceTimersByTimeAsync(1_000);
    broker.create('late', 1);
    await flushed();
    expect(outcomes()).toEqual({ a: '0@0' });
  });
});

describe('a record that the broker refuses', () => {
  test('is given up alone: those before and behind it are written in order', async () => {
    await start();
    send('0');
    await flushed();
    broker.onBatch = ({ values }) => (values[0] === '2' ? { errorCode: ErrorCode.MESSAGE_TOO_LARGE } : undefined);
    for (const value of ['1', '2', '3', '4']) send(value);
    await flushed();
    expect(outcomes()).toEqual({ 0: '0@0', 1: '0@1', 2: 'RECORD_REFUSED 0', 3: '0@2', 4: '0@3' });
    expect(broker.log('t', 0)).toEqual(['0', '1', '3', '4']);
    expect(producer.failure).toBeUndefined();
    expect(broker.warnings).toEqual([]);
  });

  test.each([ErrorCode.INVALID_TIMESTAMP, ErrorCode.INVALID_RECORD])(
    'takes the others of its batch with it only where that is of the batch (error %i is not)',
    async (errorCode) => {
      await start({ batchBytes: 10_000 });
      broker.onBatch = ({ values }) => (values.includes('bad') ? { errorCode } : undefined);
      for (const value of ['0', '1', 'bad', '2', '3', '4']) send(value);
      await flushed();
      expect(broker.log('t', 0)).toEqual(['0', '1', '2', '3', '4']);
      expect(told.get('bad')).toBe('RECORD_REFUSED 0');
      expect([...told.values()].filter((what) => what.includes('@'))).toHaveLength(5);
      broker.onBatch = () => ({ errorCode: ErrorCode.TOPIC_AUTHORIZATION_FAILED });
      send('5');
      send('6');
      await flushed();
      expect([told.get('5'), told.get('6')]).toEqual(['RECORD_REFUSED 0', 'RECORD_REFUSED 0']);
    },
  );

  test('by an error that leaves it open may be written', async () => {
    await start();
    broker.onBatch = () => ({ errorCode: ErrorCode.UNKNOWN_SERVER_ERROR, append: true });
    send('a');
    await flushed();
    expect(outcomes()).toEqual({ a: 'RECORD_REFUSED 0 ?' });
  });
});

describe('the delivery time-out', () => {
  test('gives up what waits in a partition without a leader, and the partition works when it has one', async () => {
    await start();
    send('0');
    await flushed();
    broker.partition('t', 0).leader = -1;
    await settled(producer.prepare(['t']));
    send('1');
    await vi.advanceTimersByTimeAsync(6_000);
    send('2');
    send('other', { partition: 1 });
    await vi.advanceTimersByTimeAsync(6_000);
    expect(outcomes()).toEqual({ 0: '0@0', 1: 'DELIVERY_TIMEOUT 0', other: '1@0' });
    broker.partition('t', 0).leader = 1;
    await flushed();
    send('3');
    await flushed();
    expect(outcomes()).toMatchObject({ 2: '0@1', 3: '0@2' });
    expect(broker.log('t', 0)).toEqual(['0', '2', '3']);
  });

  test('of what is in flight leaves open whether it is written; what follows goes on once that is settled', async () => {
    await start();
    send('0');
    await flushed();
    broker.requestTimeoutMs = 15_000;
    broker.onRequest = () => 'hangs';
    send('1');
    await vi.advanceTimersByTimeAsync(11_500);
    expect(told.get('1')).toBe('DELIVERY_TIMEOUT 0 ?');
    expect(producer.bufferedBytes).toBeGreaterThan(0);
    broker.onRequest = () => 'answered';
    await vi.advanceTimersByTimeAsync(4_000);
    expect(producer.bufferedBytes).toBe(0);
    send('2');
    await flushed();
    expect(broker.log('t', 0)).toEqual(['0', '2']);
    expect(told.get('2')).toBe('0@1');
  });

  test('where it was written after all, the next goes on under the same id', async () => {
    await start();
    send('0');
    await flushed();
    broker.requestTimeoutMs = 500;
    broker.onRequest = () => 'lost-after';
    send('1');
    await vi.advanceTimersByTimeAsync(12_000);
    expect(told.get('1')).toBe('DELIVERY_TIMEOUT 0 ?');
    broker.onRequest = () => 'answered';
    send('2');
    await flushed();
    expect(broker.log('t', 0)).toEqual(['0', '1', '2']);
    expect(new Set(broker.seen.map(({ producerId }) => producerId)).size).toBe(1);
  });

  test('what is written behind what was given up is recognised, and not written again', async () => {
    await start({ deliveryTimeoutMs: 20_000 });
    send('0');
    await flushed();
    broker.delayMs = () => 8_000;
    broker.onBatch = () => ({ errorCode: ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND, append: true });
    send('1');
    await vi.advanceTimersByTimeAsync(6_000);
    send('2');
    await vi.advanceTimersByTimeAsync(10_500);
    expect(broker.log('t', 0)).toEqual(['0', '1', '2']);
    broker.delayMs = () => 1;
    broker.onBatch = () => ({ errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(outcomes()).toEqual({ 0: '0@0', 1: 'DELIVERY_TIMEOUT 0 ?' });
    broker.onBatch = () => undefined;
    send('3');
    await flushed();
    expect(outcomes()).toMatchObject({ 2: '0@2', 3: '0@3' });
    expect(broker.log('t', 0)).toEqual(['0', '1', '2', '3']);
  });

  test('of what never went out is no doubt: broker away for longer than that, then the partition goes on', async () => {
    await start();
    send('0');
    await flushed();
    const answer = broker.send.bind(broker);
    broker.send = () => Promise.reject(new KafkaConnectionError('nobody listens'));
    send('1');
    await vi.advanceTimersByTimeAsync(8_000);
    send('2');
    await vi.advanceTimersByTimeAsync(4_000);
    expect(outcomes()).toEqual({ 0: '0@0', 1: 'DELIVERY_TIMEOUT 0' });
    broker.send = answer;
    await flushed();
    expect(told.get('2')).toBe('0@1');
    expect(broker.log('t', 0)).toEqual(['0', '2']);
  });

  test('counts for each record of an unknown topic by itself', async () => {
    await start();
    send('1', { topic: 'unknown' });
    await vi.advanceTimersByTimeAsync(6_000);
    send('2', { topic: 'unknown' });
    await vi.advanceTimersByTimeAsync(6_000);
    expect(outcomes()).toEqual({ 1: 'DELIVERY_TIMEOUT' });
    broker.create('unknown', 1);
    await flushed();
    expect(outcomes()).toEqual({ 1: 'DELIVERY_TIMEOUT', 2: '0@0' });
  });
});

describe('a topic', () => {
  test('that does not exist for as long as is waited: its records are given up, later ones are looked up anew', async () => {
    await start({ unknownTopicTimeoutMs: 2_000 });
    send('1', { topic: 'unknown' });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(outcomes()).toEqual({ 1: 'PROTOCOL' });
    expect(producer.bufferedBytes).toBe(0);
    broker.create('unknown', 1);
    send('2', { topic: 'unknown' });
    await flushed();
    expect(told.get('2')).toBe('0@0');
  });

  test('that may not be used is told at once; others go on', async () => {
    await start();
    broker.denied.add('secret');
    send('1', { topic: 'secret' });
    send('2');
    await flushed();
    expect(outcomes()).toEqual({ 1: 'PROTOCOL', 2: '0@0' });
  });

  test('whose partitions are too few for a record that waited for them: it alone is given up', async () => {
    await start();
    send('1', { topic: 'late', partition: 7 });
    send('2', { topic: 'late' });
    broker.create('late', 1);
    await flushed();
    expect(outcomes()).toEqual({ 1: 'NO_SUCH_PARTITION', 2: '0@0' });
  });
});

describe('a new producer id', () => {
  beforeEach(async () => {
    await start();
    send('0');
    await flushed();
  });

  test('that cannot be got: what waits for it is given up, and what comes asks again', async () => {
    const answer = broker.sendToAny.bind(broker);
    broker.sendToAny = () =>
      Promise.reject(new KafkaProtocolError(ErrorCode.CLUSTER_AUTHORIZATION_FAILED, 'Getting a producer id'));
    let isLost = true;
    broker.onBatch = () => (isLost ? 'forgotten' : undefined);
    send('1');
    await flushed();
    expect(told.get('1')).toBe('PROTOCOL 0');
    broker.sendToAny = answer;
    isLost = false;
    send('2');
    await flushed();
    expect(outcomes()).toMatchObject({ 2: '0@1' });
    expect(broker.log('t', 0)).toEqual(['0', '2']);
  });

  test('is not for what may be written: that would be written twice', async () => {
    broker.onRequest = () => 'lost-after';
    send('1');
    await vi.advanceTimersByTimeAsync(5);
    broker.onRequest = () => 'answered';
    broker.onBatch = ({ producerId }) => (producerId === 1 ? 'forgotten' : undefined);
    send('2');
    await flushed();
    expect(broker.log('t', 0)).toEqual(['0', '1', '2']);
    expect(outcomes()).toMatchObject({ 1: 'OUTCOME_UNKNOWN 0 ?', 2: '0@2' });
  });
});

test('an answer that cannot be read: the records of its request are given up, the next ones go', async () => {
  await start();
  const answer = broker.send.bind(broker);
  broker.send = (_, request) => {
    request.parts!();
    return Promise.reject(new KafkaError('MILLRACE_KAFKA_MALFORMED_RESPONSE', 'cut off'));
  };
  send('1');
  await flushed();
  expect(outcomes()).toEqual({ 1: 'MALFORMED_RESPONSE 0 ?' });
  broker.send = answer;
  send('2');
  await flushed();
  expect(told.get('2')).toBe('0@0');
});

test('metadata that cannot be read does not stop it', async () => {
  await start();
  send('0');
  await flushed();
  const refresh = broker.refresh.bind(broker);
  broker.refresh = () => Promise.reject(new KafkaError('MILLRACE_KAFKA_MALFORMED_RESPONSE', 'cut off'));
  broker.partition('t', 0).leader = 2;
  send('1');
  await vi.advanceTimersByTimeAsync(1_000);
  broker.refresh = refresh;
  await flushed();
  expect(told.get('1')).toBe('0@1');
});

test('a batch that cannot be compressed is given up alone', async () => {
  await start({ compression: 'gzip', batchBytes: 10_000 });
  vi.mocked(compress).mockImplementationOnce(() => {
    throw new Error('no memory');
  });
  send('1');
  await flushed();
  send('2');
  await flushed();
  expect(outcomes()).toEqual({ 1: 'COMPRESSION 0', 2: '0@0' });
  expect(producer.bufferedBytes).toBe(0);
});

test.each(['discard', 'close'] as const)('%s tells of what is open, ready, in flight and unrouted', async (how) => {
  await start({ batchBytes: 100, lingerMs: 50 });
  send('before');
  await flushed();
  broker.partition('t', 1).leader = -1;
  await settled(producer.prepare(['t']));
  broker.onRequest = () => 'hangs';
  send('x'.repeat(100));
  await vi.advanceTimersByTimeAsync(5);
  send('r'.repeat(100), { partition: 1 });
  send('open');
  send('unrouted', { topic: 'unknown' });
  if (how === 'discard') producer.discard();
  else await producer.close();
  const code = how === 'discard' ? 'DISCARDED' : 'PRODUCER_CLOSED';
  expect(outcomes()).toEqual({
    before: '0@0',
    ['x'.repeat(100)]: `${code} 0 ?`,
    ['r'.repeat(100)]: `${code} 1`,
    open: `${code} 0`,
    unrouted: code,
  });
});

test('a producer that stops at its first failure tells everyone who asks, once', async () => {
  await start({ afterFailure: 'stop' });
  broker.partition('t', 0).leader = -1;
  await settled(producer.prepare(['t']));
  send('1');
  send('2', { topic: 'unknown' });
  await vi.advanceTimersByTimeAsync(12_000);
  expect(outcomes()).toEqual({ 1: 'DELIVERY_TIMEOUT 0', 2: 'DELIVERY_TIMEOUT' });
  expect(producer.failure).toMatchObject({ code: 'MILLRACE_KAFKA_DELIVERY_TIMEOUT' });
});
