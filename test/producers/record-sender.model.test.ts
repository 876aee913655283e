/**
 * Random sends, failures and flushes in virtual time: each record is told of once; what is told to be delivered is on the
 * log once, where and in the order that it was sent; what is not is there once at most, and not at all where that is
 * certain. A flush counts what was sent before and is on its way still; the buffer grows by no more than a record over its
 * bound.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ErrorCode, Producer } from '../../src/kafka/index.ts';
import type { DeliveredRecord, DeliveryError } from '../../src/producers/index.ts';
import { RecordSender } from '../../src/producers/record-sender.ts';
import { type BatchOutcome, ModelBroker, type RequestOutcome } from '../support/model-broker.ts';
import { settled, useVirtualTime } from '../support/virtual-time.ts';

type Step =
  | { readonly kind: 'send'; readonly key: number; readonly count: number; readonly fits: boolean }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'flush'; readonly ms: number }
  | { readonly kind: 'leader'; readonly partition: number; readonly leader: number };

const PARTITIONS = 2;
const BUFFER_BYTES = 400;
const RECORD_BYTES = 200;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      key: fc.nat({ max: 3 }),
      count: fc.integer({ min: 1, max: 12 }),
      fits: fc.integer({ min: 0, max: 7 }).map((n) => n > 0),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 2_000 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('flush' as const), ms: fc.integer({ min: 0, max: 1_000 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('leader' as const),
      partition: fc.nat({ max: PARTITIONS - 1 }),
      leader: fc.constantFrom(1, 2, -1),
    }),
  },
);
const requestFault = fc.oneof(
  { weight: 6, arbitrary: fc.constant<RequestOutcome>('answered') },
  { weight: 4, arbitrary: fc.constantFrom<RequestOutcome>('lost-before', 'lost-after', 'hangs', 'late') },
);
const batchFault = fc.oneof(
  { weight: 6, arbitrary: fc.constant<BatchOutcome>(undefined) },
  {
    weight: 4,
    arbitrary: fc.constantFrom<BatchOutcome>(
      { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER },
      { errorCode: ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND, append: true },
      { errorCode: ErrorCode.TOPIC_AUTHORIZATION_FAILED },
      'forgotten',
    ),
  },
);

beforeEach(() => {
  useVirtualTime();
  vi.setSystemTime(1_700_000_000_000);
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

test('each record is delivered once, in order, or its promise is rejected', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 30 }),
      fc.array(requestFault, { maxLength: 40 }),
      fc.array(batchFault, { maxLength: 40 }),
      fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 30 }),
      fc.integer({ min: 1, max: 200 }),
      fc.boolean(),
      run,
    ),
    { numRuns: 100 },
  );
}, 120_000);

interface Sent {
  readonly value: string;
  readonly outcomes: (DeliveredRecord | DeliveryError)[];
}

class Run {
  readonly broker = new ModelBroker();
  readonly sent: Sent[] = [];
  readonly flushes: Promise<void>[] = [];
  readonly producer: Producer;
  readonly sender: RecordSender;

  constructor(batchBytes: number) {
    this.broker.requestTimeoutMs = 500;
    this.producer = new Producer(this.broker, {
      batchBytes,
      lingerMs: 5,
      bufferBytes: BUFFER_BYTES,
      deliveryTimeoutMs: 2_000,
      unknownTopicTimeoutMs: 1_000,
      afterFailure: 'goOn',
    });
    this.sender = new RecordSender({ producer: this.producer, maxBlockMs: 1_500 });
  }

  send(key: number, fits: boolean): void {
    const value = `${fits ? '' : 'large'}${this.sent.length}`;
    const record: Sent = { value, outcomes: [] };
    this.sent.push(record);
    const bytes = Buffer.concat([Buffer.from(`k${key}`), Buffer.from(value)]);
    const outcome = {
      delivered: (where: DeliveredRecord) => void record.outcomes.push(where),
      failed: (error: DeliveryError) => void record.outcomes.push(error),
    };
    const encoded = { topic: 't', timestamp: Date.now(), bytes, keyLength: 2 };
    this.sender.send({ kind: 'metric', index: undefined, input: {} as never, ...outcome }, encoded);
    expect(this.producer.bufferedBytes).toBeLessThanOrEqual(BUFFER_BYTES + RECORD_BYTES);
  }

  flush(ms: number): void {
    const before = [...this.sent];
    const count = this.sender.flush(ms).then((left) => {
      const open = before.filter(({ outcomes }) => outcomes.length === 0).length;
      expect(left).toBe(open);
    });
    this.flushes.push(count);
  }
}

async function run(
  steps: readonly Step[],
  requestFaults: readonly RequestOutcome[],
  batchFaults: readonly BatchOutcome[],
  delays: readonly number[],
  batchBytes: number,
  isThere: boolean,
): Promise<void> {
  const one = new Run(batchBytes);
  const { broker, producer, sender } = one;
  const [requests, batches, waits] = [[...requestFaults], [...batchFaults], [...delays]];
  broker.onRequest = () => requests.shift() ?? 'answered';
  broker.delayMs = () => waits.shift() ?? 1;
  broker.onBatch = ({ values }) =>
    values.some((value) => value.startsWith('large')) ? { errorCode: ErrorCode.MESSAGE_TOO_LARGE } : batches.shift();
  if (isThere) broker.create('t', PARTITIONS);
  await settled(producer.start());
  for (const step of steps) {
    if (step.kind === 'send') for (let i = 0; i < step.count; i++) one.send(step.key, step.fits || i > 0);
    else if (step.kind === 'wait') await vi.advanceTimersByTimeAsync(step.ms);
    else if (step.kind === 'flush') one.flush(step.ms);
    else if (broker.topics.has('t')) broker.partition('t', step.partition).leader = step.leader;
  }
  if (!isThere) broker.create('t', PARTITIONS);
  for (let at = 0; at < PARTITIONS; at++) broker.partition('t', at).leader = 1;
  await settled(Promise.all(one.flushes));
  const left = await settled(sender.flush(Number.POSITIVE_INFINITY));
  // A request that hung, and one that comes late.
  await vi.advanceTimersByTimeAsync(2_000);
  const { bufferedBytes } = producer;
  await producer.close();
  expect([left, bufferedBytes, broker.late]).toEqual([0, 0, 0]);
  check(one);
}

function check({ broker, sent }: Run): void {
  const last = new Array<number>(PARTITIONS).fill(-1);
  const logs = last.map((_, at) => broker.log('t', at));
  for (const { value, outcomes } of sent) {
    expect(outcomes, value).toHaveLength(1);
    const outcome = outcomes[0]!;
    const places = logs.flatMap((log, at) => log.flatMap((other, i) => (other === value ? [[at, i]] : [])));
    if ('code' in outcome) {
      expect(places.length, `${value} ${outcome.message}`).toBeLessThanOrEqual(outcome.mayBeWritten ? 1 : 0);
      continue;
    }
    const { partition, offset } = outcome;
    expect(places, value).toEqual([[partition, offset]]);
    expect(offset).toBeGreaterThan(last[partition]!);
    last[partition] = offset;
  }
}
