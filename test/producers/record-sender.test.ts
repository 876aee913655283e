/** Waiting for room: in order, for so long, and not past the end. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { DeliveryListener, Producer } from '../../src/kafka/index.ts';
import { RecordSender, type SentRecord } from '../../src/producers/record-sender.ts';
import { useVirtualTime } from '../support/virtual-time.ts';

/** A producer whose buffer a test fills and empties. */
class FakeProducer implements Pick<Producer, 'send' | 'isFull' | 'drained'> {
  isFull = false;
  /** After so many records. */
  room = Number.POSITIVE_INFINITY;
  closed: Error | undefined;
  readonly sent: string[] = [];
  readonly listeners: (DeliveryListener | undefined)[] = [];
  drains = 0;
  #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];

  send(...[, , , , , keyLength, value, , , , listener]: Parameters<Producer['send']>): void {
    if (this.closed !== undefined) throw this.closed;
    this.sent.push(String(value.subarray(keyLength)));
    this.listeners.push(listener);
    if (--this.room <= 0) this.isFull = true;
  }

  drained(): Promise<void> {
    this.drains++;
    if (this.closed !== undefined) return Promise.reject(this.closed);
    if (!this.isFull) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Has room for so many; whoever waits is told in the next turn. */
  empty(room: number): void {
    this.isFull = false;
    this.room = room;
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  close(): void {
    this.closed = Object.assign(new Error('closed'), { code: 'MILLRACE_KAFKA_PRODUCER_CLOSED' });
    for (const { reject } of this.#waiting.splice(0)) reject(this.closed);
  }
}

let producer: FakeProducer;
let sender: RecordSender;
let outcomes: string[];

beforeEach(() => {
  useVirtualTime();
  producer = new FakeProducer();
  sender = new RecordSender({ producer, maxBlockMs: 1_000 });
  outcomes = [];
});
afterEach(() => {
  vi.useRealTimers();
});

function send(value: string): void {
  const record: SentRecord = {
    kind: 'metric',
    index: undefined,
    input: {} as never,
    delivered: ({ offset }) => void outcomes.push(`${value}@${offset}`),
    failed: ({ code }) => void outcomes.push(`${value} ${code.replace('MILLRACE_PRODUCERS_', '')}`),
  };
  sender.send(record, { topic: 't', timestamp: 1, bytes: Buffer.from(`k${value}`), keyLength: 1 });
}
const turn = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

test('what comes while others wait goes behind them, though there is room at that moment', async () => {
  producer.isFull = true;
  send('0');
  send('1');
  producer.empty(100);
  send('2');
  expect(producer.sent).toEqual([]);
  await turn();
  expect(producer.sent).toEqual(['0', '1', '2']);
  send('3');
  expect(producer.sent).toHaveLength(4);
});

test('no more go than there is room for', async () => {
  producer.isFull = true;
  for (let i = 0; i < 10; i++) send(String(i));
  for (const expected of [3, 6, 9]) {
    producer.empty(3);
    await turn();
    expect(producer.sent).toHaveLength(expected);
  }
  producer.empty(3);
  await turn();
  expect(producer.sent).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
});

test('each waits for so long since its own call, and no timer is left', async () => {
  producer.isFull = true;
  send('0');
  await vi.advanceTimersByTimeAsync(600);
  send('1');
  send('2');
  await vi.advanceTimersByTimeAsync(399);
  expect(outcomes).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(outcomes).toEqual(['0 BUFFER_FULL']);
  await vi.advanceTimersByTimeAsync(600);
  expect(outcomes).toEqual(['0 BUFFER_FULL', '1 BUFFER_FULL', '2 BUFFER_FULL']);
  expect(vi.getTimerCount()).toBe(0);
  send('again');
  await vi.advanceTimersByTimeAsync(1_000);
  expect(outcomes.at(-1)).toBe('again BUFFER_FULL');
  producer.empty(1);
  await turn();
  send('3');
  send('4');
  producer.empty(100);
  await turn();
  expect(producer.sent).toEqual(['3', '4']);
  expect(vi.getTimerCount()).toBe(0);
});

test('what waits when the producer is closed is told so', async () => {
  producer.isFull = true;
  send('0');
  send('1');
  producer.close();
  await turn();
  expect(outcomes).toEqual(['0 DISCONNECTED', '1 DISCONNECTED']);
  expect(vi.getTimerCount()).toBe(0);
});

test('a flush counts what was sent before it, waits for that only, and sends what lingers again as room is made', async () => {
  producer.room = 1;
  send('0');
  send('1');
  const first = sender.flush(Number.POSITIVE_INFINITY);
  const second = sender.flush(100);
  send('2');
  await vi.advanceTimersByTimeAsync(100);
  expect(await second).toBe(2);
  producer.empty(100);
  const before = producer.drains;
  await turn();
  expect(producer.drains).toBeGreaterThan(before);
  producer.listeners[0]!.delivered(0, 10);
  producer.listeners[2]!.delivered(0, 12);
  let isDone = false;
  void first.then(() => {
    isDone = true;
  });
  await turn();
  expect(isDone).toBe(false);
  producer.listeners[1]!.delivered(0, 11);
  expect(await first).toBe(0);
  expect(outcomes).toEqual(['0@10', '2@12', '1@11']);
  expect(await sender.flush(0)).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

test('many that wait go in order', async () => {
  producer.isFull = true;
  for (let i = 0; i < 500; i++) send(String(i));
  while (producer.sent.length < 500) {
    producer.empty(17);
    await turn();
  }
  expect(producer.sent).toEqual(Array.from({ length: 500 }, (_, i) => String(i)));
});
