/**
 * Whatever becomes of single requests and batches, each partition's log has every record once and in order. Where a broker
 * forgets a producer whose last batch may have been written, that cannot be: here it forgets what was acknowledged.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ErrorCode, Producer } from '../../src/kafka/index.ts';
import { REMEMBERED_MS } from '../../src/kafka/producer-partition.ts';
import { type BatchOutcome, ModelBroker, type RequestOutcome } from '../support/model-broker.ts';
import { settled, useVirtualTime } from '../support/virtual-time.ts';

type Step =
  | { readonly kind: 'send'; readonly partition: number; readonly count: number; readonly isOld: boolean }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'flush' }
  | { readonly kind: 'quiet' }
  | { readonly kind: 'move'; readonly partition: number; readonly leader: number; readonly forgets: boolean };

type BatchFault = Exclude<BatchOutcome, undefined> | 'fine';

const PARTITIONS = 3;
const partition = fc.nat({ max: PARTITIONS - 1 });

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      partition,
      count: fc.integer({ min: 1, max: 6 }),
      isOld: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 600 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'flush' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'quiet' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('move' as const),
      partition,
      leader: fc.constantFrom(1, 2, -1),
      forgets: fc.boolean(),
    }),
  },
);

const requestFault = fc.oneof(
  { weight: 8, arbitrary: fc.constant<RequestOutcome>('answered') },
  { weight: 3, arbitrary: fc.constantFrom<RequestOutcome>('lost-before', 'lost-after', 'hangs', 'late') },
);
const batchFault = fc.oneof(
  { weight: 8, arbitrary: fc.constant<BatchFault>('fine') },
  {
    weight: 4,
    arbitrary: fc.constantFrom<BatchFault>(
      { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER },
      { errorCode: ErrorCode.NOT_ENOUGH_REPLICAS },
      { errorCode: ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND, append: true },
      { errorCode: ErrorCode.REQUEST_TIMED_OUT, append: true },
      'forgotten',
    ),
  },
);

beforeEach(() => {
  useVirtualTime();
  vi.setSystemTime(1_700_000_000_000);
  // Of the backoff's jitter: a seed finds the same again.
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

test('every record once and in order, through refusals, lost answers, splits, forgotten producers and moved leaders', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.array(requestFault, { maxLength: 40 }),
      fc.array(batchFault, { maxLength: 60 }),
      fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 40 }),
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 4 }),
      run,
    ),
    { numRuns: 300 },
  );
}, 120_000);

async function run(
  steps: readonly Step[],
  requestFaults: readonly RequestOutcome[],
  batchFaults: readonly BatchFault[],
  delays: readonly number[],
  batchBytes: number,
  mostRecords: number,
): Promise<void> {
  const broker = new ModelBroker();
  broker.create('t', PARTITIONS);
  broker.requestTimeoutMs = 500;
  const producer = new Producer(broker, { batchBytes, lingerMs: 5, deliveryTimeoutMs: 1e9 });
  await settled(producer.start());
  await settled(producer.prepare(['t']));
  const [requests, batches, waits] = [[...requestFaults], [...batchFaults], [...delays]];
  broker.onRequest = () => requests.shift() ?? 'answered';
  broker.delayMs = () => waits.shift() ?? 1;
  const isAcknowledged = (at: number): boolean => {
    const { log, acknowledged } = broker.partition('t', at);
    return log.every((value) => acknowledged.has(value));
  };
  broker.onBatch = ({ partition: at, values }) => {
    if (values.length > mostRecords) return { errorCode: ErrorCode.MESSAGE_TOO_LARGE };
    const fault = batches.shift() ?? 'fine';
    if (fault === 'fine' || (fault === 'forgotten' && !isAcknowledged(at))) return undefined;
    return fault;
  };
  const expected: string[][] = Array.from({ length: PARTITIONS }, () => []);
  const flushes: Promise<unknown>[] = [];
  for (const step of steps) {
    if (step.kind === 'send') {
      const timestamp = step.isOld ? 1 : Date.now();
      for (let i = 0; i < step.count; i++) send(producer, step.partition, timestamp, expected[step.partition]!);
    } else if (step.kind === 'wait') await vi.advanceTimersByTimeAsync(step.ms);
    else if (step.kind === 'flush') flushes.push(producer.flush());
    else if (step.kind === 'quiet') {
      await vi.advanceTimersByTimeAsync(1_000);
      if (producer.bufferedBytes > 0 || broker.late > 0) continue;
      vi.setSystemTime(Date.now() + REMEMBERED_MS + 1);
      for (let at = 0; at < PARTITIONS; at++) broker.partition('t', at).producers.clear();
    } else {
      const moved = broker.partition('t', step.partition);
      moved.leader = step.leader;
      if (step.forgets && producer.bufferedBytes === 0 && broker.late === 0) moved.producers.clear();
    }
  }
  for (let at = 0; at < PARTITIONS; at++) broker.partition('t', at).leader = 1;
  await settled(Promise.all([...flushes, producer.flush()]));
  const logs = expected.map((_, at) => broker.log('t', at));
  await producer.close();
  expect(logs).toEqual(expected);
}

function send(producer: Producer, at: number, timestamp: number, sent: string[]): void {
  const value = String(sent.length);
  sent.push(value);
  const bytes = Buffer.from(value);
  producer.send('t', at, timestamp, bytes, 0, -1, bytes, 0, bytes.length, []);
}
