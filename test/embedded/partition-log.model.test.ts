/**
 * A partition under random appends, elections, lost ends, deleted starts and restarts, beside a list of its batches: what is
 * read, where it ends for each epoch and reader, and which sequences are taken, are the list's.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { PartitionLog } from '../../src/embedded/broker/log/partition-log.ts';
import { TopicConfig } from '../../src/embedded/broker/topic-config.ts';
import { RecordBatch } from '../../src/kafka/index.ts';
import { batchOf } from '../support/partition-client.ts';

const root = mkdtempSync(join(tmpdir(), 'millrace-log-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;

interface ModelBatch {
  readonly base: number;
  readonly values: readonly string[];
  readonly epoch: number;
  /** −1: of nobody. */
  readonly producer: number;
  readonly sequence: number;
}

const offset = fc.integer({ min: 0, max: 60 });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('append'),
      producer: fc.integer({ min: -1, max: 2 }),
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('gap'), producer: fc.integer({ min: 0, max: 2 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('repeat'), producer: fc.integer({ min: 0, max: 2 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('lead'), node: fc.integer({ min: -1, max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('hold', 'release', 'restart') }) },
  // Few enough batches that each producer's last five reach over them.
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('truncate'),
      batches: fc.integer({ min: 1, max: 4 }),
      into: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete'), offset }) },
) as fc.Arbitrary<{
  kind: string;
  producer: number;
  count: number;
  node: number;
  batches: number;
  into: boolean;
  offset: number;
}>;

function run(
  steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[],
  folder: string | undefined,
): void {
  const config = new TopicConfig({ 'segment.bytes': '300' });
  const open = (leader: number, epoch: number) =>
    PartitionLog.open({
      topic: 't',
      partition: 0,
      folder,
      leadership: { leader, epoch },
      config: () => config,
      nowMs: () => 1,
    });
  let log = open(1, 0);
  let batches: ModelBatch[] = [];
  let [start, end, epoch, leader] = [0, 0, 0, 1];
  let held: number | undefined;
  /** Of each producer, batches that were not lost; what is deleted at the start counts. */
  let written: ModelBatch[] = [];
  const lastOf = (producer: number) => written.findLast((batch) => batch.producer === producer);
  const nextOf = (producer: number): number => {
    const last = lastOf(producer);
    return last === undefined ? 0 : last.sequence + last.values.length;
  };
  const encode = (producer: number, sequence: number, values: readonly string[]) =>
    batchOf(values, {
      producerId: producer,
      producerEpoch: producer < 0 ? -1 : 0,
      baseSequence: sequence,
      transactional: false,
    });
  for (const [i, move] of steps.entries()) {
    const { producer } = move;
    if (move.kind === 'append') {
      const values = Array.from({ length: move.count }, (_, n) => `${i}.${n}`);
      const sequence = producer < 0 ? -1 : nextOf(producer);
      const result = log.append(encode(producer, sequence, values));
      expect(result).toMatchObject({ errorCode: 0, baseOffset: end, lastOffset: end + values.length - 1 });
      const batch = { base: end, values, epoch, producer, sequence };
      batches.push(batch);
      written.push(batch);
      end += values.length;
    } else if (move.kind === 'gap') {
      if (lastOf(producer) === undefined) continue;
      expect(log.append(encode(producer, nextOf(producer) + 1, ['gap']))).toMatchObject({
        errorCode: 45,
        baseOffset: -1,
      });
    } else if (move.kind === 'repeat') {
      const last = lastOf(producer);
      if (last === undefined) continue;
      const result = log.append(encode(producer, last.sequence, last.values));
      expect(result).toMatchObject({
        errorCode: 0,
        baseOffset: last.base,
        lastOffset: last.base + last.values.length - 1,
      });
    } else if (move.kind === 'lead') {
      if (move.node === 0) continue;
      leader = move.node;
      epoch++;
      log.lead(leader);
    } else if (move.kind === 'hold') {
      log.holdHighWatermark();
      held ??= end;
    } else if (move.kind === 'release') {
      log.releaseHighWatermark();
      held = undefined;
    } else if (move.kind === 'restart') {
      if (folder === undefined) continue;
      log.close();
      log = open(leader, epoch);
      log.deleteRecords(start);
      held = undefined;
    } else if (move.kind === 'truncate') {
      const first = batches.at(-Math.min(move.batches, batches.length));
      if (first === undefined) continue;
      const to = Math.max(first.base + (move.into && first.values.length > 1 ? 1 : 0), start);
      if (to >= end) continue;
      log.truncateTo(to);
      const survives = (batch: ModelBatch): boolean => batch.base + batch.values.length <= to;
      batches = batches.filter(survives);
      written = written.filter(survives);
      end = to;
      if (held !== undefined) held = Math.min(held, end);
    } else {
      start = Math.max(start, Math.min(move.offset, held ?? end));
      log.deleteRecords(move.offset);
    }
    const highWatermark = Math.min(held ?? end, end);
    expect([log.startOffset, log.highWatermark, log.endOffset]).toEqual([start, highWatermark, end]);
    expect(log.leadership).toEqual({ leader, epoch });
    expect(log.lastStableOffset).toBe(highWatermark);
    check(log, batches, start, highWatermark);
    for (let asked = 0; asked < epoch; asked++) {
      const last = batches.findLast((batch) => batch.epoch <= asked && batch.base + batch.values.length > start);
      const { endOffset } = log.endOfEpoch(asked);
      // Where nothing of it is left, what is known begins, or the offset that was cut to.
      if (last !== undefined && endOffset >= 0)
        expect(endOffset).toBeGreaterThanOrEqual(last.base + last.values.length);
      const next = batches.find((batch) => batch.epoch > asked && batch.base >= start);
      if (next !== undefined) expect(endOffset).toBeLessThanOrEqual(next.base);
    }
  }
  log.close();
}

/** What readers are handed out, from the start to the high watermark. */
function check(log: PartitionLog, batches: readonly ModelBatch[], start: number, limit: number): void {
  const wanted = batches.filter(({ base, values }) => base + values.length > start && base < limit);
  const { batches: read } = log.read(start, 1e9, limit, true, false);
  const got = Buffer.concat([...read]);
  const found: { base: number; values: string[]; epoch: number }[] = [];
  for (let at = 0; at < got.length; ) {
    const batch = new RecordBatch(got, at, { topic: 't', partition: 0 });
    const values: string[] = [];
    for (const cursor = batch.records(); cursor.next(); ) values.push(String(cursor.value()));
    found.push({ base: batch.baseOffset, values, epoch: got.readInt32BE(at + 12) });
    at += batch.sizeBytes;
  }
  expect(found).toEqual(wanted.map(({ base, values, epoch }) => ({ base, values, epoch })));
}

test.each([
  ['memory', 500],
  ['files', 100],
] as const)('in %s', (where, numRuns) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      run(steps, where === 'files' ? join(root, String(folders++)) : undefined);
    }),
    { numRuns },
  );
});
