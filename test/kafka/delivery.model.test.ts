/**
 * Whatever becomes of single requests and batches, and however long it lasts: each record is told of once. What is told to
 * be written is on the log once, at the offset that is told, in order; what is given up is there once at most, and not at
 * all where that is certain. A broker that forgets a producer silently may write twice: here it does so only while nothing
 * is under way, else it says so.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ErrorCode, type KafkaError, Producer } from '../../src/kafka/index.ts';
import { REMEMBERED_MS } from '../../src/kafka/producer-partition.ts';
import { type BatchOutcome, ModelBroker, type RequestOutcome } from '../support/model-broker.ts';
import { settled, useVirtualTime } from '../support/virtual-time.ts';

type Step =
  | { readonly kind: 'send'; readonly partition: number; readonly count: number; readonly isBad: boolean }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'flush' }
  | { readonly kind: 'move'; readonly partition: number; readonly leader: number; readonly forgets: boolean };

type BatchFault = Exclude<BatchOutcome, undefined> | 'fine';

const PARTITIONS = 3;
const DELIVERY_MS = 2_000;
const partition = fc.nat({ max: PARTITIONS - 1 });

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      partition,
      count: fc.integer({ min: 1, max: 6 }),
      isBad: fc.integer({ min: 0, max: 7 }).map((n) => n === 0),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 3_000 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'flush' as const }) },
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
  { weight: 6, arbitrary: fc.constant<RequestOutcome>('answered') },
  { weight: 4, arbitrary: fc.constantFrom<RequestOutcome>('lost-before', 'lost-after', 'hangs', 'late') },
);
const batchFault = fc.oneof(
  { weight: 6, arbitrary: fc.constant<BatchFault>('fine') },
  {
    weight: 5,
    arbitrary: fc.constantFrom<BatchFault>(
      { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER },
      { errorCode: ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND, append: true },
      { errorCode: ErrorCode.TOPIC_AUTHORIZATION_FAILED },
      { errorCode: ErrorCode.UNKNOWN_SERVER_ERROR, append: true },
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

test('each record is written once, where and in the order that is told, or given up', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.array(requestFault, { maxLength: 60 }),
      fc.array(batchFault, { maxLength: 60 }),
      fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 40 }),
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 4 }),
      run,
    ),
    { numRuns: 200 },
  );
}, 120_000);

interface Sent {
  readonly value: string;
  readonly outcomes: string[];
  offset: number | undefined;
  mayBeWritten: boolean;
}

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
  const options = { batchBytes, lingerMs: 5, deliveryTimeoutMs: DELIVERY_MS, afterFailure: 'goOn' } as const;
  const producer = new Producer(broker, options);
  await settled(producer.start());
  await settled(producer.prepare(['t']));
  const [requests, batches, waits] = [[...requestFaults], [...batchFaults], [...delays]];
  broker.onRequest = () => requests.shift() ?? 'answered';
  broker.delayMs = () => waits.shift() ?? 1;
  broker.onBatch = ({ values }) => {
    if (values.length > mostRecords) return { errorCode: ErrorCode.MESSAGE_TOO_LARGE };
    if (values.some((value) => value.startsWith('bad'))) return { errorCode: ErrorCode.INVALID_TIMESTAMP };
    const fault = batches.shift() ?? 'fine';
    return fault === 'fine' ? undefined : fault;
  };
  const sent: Sent[][] = Array.from({ length: PARTITIONS }, () => []);
  const flushes: Promise<unknown>[] = [];
  for (const step of steps) {
    if (step.kind === 'send') {
      for (let i = 0; i < step.count; i++) send(producer, step.partition, step.isBad && i === 0, sent[step.partition]!);
    } else if (step.kind === 'wait') await vi.advanceTimersByTimeAsync(step.ms);
    else if (step.kind === 'flush') flushes.push(producer.flush());
    else {
      const moved = broker.partition('t', step.partition);
      moved.leader = step.leader;
      if (!step.forgets || producer.bufferedBytes > 0 || broker.late > 0) continue;
      vi.setSystemTime(Date.now() + REMEMBERED_MS + 1);
      for (let at = 0; at < PARTITIONS; at++) broker.partition('t', at).producers.clear();
    }
  }
  for (let at = 0; at < PARTITIONS; at++) broker.partition('t', at).leader = 1;
  await settled(Promise.all([...flushes, producer.flush()]));
  await vi.advanceTimersByTimeAsync(2_000);
  const { bufferedBytes, failure } = producer;
  await producer.close();
  expect([bufferedBytes, failure, broker.late]).toEqual([0, undefined, 0]);
  sent.forEach((records, at) => {
    check(records, broker.log('t', at));
  });
}

function check(records: readonly Sent[], log: readonly string[]): void {
  let last = -1;
  for (const { value, outcomes, offset, mayBeWritten } of records) {
    expect(outcomes, value).toHaveLength(1);
    const places = log.flatMap((other, i) => (other === value ? [i] : []));
    if (outcomes[0] === 'delivered') {
      expect([value, places], `${value} on ${log}`).toEqual([value, [offset! < 0 ? places[0] : offset]]);
      expect(places[0]).toBeGreaterThan(last);
      last = places[0]!;
    } else expect(places.length, `${value}, ${outcomes}, on ${log}`).toBeLessThanOrEqual(mayBeWritten ? 1 : 0);
  }
}

function send(producer: Producer, at: number, isBad: boolean, sent: Sent[]): void {
  const record: Sent = {
    value: `${isBad ? 'bad' : ''}${sent.length}`,
    outcomes: [],
    offset: undefined,
    mayBeWritten: false,
  };
  sent.push(record);
  const bytes = Buffer.from(record.value);
  producer.send('t', at, Date.now(), bytes, 0, -1, bytes, 0, bytes.length, [], {
    delivered: (_, offset) => {
      record.outcomes.push('delivered');
      record.offset = offset;
    },
    failed: ({ code }: KafkaError, _, mayBeWritten) => {
      record.outcomes.push(code);
      record.mayBeWritten = mayBeWritten;
    },
  });
}
